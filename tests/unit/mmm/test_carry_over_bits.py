"""Carry-over keeps its numbers to the last bit, in whichever order memory is walked."""

from __future__ import annotations

import numpy as np
import pytest

from mmm_workflows.mmm.response import carry_over
from mmm_workflows.mmm.results import FloatArray


def as_defined(series: FloatArray, lags: FloatArray) -> FloatArray:
    """Each draw by itself, one weight after the other."""
    felt = lags[..., :1] * series
    for lag in range(1, min(lags.shape[-1], series.shape[-1])):
        felt[..., lag:] += lags[..., lag : lag + 1] * series[..., :-lag]
    return felt


@pytest.mark.parametrize(
    ("series", "lags"),
    [
        ((30,), (8,)),
        ((997, 27), (997, 8)),
        ((30,), (5, 8)),
        ((3, 1, 30), (4, 8)),
        ((7, 5), (8,)),
        ((7, 1), (7, 3)),
    ],
)
def test_it_is_what_it_is_defined_to_be(series: tuple[int, ...], lags: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    one, other = random.random(series), random.random(lags)
    found = carry_over(one, other)
    assert np.array_equal(found, as_defined(one, other))
    # Sums over periods depend on how the periods lie.
    assert found.flags.c_contiguous


def test_one_series_for_every_draw_is_the_same_as_a_series_each() -> None:
    random = np.random.default_rng(2)
    series, lags = random.random(27), random.random((100, 8))
    shared = carry_over(np.broadcast_to(series, (100, 27)), lags)
    assert np.array_equal(shared, as_defined(np.tile(series, (100, 1)), lags))

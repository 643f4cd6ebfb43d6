"""Numbers as a reader sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.figures import figure, interval, percent, probability
from mmm_workflows.mmm.results import Estimate


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (999.6, "1k"),
        (1234, "1.23k"),
        (-1_500_000, "-1.5m"),
        (2_000_000_000, "2bn"),
    ],
)
def test_a_figure_has_three_significant_digits(value: float, written: str) -> None:
    assert figure(value) == written


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_a_figure_reads_back_within_half_a_percent(value: float) -> None:
    text = figure(value)
    factor = {"k": 1e3, "m": 1e6, "n": 1e9}.get(text[-1], 1.0)
    read = float(text.rstrip("kmbn")) * factor
    assert read == pytest.approx(value, rel=0.0051)


def test_an_interval_shows_mean_low_and_high() -> None:
    estimate = Estimate(mean=1.234, median=1.2, hdi_low=0.9, hdi_high=1.6, unit="EUR per EUR")
    assert interval(estimate) == "1.23 [0.9, 1.6]"


def test_a_probability_is_never_certain() -> None:
    assert probability(1.0) == "more than 99.9 %"
    assert probability(0.0) == "less than 0.1 %"
    assert probability(0.97) == "97 %"


def test_a_share_is_written_as_percent() -> None:
    assert percent(0.1234) == "12.3 %"

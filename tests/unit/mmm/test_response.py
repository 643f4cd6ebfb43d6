"""The laws of carry-over and of diminishing returns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate, saturate_slope
from mmm_workflows.mmm.spec import Adstock, Saturation

type Floats = NDArray[np.float64]

LENGTHS = st.integers(1, 30)
SIZES = st.floats(1e-3, 5.0)
BENDS = st.floats(0.05, 15.0)
forms = pytest.mark.parametrize("kind", list(Saturation))
shapes = pytest.mark.parametrize("adstock", list(Adstock))


def series(periods: int) -> st.SearchStrategy[Floats]:
    return arrays(np.float64, periods, elements=st.just(0.0) | st.floats(0.01, 1e6))


@shapes
@settings(max_examples=60)
@given(alpha=st.floats(0.0, 1.0), peak=st.floats(0.0, 3.0), l_max=LENGTHS)
def test_weights_are_shares_of_the_spend(
    adstock: Adstock, alpha: float, peak: float, l_max: int
) -> None:
    weights = adstock_weights(adstock, alpha, l_max, peak * l_max)
    assert weights.shape == (l_max,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)


@settings(max_examples=40)
@given(alpha=st.floats(0.01, 0.99), l_max=st.integers(2, 30))
def test_geometric_weights_shrink_by_alpha_from_one_period_to_the_next(
    alpha: float, l_max: int
) -> None:
    weights = adstock_weights(Adstock.GEOMETRIC, alpha, l_max)
    assert weights[1:] == pytest.approx(alpha * weights[:-1], rel=1e-9)


@settings(max_examples=40)
@given(alpha=st.floats(0.1, 0.95), l_max=st.integers(3, 30), share=st.floats(0.0, 1.0))
def test_delayed_weights_rise_to_the_peak_and_fall_after_it(
    alpha: float, l_max: int, share: float
) -> None:
    peak = share * (l_max - 1)
    weights = adstock_weights(Adstock.DELAYED, alpha, l_max, peak)
    assert abs(int(weights.argmax()) - peak) <= 0.5 + 1e-9
    steps = np.diff(weights)
    before = np.arange(1, l_max) <= peak
    after = np.arange(l_max - 1) >= peak
    assert (steps[before] >= 0).all()
    assert (steps[after] <= 0).all()


@shapes
def test_nothing_carries_over_where_nothing_is_retained(adstock: Adstock) -> None:
    spend = np.array([3.0, 0.0, 5.0, 1.0])
    weights = adstock_weights(adstock, 0.0, 4, 0.0)
    assert carry_over(spend, weights) == pytest.approx(spend)


@shapes
@settings(max_examples=40)
@given(
    one=series(15), other=series(15), factor=st.floats(0.0, 10.0), alpha=st.floats(0.0, 1.0),
    theta=st.floats(0.0, 5.0), l_max=LENGTHS,
)  # fmt: skip
def test_carry_over_is_linear_in_the_spend(
    adstock: Adstock, one: Floats, other: Floats, factor: float, alpha: float, theta: float,
    l_max: int,
) -> None:  # fmt: skip
    weights = adstock_weights(adstock, alpha, l_max, theta)
    together = carry_over(one + factor * other, weights)
    apart = carry_over(one, weights) + factor * carry_over(other, weights)
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-6)


@shapes
@settings(max_examples=40)
@given(spend=series(12), alpha=st.floats(0.0, 1.0), theta=st.floats(0.0, 5.0), l_max=LENGTHS)
def test_all_that_is_spent_is_felt_once_the_window_is_long_enough(
    adstock: Adstock, spend: Floats, alpha: float, theta: float, l_max: int
) -> None:
    weights = adstock_weights(adstock, alpha, l_max, theta)
    padded = np.concatenate([spend, np.zeros(l_max - 1)])
    felt = carry_over(padded, weights)
    assert felt.sum() == pytest.approx(spend.sum(), rel=1e-9)
    assert (np.cumsum(felt) <= np.cumsum(padded) * (1 + 1e-9) + 1e-9).all(), "felt before spent"
    # A window that ends with the spend may only lose what comes after it.
    np.testing.assert_array_equal(carry_over(spend, weights), felt[: spend.size])


@settings(max_examples=40)
@given(
    spend=series(10), weights=arrays(np.float64, st.integers(1, 14), elements=st.floats(0.0, 1.0))
)
def test_carry_over_is_the_sum_written_out(spend: Floats, weights: Floats) -> None:
    written = [
        sum(weights[lag] * spend[t - lag] for lag in range(min(t + 1, weights.size)))
        for t in range(spend.size)
    ]
    np.testing.assert_allclose(carry_over(spend, weights), written, rtol=1e-9)


@settings(max_examples=40)
@given(spend=series(10), when=st.integers(0, 9))
def test_spend_changes_nothing_before_it_nor_after_its_last_weight(
    spend: Floats, when: int
) -> None:
    weights = adstock_weights(Adstock.DELAYED, 0.7, 4, 1.5)
    more = spend.copy()
    more[when] += 1000.0
    changed = np.flatnonzero(carry_over(more, weights) != carry_over(spend, weights))
    assert changed.min() == when
    assert changed.max() == min(when + 3, 9)


@forms
@settings(max_examples=60)
@given(low=st.floats(0.0, 3.0), step=st.floats(1e-3, 3.0), lam=BENDS, beta=SIZES)
def test_more_spend_brings_more_and_each_unit_less(
    kind: Saturation, low: float, step: float, lam: float, beta: float
) -> None:
    first, middle, last = saturate(kind, np.array([low, low + step, low + 2 * step]), lam, beta)
    assert first <= middle <= last <= beta
    assert last - middle <= (middle - first) + 1e-12 * beta
    if low == 0.0:
        assert first == 0.0
        assert middle > 0.0


@settings(max_examples=30)
@given(lam=BENDS, beta=SIZES)
def test_half_of_the_ceiling_is_reached_where_the_curve_says(lam: float, beta: float) -> None:
    half = pytest.approx(beta / 2, rel=1e-9)
    assert saturate(Saturation.MICHAELIS_MENTEN, lam, lam, beta) == half
    assert saturate(Saturation.LOGISTIC, np.log(3) / lam, lam, beta) == half


@forms
@given(lam=BENDS, beta=SIZES)
def test_no_end_of_spend_exceeds_the_ceiling(kind: Saturation, lam: float, beta: float) -> None:
    far = saturate(kind, np.array([1e3, 1e6, 1e9]), lam, beta)
    assert (far <= beta).all()
    assert far[-1] == pytest.approx(beta, rel=1e-6)


@forms
@settings(max_examples=80)
@given(felt=st.floats(0.0, 2.0), lam=BENDS, beta=SIZES)
def test_the_slope_is_the_derivative_of_the_curve(
    kind: Saturation, felt: float, lam: float, beta: float
) -> None:
    width = 1e-4 * min(1.0, lam, 1 / lam)
    # Both curves go on below zero for a hair's breadth, so the slope at zero can be told too.
    below, above = saturate(kind, np.array([felt - width, felt + width]), lam, beta)
    numeric = (above - below) / (2 * width)
    slope = float(saturate_slope(kind, felt, lam, beta))
    steepest = float(saturate_slope(kind, 0.0, lam, beta))
    assert 0 <= slope <= steepest
    assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-7 * steepest)


@forms
@shapes
def test_all_draws_at_once_are_each_draw_alone(adstock: Adstock, kind: Saturation) -> None:
    random = np.random.default_rng(5)
    count, channels, periods, l_max = 6, 3, 20, 5
    spend = random.gamma(2.0, 1.0, (periods, channels)) * (random.random((periods, channels)) < 0.5)
    alpha = random.beta(2, 3, (count, channels))
    theta = random.uniform(0, 4, (count, channels))
    lam = random.gamma(4, 0.5, (count, channels))
    beta = random.gamma(2, 0.5, (count, channels))
    felt = carry_over(spend.T, adstock_weights(adstock, alpha, l_max, theta))
    at_once = saturate(kind, felt, lam[..., None], beta[..., None])
    slopes = saturate_slope(kind, felt, lam[..., None], beta[..., None])
    assert at_once.shape == slopes.shape == (count, channels, periods)
    for s, c in np.ndindex(count, channels):
        alone = carry_over(spend[:, c], adstock_weights(adstock, alpha[s, c], l_max, theta[s, c]))
        np.testing.assert_allclose(at_once[s, c], saturate(kind, alone, lam[s, c], beta[s, c]))
        np.testing.assert_allclose(slopes[s, c], saturate_slope(kind, alone, lam[s, c], beta[s, c]))


def test_what_is_handed_in_stays_as_it_was() -> None:
    spend, weights = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.3, 0.2])
    felt = carry_over(spend, weights)
    felt[:] = -1
    assert (spend == [1.0, 2.0, 3.0]).all()
    assert (weights == [0.5, 0.3, 0.2]).all()

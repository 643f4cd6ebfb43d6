"""Summaries of draws."""

from __future__ import annotations

import numpy as np
import pytest

from mmm_workflows.mmm.results import hdi, summarise


def test_the_interval_of_a_normal_holds_its_share_and_is_narrowest() -> None:
    draws = np.random.default_rng(1).normal(10, 2, 40_000)
    low, high = hdi(draws, 0.94)
    assert np.mean((draws >= low) & (draws <= high)) == pytest.approx(0.94, abs=0.001)
    # 1.881 sd on each side hold 94 % of a normal.
    assert (low, high) == pytest.approx((10 - 1.881 * 2, 10 + 1.881 * 2), abs=0.1)


def test_the_interval_of_a_skewed_posterior_is_not_the_quantiles() -> None:
    draws = np.random.default_rng(2).exponential(1.0, 40_000)
    low, high = hdi(draws, 0.9)
    assert low < np.quantile(draws, 0.05)
    assert high - low < np.quantile(draws, 0.95) - np.quantile(draws, 0.05)


def test_a_ratio_is_summarised_after_it_was_computed_per_draw() -> None:
    top = np.array([1.0, 9.0])
    bottom = np.array([1.0, 3.0])
    assert summarise(top / bottom, "x").mean == pytest.approx(2.0)
    assert top.mean() / bottom.mean() == pytest.approx(2.5)


def test_draws_of_any_shape_are_read_flat() -> None:
    draws = np.arange(12.0).reshape(3, 4)
    assert summarise(draws, "EUR") == summarise(draws.ravel(), "EUR")

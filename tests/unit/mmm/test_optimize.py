"""Allocations against independent optimisers, and laws that every allocation must keep."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm import optimize as module
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.optimize import (
    Bound,
    Optimization,
    default_bounds,
    optimize,
    project,
    seen_limit,
)
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation
from mmm_workflows.mmm.whatif_advice import recommend_allocation
from mmm_workflows.mmm.windows import Reference, make_reference, next_periods

KINDS = list(product(Adstock, Saturation))


def small(
    width: int,
    *,
    adstock: Adstock = Adstock.GEOMETRIC,
    saturation: Saturation = Saturation.LOGISTIC,
    seed: int = 5,
) -> Draws:
    """A few draws of some channels of unlike worth over 60 weeks."""
    random = np.random.default_rng(seed)
    shape = (25, width)
    spend = random.gamma(3.0, 3e3, (60, width)) * random.uniform(0.3, 3, width)
    return Draws(
        channels=tuple(f"Channel{c}_Spend" for c in range(width)),
        dates=np.datetime64("2024-01-01") + 7 * np.arange(60),
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=5e5,
        alpha=random.uniform(0.1, 0.8, shape),
        theta=random.uniform(0, 2, shape) if adstock is Adstock.DELAYED else None,
        lam=random.uniform(0.5, 4, shape),
        beta=random.uniform(0.5, 1.5, shape) * random.uniform(0.02, 0.4, width),
        adstock=adstock,
        saturation=saturation,
        l_max=4,
        frequency=Frequency.WEEKLY,
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
    )


def planned(draws: Draws, weeks: int = 8) -> Reference:
    return make_reference(draws, next_periods(draws, weeks))


def objective(draws: Draws, reference: Reference, totals: FloatArray) -> float:
    """What the totals bring on average, written on its own: one matrix product per channel."""
    value = 0.0
    weeks, side = reference.dates.size, draws.l_max - 1
    for c in range(len(draws.channels)):
        flighting = reference.spend[:, c] / reference.spend[:, c].sum()
        money = np.concatenate([reference.before[:, c], flighting * totals[c], np.zeros(side)])
        lags = np.arange(draws.l_max)[None, :]
        if draws.theta is not None:
            lags = (lags - draws.theta[:, [c]]) ** 2
        weights = draws.alpha[:, [c]] ** lags
        weights = weights / weights.sum(axis=1, keepdims=True)
        stretches = [money[t : t + draws.l_max][::-1] for t in range(weeks + side)]
        x = weights @ np.array(stretches).T / draws.channel_scale[c]
        lam, beta = draws.lam[:, [c]], draws.beta[:, [c]]
        if draws.saturation is Saturation.LOGISTIC:
            y = beta * (1 - np.exp(-lam * x)) / (1 + np.exp(-lam * x))
        else:
            y = beta * x / (lam + x)
        value += float(draws.target_scale * y.sum(axis=1).mean())
    return value


def best_by_slsqp(
    draws: Draws, reference: Reference, total: float, bounds: dict[str, Bound]
) -> float:
    """The optimum by scipy from several starts, in shares of the total."""
    low = np.array([b.low for b in bounds.values()])
    high = np.array([b.high for b in bounds.values()])
    scale = objective(draws, reference, reference.totals)
    best = -np.inf
    for start in np.random.default_rng(0).uniform(low, high, (3, low.size)):
        found = minimize(
            lambda x: -objective(draws, reference, x * total) / scale,
            np.clip(start * total / start.sum(), low, high) / total,
            method="SLSQP",
            bounds=list(zip(low / total, high / total, strict=True)),
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-12, "maxiter": 300},
        )
        if abs(found.x.sum() - 1) < 1e-9:
            best = max(best, -float(found.fun) * scale)
    assert np.isfinite(best)
    return best


def totals_of(found: Optimization) -> FloatArray:
    return np.array(list(found.allocation.values()))


def assert_lawful(found: Optimization, draws: Draws) -> None:
    assert tuple(found.allocation) == draws.channels
    slack = 1e-6 * max(found.total, 1.0)
    assert sum(found.allocation.values()) == pytest.approx(found.total, rel=1e-9, abs=1e-6)
    for name, spend in found.allocation.items():
        assert found.bounds[name].low - slack <= spend <= found.bounds[name].high + slack
    assert found.converged and found.method
    delta = found.outcome.delta
    assert delta.hdi_low <= delta.median <= delta.hdi_high


@given(st.data())
@settings(max_examples=40)
def test_an_allocation_spends_the_budget_within_its_bounds(data: st.DataObject) -> None:
    adstock, saturation = data.draw(st.sampled_from(KINDS))
    width = data.draw(st.integers(1, 5))
    seed = data.draw(st.integers(0, 20))
    draws = small(width, adstock=adstock, saturation=saturation, seed=seed)
    reference = planned(draws)
    bounds = {}
    for c, name in enumerate(draws.channels):
        usual = float(reference.totals[c])
        low = data.draw(st.sampled_from([0.0, 0.3, 1.0])) * usual
        bounds[name] = Bound(low=low, high=low + data.draw(st.sampled_from([0.0, 0.5, 3])) * usual)
    least = sum(b.low for b in bounds.values())
    most = sum(b.high for b in bounds.values())
    total = least + data.draw(st.integers(0, 100)) / 100 * (most - least)
    assert_lawful(optimize(draws, reference, total, bounds), draws)


@given(seed=st.integers(0, 40), kind=st.sampled_from(KINDS), width=st.integers(2, 6))
@settings(max_examples=30)
def test_the_best_split_of_the_usual_budget_is_no_worse_than_the_usual_split(
    seed: int, kind: tuple[Adstock, Saturation], width: int
) -> None:
    draws = small(width, adstock=kind[0], saturation=kind[1], seed=seed)
    reference = planned(draws)
    total = float(reference.totals.sum())
    found = optimize(draws, reference, total, default_bounds(draws, reference, total))
    assert_lawful(found, draws)
    assert found.outcome.delta.mean >= -1e-9 * found.outcome.reference.mean
    assert found.outcome.delta.mean == pytest.approx(
        objective(draws, reference, totals_of(found))
        - objective(draws, reference, reference.totals),
        rel=1e-6,
        abs=1e-6 * found.outcome.reference.mean,
    )


@pytest.mark.parametrize(("adstock", "saturation"), KINDS)
@pytest.mark.parametrize("share", [0.6, 1.0, 1.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_allocation_brings_what_scipy_finds_best(
    seed: int, share: float, adstock: Adstock, saturation: Saturation
) -> None:
    draws = small(4, adstock=adstock, saturation=saturation, seed=seed)
    reference = planned(draws)
    total = share * float(reference.totals.sum())
    bounds = {
        name: Bound(low=0.1 * float(t), high=3 * float(t))
        for name, t in zip(draws.channels, reference.totals, strict=True)
    }
    found = optimize(draws, reference, total, bounds)
    start = objective(draws, reference, share * reference.totals)
    best = best_by_slsqp(draws, reference, total, bounds)
    mine = objective(draws, reference, totals_of(found))
    # Of what there is to gain by moving money, no more than a thousandth is left.
    assert best - mine <= 1e-3 * (best - start) + 1e-9 * best
    assert found.outcome.scenario.mean == pytest.approx(mine, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_two_channels_are_split_as_on_a_fine_grid(seed: int) -> None:
    draws = small(2, seed=seed)
    reference = planned(draws)
    total = float(reference.totals.sum())
    bounds = {n: Bound(low=0.0, high=total) for n in draws.channels}
    firsts = np.linspace(0, total, 1001)
    values = [objective(draws, reference, np.array([x, total - x])) for x in firsts]
    found = optimize(draws, reference, total, bounds)
    assert objective(draws, reference, totals_of(found)) >= max(values) * (1 - 1e-9)
    assert totals_of(found)[0] == pytest.approx(firsts[int(np.argmax(values))], abs=2e-3 * total)


def test_between_the_bounds_the_next_unit_brings_the_same_in_every_channel() -> None:
    draws = small(4, saturation=Saturation.MICHAELIS_MENTEN)
    reference = planned(draws)
    total = float(reference.totals.sum())
    bounds = {n: Bound(low=0.0, high=total) for n in draws.channels}
    found = optimize(draws, reference, total, bounds)
    inside = [found.mroas[n].mean for n, spend in found.allocation.items() if spend > 1e-3 * total]
    assert len(inside) >= 2
    assert inside == pytest.approx([inside[0]] * len(inside), rel=2e-3)
    outside = [found.mroas[n].mean for n, spend in found.allocation.items() if spend <= 0]
    assert all(rate <= inside[0] * 1.002 for rate in outside)


def test_an_allocation_is_the_same_each_time(draws: Draws) -> None:
    reference = planned(draws, 13)
    total = 1.1 * float(reference.totals.sum())
    bounds = default_bounds(draws, reference, total)
    assert optimize(draws, reference, total, bounds) == optimize(draws, reference, total, bounds)


@given(percent=st.integers(0, 300), weeks=st.integers(1, 30))
@settings(max_examples=40)
def test_default_bounds_never_lead_beyond_what_the_data_has_seen(percent: int, weeks: int) -> None:
    draws, share = small(5), percent / 100
    reference = planned(draws, weeks)
    total = share * float(reference.totals.sum())
    bounds = default_bounds(draws, reference, total)
    for c, name in enumerate(draws.channels):
        assert 0 <= bounds[name].low <= bounds[name].high <= seen_limit(draws, reference, c)
        assert bounds[name].high <= 1.5 * share * float(reference.totals[c]) * (1 + 1e-9)
    if share <= 1:  # The usual split itself is always allowed.
        found = optimize(draws, reference, total, bounds)
        assert not any("extrapolates" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("factor", "advice"), [(0.2, "Ask for more"), (40.0, "ask for less"), (-1.0, "Ask for more")]
)
def test_a_budget_that_the_bounds_do_not_allow_is_refused_with_the_numbers(
    factor: float, advice: str
) -> None:
    draws = small(3)
    reference = planned(draws)
    usual = float(reference.totals.sum())
    bounds = default_bounds(draws, reference, usual)
    with pytest.raises(QueryError) as caught:
        optimize(draws, reference, factor * usual, bounds)
    assert caught.value.code == "query_out_of_reach"
    assert advice in str(caught.value)
    low, high = sum(b.low for b in bounds.values()), sum(b.high for b in bounds.values())
    for number in (factor * usual, low, high):
        assert re.search(rf"(?<![\d.]){re.escape(figure(number))} EUR", str(caught.value))


def test_bounds_that_contradict_each_other_are_refused_by_channel() -> None:
    draws = small(2)
    reference = planned(draws)
    one, other = draws.channels
    bounds = {one: Bound(low=300.0, high=200.0), other: Bound(low=0.0, high=1e6)}
    with pytest.raises(QueryError, match=one) as caught:
        optimize(draws, reference, 1000.0, bounds)
    assert caught.value.code == "query_out_of_reach"
    assert "300 EUR" in str(caught.value) and "200 EUR" in str(caught.value)


def test_a_budget_of_nothing_is_spent_on_nothing() -> None:
    draws = small(3)
    reference = planned(draws)
    found = optimize(draws, reference, 0.0, default_bounds(draws, reference, 0.0))
    assert_lawful(found, draws)
    assert set(found.allocation.values()) == {0.0}
    assert found.outcome.delta.hdi_high < 0
    assert all(e.mean > 0 for e in found.mroas.values())


def test_one_channel_gets_the_whole_budget() -> None:
    draws = small(1)
    reference = planned(draws)
    total = float(reference.totals.sum()) * 1.05
    (spend,) = optimize(
        draws, reference, total, {draws.channels[0]: Bound(low=0, high=2 * total)}
    ).allocation.values()
    assert spend == pytest.approx(total, rel=1e-12)


def test_a_channel_that_is_fixed_stays_and_the_others_share_the_rest() -> None:
    draws = small(3)
    reference = planned(draws)
    total = float(reference.totals.sum())
    fixed = float(reference.totals[0])
    bounds = {n: Bound(low=0.0, high=total) for n in draws.channels}
    bounds[draws.channels[0]] = Bound(low=fixed, high=fixed)
    found = optimize(draws, reference, total, bounds)
    assert_lawful(found, draws)
    assert found.allocation[draws.channels[0]] == fixed
    all_fixed = {
        n: Bound(low=float(t), high=float(t))
        for n, t in zip(draws.channels, reference.totals, strict=True)
    }
    stays = optimize(draws, reference, total, all_fixed)
    assert stays.allocation == pytest.approx(stays.reference_totals)
    assert stays.outcome.delta.mean == pytest.approx(0, abs=1e-6)
    assert recommend_allocation(stays)[0].startswith("The reference allocation is already")


def test_a_channel_without_spend_in_the_reference_can_be_given_some() -> None:
    draws = small(2)
    spend = draws.spend.copy()
    spend[-52:-44, 1] = 0  # silent in the weeks that the plan looks back to
    draws = replace(draws, spend=spend)
    reference = planned(draws)
    total = float(reference.totals.sum())
    bounds = {n: Bound(low=0.0, high=total) for n in draws.channels}
    found = optimize(draws, reference, total, bounds)
    assert_lawful(found, draws)
    assert found.outcome.delta.mean > 0
    assert found.allocation[draws.channels[1]] > 0.01 * total


def test_an_optimiser_that_was_stopped_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = small(4)
    reference = planned(draws)
    total = float(reference.totals.sum())
    bounds = {n: Bound(low=0.0, high=total) for n in draws.channels}
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    stopped = optimize(draws, reference, total, bounds)
    assert stopped.converged is False
    assert stopped.iterations == 1
    assert recommend_allocation(stopped) == (
        "The optimiser did not settle, so its allocation should not be used.",
    )


@given(st.data())
@settings(max_examples=100)
def test_a_projection_is_the_nearest_point_of_the_budget_within_the_bounds(
    data: st.DataObject,
) -> None:
    width = data.draw(st.integers(1, 6))
    numbers = st.lists(st.floats(-1e6, 1e6), min_size=width, max_size=width).map(np.array)
    point, one, other = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    low, high = np.minimum(one, other), np.maximum(one, other)
    total = float(low.sum() + data.draw(st.floats(0, 1)) * (high - low).sum())
    nearest = project(point, total, low, high)
    assert np.all(nearest >= low) and np.all(nearest <= high)
    assert nearest.sum() == pytest.approx(total, abs=1e-4)
    # Of any two channels, moving money between them leads no nearer.
    for i, j in product(range(width), repeat=2):
        room = min(high[i] - nearest[i], nearest[j] - low[j])
        if i != j and room > 1e-3:
            assert (point - nearest)[i] - (point - nearest)[j] <= 1e-3

"""Scenarios against a computation in plain loops, and laws that every outcome must keep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.results import FloatArray, Window, summarise
from mmm_workflows.mmm.scenario import (
    Change,
    ChangeKind,
    ScenarioResult,
    compare,
    contribution,
    marginal,
    plan_of,
    run_scenario,
)
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation
from mmm_workflows.mmm.windows import Reference, make_reference, next_periods

CHANNELS = ("TV_Spend", "Search_Spend", "Radio_Spend")
PERIODS = 60
MULTIPLY, ADD, SET = ChangeKind.MULTIPLY, ChangeKind.ADD, ChangeKind.SET
# First and last row of a window; rows from 60 on are after the data.
WINDOWS = [(0, 2), (20, 25), (30, 30), (55, 59), (58, 59), (60, 72), (60, 60), (66, 69)]


def small(
    adstock: Adstock = Adstock.GEOMETRIC,
    saturation: Saturation = Saturation.LOGISTIC,
    *,
    count: int = 6,
    seed: int = 11,
) -> Draws:
    """Few draws of three channels over 60 weeks, with weeks without spend."""
    random = np.random.default_rng(seed)
    shape = (count, len(CHANNELS))
    spend = random.gamma(2.0, 4e3, (PERIODS, len(CHANNELS))) * (
        random.random((PERIODS, len(CHANNELS))) < 0.8
    )
    return Draws(
        channels=CHANNELS,
        dates=np.datetime64("2024-01-01") + 7 * np.arange(PERIODS),
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=5e5,
        alpha=random.uniform(0.1, 0.8, shape),
        theta=random.uniform(0, 3, shape) if adstock is Adstock.DELAYED else None,
        lam=random.uniform(0.5, 4, shape),
        beta=random.uniform(0.05, 0.4, shape),
        adstock=adstock,
        saturation=saturation,
        l_max=5,
        frequency=Frequency.WEEKLY,
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
    )


def rows(draws: Draws, first: int, last: int) -> Window:
    days = draws.dates[0] + 7 * np.array([first, last])
    return Window(start=days[0].item(), end=days[1].item())


def with_linear_response(draws: Draws, euros_per_euro: float) -> Draws:
    """Far below saturation, where each unit of money brings the same."""
    lam = np.full_like(draws.lam, 1e-5)
    beta = 2 * euros_per_euro * draws.channel_scale / (1e-5 * draws.target_scale)
    return replace(draws, lam=lam, beta=np.broadcast_to(beta, lam.shape))


def response(draws: Draws, s: int, c: int, at: int, money: dict[int, float]) -> float:
    """What channel ``c`` brings in week ``at`` by draw ``s`` when this is its spend per week."""
    weights, felt = 0.0, 0.0
    for lag in range(draws.l_max):
        power = lag if draws.theta is None else (lag - float(draws.theta[s, c])) ** 2
        weights += float(draws.alpha[s, c]) ** power
        felt += float(draws.alpha[s, c]) ** power * money.get(at - lag, 0.0)
    x, lam = felt / weights / float(draws.channel_scale[c]), float(draws.lam[s, c])
    share = x / (lam + x)
    if draws.saturation is Saturation.LOGISTIC:
        share = (1 - math.exp(-lam * x)) / (1 + math.exp(-lam * x))
    return draws.target_scale * float(draws.beta[s, c]) * share


def brute_force(draws: Draws, first: int, last: int, plan: FloatArray) -> list[float]:
    """Per draw: what the plan of rows ``first`` to ``last`` brings in all, week by week."""
    totals = [0.0] * draws.count
    for c in range(len(draws.channels)):
        money = {t: float(draws.spend[t, c]) for t in range(PERIODS)}
        for t in range(PERIODS, last + 1):
            money[t] = money[t - 52]
        money.update({first + i: float(plan[i, c]) for i in range(last - first + 1)})
        # Weeks after a past window have spend of their own, which is not the window's.
        later = {t: m for t, m in money.items() if t > last}
        for s in range(draws.count):
            for t in range(first, last + draws.l_max):
                own = response(draws, s, c, t, later) if t > last else 0.0
                totals[s] += response(draws, s, c, t, money) - own
    return totals


def brought(draws: Draws, reference: Reference, plan: FloatArray) -> FloatArray:
    parts = [contribution(draws, reference, c, plan[:, c]) for c in range(len(draws.channels))]
    return np.sum(parts, axis=0)


@pytest.mark.parametrize("saturation", Saturation)
@pytest.mark.parametrize("adstock", Adstock)
@pytest.mark.parametrize(("first", "last"), WINDOWS)
def test_an_outcome_equals_the_sum_over_weeks_in_plain_loops(
    first: int, last: int, adstock: Adstock, saturation: Saturation
) -> None:
    draws = small(adstock, saturation)
    reference = make_reference(draws, rows(draws, first, last))
    changes = [Change(channel="TV_Spend", kind=MULTIPLY, amount=1.4),
               Change(channel="Search_Spend", kind=ADD, amount=7e3),
               Change(channel="Radio_Spend", kind=SET, amount=0.0)]  # fmt: skip
    plan = plan_of(draws, reference, changes)
    before = np.array(brute_force(draws, first, last, reference.spend))
    after = np.array(brute_force(draws, first, last, plan))
    np.testing.assert_allclose(brought(draws, reference, reference.spend), before, rtol=1e-9)
    np.testing.assert_allclose(brought(draws, reference, plan), after, rtol=1e-9)
    outcome = run_scenario(draws, reference, changes, name="one").outcome
    for said, values in (
        (outcome.reference, before),
        (outcome.scenario, after),
        (outcome.delta, after - before),
    ):
        expected = summarise(values, "EUR").model_dump(exclude={"unit"})
        assert said.model_dump(exclude={"unit"}) == pytest.approx(expected, rel=1e-9, abs=1e-4)
        assert (said.unit, said.hdi_prob) == ("EUR", 0.94)
    extra = float(plan.sum() - reference.spend.sum())
    assert outcome.probability_better == np.mean(after - before - extra > 0)


@pytest.mark.parametrize(("first", "last"), WINDOWS)
def test_far_below_saturation_a_window_returns_its_whole_spend_by_carry_over(
    first: int, last: int
) -> None:
    draws = with_linear_response(small(), euros_per_euro=1.5)
    # Nothing carried in: what is left is the window's spend, over all its periods of effect.
    spend = draws.spend.copy()
    spend[max(first - 4, 0) : first] = 0
    spend[max(first - 56, 0) : max(first - 52, 0)] = 0
    draws = replace(draws, spend=spend)
    reference = make_reference(draws, rows(draws, first, last))
    for c in range(len(CHANNELS)):
        whole = contribution(draws, reference, c, reference.spend[:, c])
        np.testing.assert_allclose(whole, 1.5 * reference.totals[c], rtol=1e-6)


@given(
    window=st.sampled_from(WINDOWS),
    kept=st.lists(
        st.tuples(st.sampled_from(CHANNELS), st.sampled_from([MULTIPLY, ADD, SET])), max_size=4
    ),
)
@settings(max_examples=40)
def test_a_plan_that_changes_nothing_gains_exactly_nothing(
    window: tuple[int, int], kept: list[tuple[str, ChangeKind]]
) -> None:
    draws = small()
    reference = make_reference(draws, rows(draws, *window))
    usual = {n: float(reference.spend[:, c].sum()) for c, n in enumerate(CHANNELS)}
    changes = [
        Change(channel=n, kind=kind, amount={MULTIPLY: 1.0, ADD: 0.0, SET: usual[n]}[kind])
        for n, kind in kept
    ]
    result = run_scenario(draws, reference, changes, name="same")
    delta = result.outcome.delta
    assert (delta.mean, delta.median, delta.hdi_low, delta.hdi_high) == (0, 0, 0, 0)
    assert result.outcome.scenario == result.outcome.reference
    assert result.outcome.probability_better == 0
    assert result.totals == pytest.approx(result.reference_totals)
    assert result.warnings == ()


def test_both_plans_are_seen_on_the_same_draws(draws: Draws) -> None:
    reference = make_reference(draws, next_periods(draws, 13))
    plan = plan_of(draws, reference, [Change(channel="TV_Spend", kind=MULTIPLY, amount=1.2)])
    one, other = brought(draws, reference, reference.spend), brought(draws, reference, plan)
    outcome = compare(draws, reference, plan)
    shuffled = np.random.default_rng(1).permutation(one)
    unpaired = summarise(other - shuffled, "EUR")
    assert outcome.delta.mean == pytest.approx(unpaired.mean, rel=1e-6)
    width = outcome.delta.hdi_high - outcome.delta.hdi_low
    assert width < 0.2 * (unpaired.hdi_high - unpaired.hdi_low)


@given(st.data())
@settings(max_examples=60)
def test_changes_add_up_and_keep_the_flighting(data: st.DataObject) -> None:
    draws = small()
    reference = make_reference(draws, rows(draws, *data.draw(st.sampled_from(WINDOWS))))
    cents = st.integers(0, 10**7).map(lambda c: c / 100)
    amounts = {MULTIPLY: st.integers(0, 300).map(lambda p: p / 100), ADD: cents, SET: cents}
    kinds = data.draw(st.lists(st.sampled_from([MULTIPLY, ADD, SET]), max_size=5))
    changes = [
        Change(channel=data.draw(st.sampled_from(CHANNELS)), kind=k, amount=data.draw(amounts[k]))
        for k in kinds
    ]
    totals = dict(zip(CHANNELS, reference.totals.tolist(), strict=True))
    for change in changes:
        before, amount = totals[change.channel], change.amount
        totals[change.channel] = {
            MULTIPLY: before * amount, ADD: before + amount, SET: amount
        }[change.kind]  # fmt: skip
    result = run_scenario(draws, reference, changes, name="some")
    assert result.totals == pytest.approx(totals, rel=1e-9, abs=1e-6)
    plan = plan_of(draws, reference, changes)
    for c in range(len(CHANNELS)):
        usual, planned = reference.spend[:, c], plan[:, c]
        if usual.sum() > 0:
            np.testing.assert_allclose(planned * usual.sum(), usual * planned.sum(), rtol=1e-9)
        else:
            np.testing.assert_allclose(planned, planned.mean())
    assert np.all(plan >= 0)


def test_a_channel_may_hand_on_what_it_is_given_whichever_is_said_first() -> None:
    draws = small()
    reference = make_reference(draws, next_periods(draws, 6))
    tv = float(reference.totals[0])
    out = Change(channel="TV_Spend", kind=ADD, amount=-tv - 5e3)
    into = Change(channel="TV_Spend", kind=ADD, amount=9e3)
    for changes in ([out, into], [into, out]):
        plan = plan_of(draws, reference, changes)
        assert plan[:, 0].sum() == pytest.approx(4e3)
    with pytest.raises(QueryError, match="less than nothing") as caught:
        plan_of(draws, reference, [out])
    assert "TV_Spend" in str(caught.value) and caught.value.code == "query_invalid"


def test_a_channel_that_the_model_does_not_know_is_refused_with_those_it_knows() -> None:
    draws = small()
    reference = make_reference(draws, next_periods(draws, 6))
    with pytest.raises(QueryError, match="Cinema") as caught:
        plan_of(draws, reference, [Change(channel="Cinema", kind=SET, amount=1.0)])
    assert all(name in str(caught.value) for name in CHANNELS)


def _doubled(draws: Draws) -> ScenarioResult:
    reference = make_reference(draws, next_periods(draws, 13))
    change = Change(channel="TV_Spend", kind=MULTIPLY, amount=2.0)
    return run_scenario(draws, reference, [change], name="double")


def test_more_of_a_saturated_channel_sells_more_and_is_still_not_better() -> None:
    draws = small(count=200)
    # Always on and at lam 20 every week is already at the flat end of the curve.
    steady = np.maximum(draws.spend, draws.spend.max(axis=0) / 5)
    flat = np.full_like(draws.lam, 20.0)
    saturated = replace(draws, spend=steady, lam=flat, target_scale=1e5)
    result = _doubled(saturated)
    assert result.outcome.delta.hdi_low > 0
    better = result.outcome.probability_better
    assert better is not None and better < 0.5
    reference = make_reference(saturated, next_periods(saturated, 13))
    cut = Change(channel="TV_Spend", kind=MULTIPLY, amount=0.7)
    less = run_scenario(saturated, reference, [cut], name="less").outcome
    assert less.delta.hdi_high < 0
    assert less.probability_better is not None and less.probability_better > 0.5


def test_a_margin_decides_whether_the_same_sales_are_worth_their_cost() -> None:
    draws = with_linear_response(small(), euros_per_euro=1.5)
    for margin, better in ((None, 1.0), (0.9, 1.0), (0.6, 0.0)):
        outcome = _doubled(replace(draws, margin=margin)).outcome
        assert outcome.probability_better == better
        assert ("no margin was given" in outcome.reasons.get("value", "")) == (margin is None)


def test_units_without_a_price_have_no_probability_but_a_reason() -> None:
    counted = replace(small(), target="Orders", target_unit="orders", target_is_money=False)
    outcome = _doubled(counted).outcome
    assert outcome.probability_better is None
    assert "Orders" in outcome.reasons["probability_better"]
    assert outcome.delta.unit == "orders"


def test_a_spend_that_the_data_has_not_seen_is_warned_about_by_channel() -> None:
    draws = small()
    reference = make_reference(draws, next_periods(draws, 13))
    change = Change(channel="Radio_Spend", kind=MULTIPLY, amount=5.0)
    (warning,) = run_scenario(draws, reference, [change], name="much").warnings
    assert warning.startswith("Radio_Spend") and "extrapolates" in warning
    always_on = replace(draws, spend=draws.spend + 100)
    reference = make_reference(always_on, next_periods(always_on, 13))
    stop = Change(channel="TV_Spend", kind=SET, amount=0.0)
    (warning,) = run_scenario(always_on, reference, [stop], name="stop").warnings
    assert warning.startswith("TV_Spend") and "never saw it at zero" in warning


@pytest.mark.parametrize("saturation", Saturation)
@pytest.mark.parametrize("adstock", Adstock)
@pytest.mark.parametrize(("first", "last"), [(20, 25), (60, 72)])
def test_the_next_unit_brings_what_one_more_unit_brings(
    first: int, last: int, adstock: Adstock, saturation: Saturation
) -> None:
    draws = small(adstock, saturation)
    reference = make_reference(draws, rows(draws, first, last))
    for c in range(len(CHANNELS)):
        spend = reference.spend[:, c]
        up, down = spend * (1 + 1 / spend.sum()), spend * (1 - 1 / spend.sum())
        step = contribution(draws, reference, c, up) - contribution(draws, reference, c, down)
        np.testing.assert_allclose(marginal(draws, reference, c, spend), step / 2, rtol=1e-5)

"""How alike two plans are, what earlier allocations share, and advice that a result calls for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.earlier_answers import (
    Answer,
    ModelUsed,
    is_same_plan,
    likeness,
    one_question,
    periods_apart,
)
from mmm_workflows.mmm.optimize import Optimization, default_bounds, optimize
from mmm_workflows.mmm.practices import LARGE_STEP, practices_for
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.remembered import compare_with, find_alike, find_patterns, nearest
from mmm_workflows.mmm.results import (
    Amount,
    ChannelResult,
    Diagnostics,
    Estimate,
    FitVerdict,
    GoodnessOfFit,
    Information,
    ModelResults,
    Window,
)
from mmm_workflows.mmm.scenario import Change, ChangeKind, Outcome, ScenarioResult, run_scenario
from mmm_workflows.mmm.windows import make_reference, next_periods
from mmm_workflows.records import Depth

NAMES = ("TV", "Search", "Radio")
DAY = datetime(2026, 1, 5, tzinfo=UTC)
QUARTER = Window(start=date(2026, 1, 5), end=date(2026, 3, 30))
MODEL = ModelUsed(
    name="m", sha256="a" * 64, mff_sha256="b" * 64, fitted_at=DAY, target="Revenue",
    fit_verdict=FitVerdict.PASS,
)  # fmt: skip


def estimate(mean: float, unit: str = "EUR") -> Estimate:
    return Estimate(mean=mean, median=mean, hdi_low=mean - 1, hdi_high=mean + 1, unit=unit)


def outcome(delta: float, unit: str = "EUR") -> Outcome:
    return Outcome(
        reference=estimate(9, unit), scenario=estimate(9 + delta, unit),
        delta=estimate(delta, unit), probability_better=0.5, reasons={},
    )  # fmt: skip


def scenario(
    factors: dict[str, float],
    *,
    window: Window = QUARTER,
    base: float = 100.0,
    model: ModelUsed = MODEL,
    run: str = "r",
    delta: float = 5.0,
    unit: str = "EUR",
    reference: str = "the spend of the same periods a year before",
) -> Answer:
    plan = ScenarioResult(
        name="Your scenario",
        window=window,
        unit=unit,
        reference_plan=reference,
        totals={name: base * factors.get(name, 1.0) for name in NAMES},
        reference_totals=dict.fromkeys(NAMES, base),
        outcome=outcome(delta, unit),
        warnings=(),
    )
    return Answer(
        workflow_id=run, answered_at=DAY, question="?", kind=QueryKind.SIMULATE, model=model,
        scenario=plan,
    )  # fmt: skip


def allocation(
    shares: dict[str, float], *, total: float = 300.0, run: str = "r", model: ModelUsed = MODEL,
    converged: bool = True, fixed: str | None = None,
) -> Answer:  # fmt: skip
    bounds = {name: {"low": 0.0, "high": total} for name in NAMES}
    if fixed is not None:
        bounds[fixed] = {"low": 100.0, "high": 100.0}
    found = Optimization.model_validate(
        {
            "window": QUARTER, "unit": "EUR", "total": total,
            "allocation": {name: total * shares[name] for name in NAMES},
            "reference_totals": dict.fromkeys(NAMES, 100.0), "bounds": bounds,
            "outcome": outcome(5.0), "mroas": {}, "converged": converged, "iterations": 3,
            "warnings": (),
        }
    )  # fmt: skip
    return Answer(
        workflow_id=run, answered_at=DAY, question="?", kind=QueryKind.OPTIMIZE, model=model,
        found=found,
    )  # fmt: skip


FACTORS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.0, 0.5, 1.2, 2.0]))


@given(FACTORS, FACTORS)
def test_likeness_is_symmetric_between_0_and_1_and_full_for_the_same_moves(
    one: dict[str, float], other: dict[str, float]
) -> None:
    left, right = scenario(one), scenario(other)
    found = likeness(left, right)
    assert found == likeness(right, left)
    assert 0 <= found <= 1
    assert likeness(left, left) == (1.0 if one else 0.0)
    assert is_same_plan(left, left) and is_same_plan(left, right) == is_same_plan(right, left)
    if one and other and is_same_plan(left, right):
        assert found == 1.0
    assert likeness(left, allocation(dict.fromkeys(NAMES, 1 / 3))) == 0.0


def test_plans_that_go_the_same_way_stand_before_those_that_go_apart() -> None:
    asked = scenario({"TV": 1.2})
    same = scenario({"TV": 1.2}, run="same")
    more = scenario({"TV": 1.5}, run="more")
    less = scenario({"TV": 0.8}, run="less")
    both = scenario({"TV": 1.2, "Radio": 2.0}, run="both")
    other = scenario({"Radio": 2.0}, run="other")
    found = find_alike(asked, [other, both, less, more, same])
    assert [a.workflow_id for a in found] == ["same", "more", "both", "less"]


@pytest.mark.parametrize(
    ("earlier", "is_same"),
    [
        (scenario({"TV": 1.2}, base=250.0), True),  # the same share of another reference
        (scenario({"TV": 1.12}, base=1000.0 / 6), True),  # the same 20 on top
        (scenario({"TV": 1.2004}), True),
        (scenario({"TV": 1.25}), False),
        (scenario({"TV": 1.2, "Radio": 1.2}), False),
        (scenario({"Radio": 1.2}), False),
        (scenario({"TV": 1.12}, base=1000.0 / 6, unit="USD"), False),
    ],
)
def test_a_plan_is_the_same_by_its_share_or_by_its_money(earlier: Answer, is_same: bool) -> None:
    assert is_same_plan(scenario({"TV": 1.2}), earlier) is is_same


def test_one_plan_on_one_model_is_shown_once_and_at_most_three_are() -> None:
    equal = [scenario({"TV": 1.2}, run=f"equal{i}") for i in range(4)]
    assert [a.workflow_id for a in nearest(equal)] == ["equal0"]
    distinct = [scenario({"TV": 1.1 + i / 10}, run=str(i)) for i in range(5)]
    assert len(nearest(distinct)) == 3


def test_a_reference_that_spends_another_sum_by_now_is_told() -> None:
    said = compare_with(scenario({"TV": 1.2}, base=200.0), scenario({"TV": 1.2}), found_by="plan")
    assert said.now is not None
    assert "its reference spent 300 EUR and this one 600 EUR" in said.said


def test_another_target_keeps_figures_apart() -> None:
    other = MODEL.model_copy(update={"target": "Leads", "sha256": "c" * 64})
    said = compare_with(
        scenario({"TV": 1.2}, model=other, unit="leads"), scenario({"TV": 1.2}), found_by="plan"
    )
    assert said.now is None
    assert any("it is about Revenue in EUR" in reason for reason in said.differs)


def test_a_window_that_is_past_by_now_has_another_reference() -> None:
    past = scenario({"TV": 1.2}, reference="what was spent")
    said = compare_with(past, scenario({"TV": 1.2}), found_by="plan")
    assert said.same_plan and said.now is None
    assert "this one's is what was spent" in said.said


def test_figures_of_a_fit_that_failed_are_held_against_nothing() -> None:
    failed = MODEL.model_copy(update={"fit_verdict": FitVerdict.FAIL, "sha256": "f" * 64})
    said = compare_with(scenario({"TV": 1.2}, model=failed), scenario({"TV": 1.2}), found_by="plan")
    assert said.now is None and said.delta is not None
    assert "the fit of this answer failed its diagnostics" in said.differs
    even, tilted = dict.fromkeys(NAMES, 1 / 3), {"TV": 0.5, "Search": 1 / 3, "Radio": 1 / 6}
    earlier = [allocation(even, run="a"), allocation(tilted, total=600.0, run="b")]
    found = find_patterns(allocation(tilted, model=failed), earlier)
    assert found and all(p.now is None for p in found)


def test_a_larger_budget_is_no_gain_for_all() -> None:
    even = dict.fromkeys(NAMES, 1 / 3)
    tilted = {"TV": 0.5, "Search": 1 / 3, "Radio": 1 / 6}
    earlier = [allocation(even, total=900.0, run="a"), allocation(tilted, total=600.0, run="b")]
    found = {p.channel: p for p in find_patterns(allocation(tilted), earlier)}
    assert (found["TV"].gains, found["TV"].keeps) == (1, 1)
    assert (found["Radio"].loses, found["Radio"].keeps) == (1, 1)
    assert found["Search"].keeps == 2
    assert found["TV"].said == (
        "In 2 earlier best allocations, on 1 model, TV gains share in 1, keeps its share in 1; "
        "in that of this answer it gains share."
    )


def test_patterns_leave_out_failed_fits_unsettled_searches_and_channels_without_a_choice() -> None:
    tilted = {"TV": 0.5, "Search": 1 / 3, "Radio": 1 / 6}
    failed = MODEL.model_copy(update={"fit_verdict": FitVerdict.FAIL, "sha256": "f" * 64})
    earlier = [
        allocation(tilted, run="a"),
        allocation(tilted, run="equal"),
        allocation(tilted, total=600.0, run="failed", model=failed),
        allocation(tilted, total=700.0, run="unsettled", converged=False),
    ]
    asked = allocation(tilted)
    assert find_patterns(asked, earlier) == (), "one answer is no pattern"
    found = find_patterns(asked, [*earlier, allocation(tilted, total=800.0, run="b", fixed="TV")])
    assert {p.channel: p.answers for p in found} == {"Search": 2, "Radio": 2}
    assert set(found[0].workflow_ids) & {"failed", "unsettled"} == set()


def test_windows_of_other_lengths_are_farther_apart() -> None:
    year = Window(start=QUARTER.start, end=QUARTER.start + timedelta(days=363))
    asked = scenario({"TV": 1.2})
    assert periods_apart(asked, asked) == 0
    assert 0 < periods_apart(asked, scenario({"TV": 1.2}, window=year)) < 1


def test_a_question_is_shown_on_one_line_with_nothing_that_hides() -> None:
    assert one_question("raise TV\n\x1b[31mnow\u202e \u200bplease") == "raise TV [31mnow please"
    assert len(one_question("a" * 999)) <= 303


def results(information: Information | None = None) -> ModelResults:
    some = estimate(1.0)
    channel = ChannelResult(
        channel="TV_Spend", spend=Amount(value=1, unit="EUR"), contribution=some, share=some,
        roas=some, roi=None, cost_per_contribution=None, mroas=None, information=information,
        verdict=None, reasons={},
    )  # fmt: skip
    return ModelResults(
        target="Revenue", unit="EUR", spend_unit="EUR", window=QUARTER, depth=Depth.STANDARD,
        seed=1, diagnostics=Diagnostics(rhat_max=1, ess_bulk_min=9, ess_tail_min=9, divergences=0,
                                        draws=9, chains=4, checks=(), not_run=()),
        fit_verdict=FitVerdict.PASS, channels=(channel,), drivers=(), baseline=some,
        fit=GoodnessOfFit(r2=some, mape=0.1, coverage=0.9, holdout=None, reasons={}),
    )  # fmt: skip


def asked_of(draws: Draws, *changes: Change) -> Answer:
    reference = make_reference(draws, next_periods(draws, 13))
    plan = run_scenario(draws, reference, changes, name="Your scenario")
    return Answer(
        workflow_id="r", answered_at=DAY, question="?", kind=QueryKind.SIMULATE, model=MODEL,
        scenario=plan,
    )  # fmt: skip


def codes(draws: Draws, asked: Answer, told: ModelResults) -> set[tuple[str, str | None]]:
    reference = make_reference(draws, asked.window)
    return {(p.code, p.channel) for p in practices_for(asked, draws, reference, told)}


def change(kind: ChangeKind, amount: float) -> Change:
    return Change(channel="TV_Spend", kind=kind, amount=amount)


def test_only_a_large_step_is_to_be_taken_in_steps(draws: Draws) -> None:
    small = asked_of(draws, change(ChangeKind.MULTIPLY, 1.05))
    assert ("large_step", "TV_Spend") not in codes(draws, small, results())
    large = asked_of(draws, change(ChangeKind.MULTIPLY, 4.0))
    (found,) = [
        p
        for p in practices_for(large, draws, make_reference(draws, large.window), results())
        if p.code == "large_step"
    ]
    spend = draws.spend[:, 0]
    (move,) = large.moves
    assert found.measured == pytest.approx((move.on_top / 13) / (spend.max() - spend.min()))
    assert found.measured > found.limit == LARGE_STEP
    assert found.study.authors and found.study.year and found.study.published_in


def test_stopping_what_never_stopped_is_to_be_tried_in_parts(draws: Draws) -> None:
    stop = change(ChangeKind.SET, 0.0)
    assert draws.spend[:, 0].min() == 0
    assert ("never_stopped", "TV_Spend") not in codes(draws, asked_of(draws, stop), results())
    always = replace(draws, spend=draws.spend + 100.0)
    assert ("never_stopped", "TV_Spend") in codes(always, asked_of(always, stop), results())


@pytest.mark.parametrize(("data_share", "called_for"), [(0.1, True), (0.9, False)])
def test_a_channel_that_its_prior_decides_calls_for_a_lift_test(
    draws: Draws, data_share: float, called_for: bool
) -> None:
    told = Information(prior=estimate(1.0), data_share=data_share, prior_share=1 - data_share)
    asked = asked_of(draws, change(ChangeKind.MULTIPLY, 1.2))
    found = codes(draws, asked, results(told))
    assert (("prior_decides", "TV_Spend") in found) is called_for
    other = asked_of(draws, Change(channel="Radio_Spend", kind=ChangeKind.MULTIPLY, amount=1.2))
    assert ("prior_decides", "TV_Spend") not in codes(draws, other, results(told))


def test_a_gain_that_may_be_nothing_is_said_of_a_scenario_alone(draws: Draws) -> None:
    unsure = replace(draws, beta=draws.beta * np.linspace(-1, 1, draws.count)[:, None])
    asked = asked_of(unsure, change(ChangeKind.MULTIPLY, 1.2))
    assert ("gain_may_be_nothing", None) in codes(unsure, asked, results())
    sure = asked_of(draws, change(ChangeKind.MULTIPLY, 1.2))
    assert ("gain_may_be_nothing", None) not in codes(draws, sure, results())
    reference = make_reference(draws, next_periods(draws, 13))
    total = float(reference.totals.sum())
    found = optimize(draws, reference, total, default_bounds(draws, reference, total))
    wide = found.model_copy(update={"outcome": outcome(0.0)})
    best = asked.model_copy(update={"kind": QueryKind.OPTIMIZE, "scenario": None, "found": wide})
    assert ("gain_may_be_nothing", None) not in codes(draws, best, results())

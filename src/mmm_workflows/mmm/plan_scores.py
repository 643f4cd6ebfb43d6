"""Plans of earlier answers against what was really spent and what really came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import interval, money, percent
from mmm_workflows.mmm.forecast import Forecast
from mmm_workflows.mmm.optimize import Optimization, plan_for
from mmm_workflows.mmm.results import FloatArray, Window, summarise
from mmm_workflows.mmm.scenario import ScenarioResult, contribution
from mmm_workflows.mmm.scorecards import (
    Adherence,
    NotScored,
    NotScoredWhy,
    PlanKind,
    PlanScore,
    PlanScores,
)
from mmm_workflows.mmm.scores import inside_hdi
from mmm_workflows.mmm.windows import PERIOD_WORD, Reference, make_reference

# Money that went elsewhere than planned, as a share of the plan, up to which it was followed.
FOLLOWED: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class EarlierPlan:
    """One plan of an earlier answer; ``totals`` is money per channel in the window."""

    workflow_id: str
    question: str
    model_path: str
    kind: PlanKind
    window: Window
    totals: dict[str, float]


def plans_of(
    workflow_id: str, question: str, model_path: str, scenarios: Sequence[ScenarioResult],
    found: Optimization | None,
) -> tuple[EarlierPlan, ...]:  # fmt: skip
    """The plans of one answer: its scenarios, and its best allocation."""
    plans: list[tuple[PlanKind, Window, dict[str, float]]] = [
        ("scenario", s.window, s.totals) for s in scenarios
    ]
    if found is not None:
        plans.append(("allocation", found.window, found.allocation))
    return tuple(
        EarlierPlan(
            workflow_id=workflow_id, question=question, model_path=model_path,
            kind=kind, window=window, totals=totals,
        )
        for kind, window, totals in plans
    )  # fmt: skip


def score_plans(
    plans: Sequence[EarlierPlan], draws: Draws, forecast: Forecast, later: pd.DataFrame
) -> PlanScores:
    """Score the plans that were made on the model of the draws; say of the others why not."""
    scored: list[PlanScore] = []
    left: list[NotScored] = []
    for plan in plans:
        found = _why_not(plan, draws, later) or _score(plan, draws, forecast, later)
        if isinstance(found, PlanScore):
            scored.append(found)
        else:
            left.append(found)
    return PlanScores(scored=tuple(scored), not_scored=tuple(left))


def other_model(plan: EarlierPlan) -> NotScored:
    """That a plan was made on another model, and how it is scored."""
    return _left(
        plan, "other_model",
        f"was made on the model {plan.model_path}: give it as --model-artifact-path to score it",
    )  # fmt: skip


def unreadable(workflow_id: str, kind: PlanKind) -> NotScored:
    """That an answer's plan was stored in a form that is not known here."""
    return NotScored(
        workflow_id=workflow_id,
        kind=kind,
        why="unreadable",
        message=f"The {kind} of run {workflow_id} cannot be read: another version stored it.",
    )


def _why_not(plan: EarlierPlan, draws: Draws, later: pd.DataFrame) -> NotScored | None:
    start, last = np.datetime64(plan.window.start), draws.dates[-1]
    if start <= last:
        return _left(
            plan, "past_window",
            f"is about {plan.window.start} to {plan.window.end}, which the model had seen: what "
            "else would have come then was never seen",
        )  # fmt: skip
    if start > np.datetime64(later.index[-1].date()):
        return _left(
            plan, "not_yet", f"begins on {plan.window.start}, after the last period of the actuals"
        )
    return None


def _score(
    plan: EarlierPlan, draws: Draws, forecast: Forecast, later: pd.DataFrame
) -> PlanScore | NotScored:
    try:
        asked = make_reference(draws, plan.window)
    except QueryError as error:
        return _left(plan, "unreadable", f"cannot be read any more: {error.message}")
    unlike = set(plan.totals) ^ set(draws.channels)
    if unlike:
        return _left(plan, "unreadable", f"has other channels: {', '.join(sorted(unlike))}")
    real = _real_reference(asked, draws, later)
    covered = real.dates.size
    totals = np.array([plan.totals[name] for name in draws.channels])
    planned = plan_for(asked, totals)[:covered]
    by_plan, by_actual = _brought(draws, real, planned), _brought(draws, real, real.spend)
    at = int(np.searchsorted(later.index.to_numpy(), real.dates[0].astype("datetime64[ns]")))
    total = forecast.observed[:, at : at + covered].sum(axis=1)
    came = float(later[draws.target].iloc[at : at + covered].sum())
    kept = _adherence(draws, planned, real.spend)
    facts = PlanScore(
        workflow_id=plan.workflow_id,
        question=plan.question,
        kind=plan.kind,
        window=plan.window,
        covered=real.window,
        periods=asked.dates.size,
        covered_periods=covered,
        unit=draws.spend_unit,
        adherence=kept,
        followed=_followed(kept),
        planned_outcome=summarise(by_plan, draws.target_unit),
        actual_outcome=summarise(by_actual, draws.target_unit),
        difference=summarise(by_actual - by_plan, draws.target_unit),
        target_actual=came,
        target_forecast=summarise(total, draws.target_unit),
        target_inside=inside_hdi(total, came),
        message="",
    )
    return facts.model_copy(update={"message": _told(facts, draws)})


def _real_reference(asked: Reference, draws: Draws, later: pd.DataFrame) -> Reference:
    """The covered periods of a plan with the spend that really was, in them and before."""
    dates = asked.dates[asked.dates <= np.datetime64(later.index[-1].date())]
    spend = np.vstack([draws.spend, later[list(draws.channels)].to_numpy(np.float64)])
    every = np.concatenate([draws.dates, later.index.to_numpy().astype("datetime64[D]")])
    first, side = int(np.searchsorted(every, dates[0])), draws.l_max - 1
    nothing = np.zeros((side, spend.shape[1]))
    return Reference(
        window=Window(start=dates[0].item(), end=dates[-1].item()),
        dates=dates,
        before=np.vstack([nothing, spend])[first : first + side],
        spend=spend[first : first + dates.size],
        after=nothing,
        how="what was spent",
    )


def _brought(draws: Draws, real: Reference, spend: FloatArray) -> FloatArray:
    total = np.zeros(draws.count)
    for c in range(len(draws.channels)):
        total += contribution(draws, real, c, spend[:, c])
    return total


def _adherence(draws: Draws, planned: FloatArray, spent: FloatArray) -> tuple[Adherence, ...]:
    sums = zip(draws.channels, planned.sum(axis=0), spent.sum(axis=0), strict=True)
    return tuple(
        Adherence(
            channel=name,
            planned=float(plan),
            actual=float(real),
            ratio=float(real / plan) if plan > 0 else None,
        )
        for name, plan, real in sums
    )


def _followed(adherence: Sequence[Adherence]) -> bool:
    off = sum(abs(a.actual - a.planned) for a in adherence)
    return off <= FOLLOWED * sum(a.planned for a in adherence)


def _told(plan: PlanScore, draws: Draws) -> str:
    word = PERIOD_WORD[draws.frequency]
    planned = sum(a.planned for a in plan.adherence)
    spent = sum(a.actual for a in plan.adherence)
    share = f" ({percent(spent / planned)})" if planned > 0 else ""
    said = (
        f"{plan.covered_periods} of {plan.periods} {word} of the {plan.kind} of run "
        f"{plan.workflow_id}: {money(spent, plan.unit)} were spent of "
        f"{money(planned, plan.unit)} planned{share}. By the model, media brings "
        f"{interval(plan.difference)} {plan.difference.unit} more by what was spent than by the plan. "
        f"{draws.target} came to {money(plan.target_actual, plan.target_forecast.unit)} where "
        f"{interval(plan.target_forecast)} was forecast for that spend."
    )
    if plan.followed:
        return said
    return f"{said} The plan was not followed, so the target says nothing about it."


def _left(plan: EarlierPlan, why: NotScoredWhy, told: str) -> NotScored:
    return NotScored(
        workflow_id=plan.workflow_id,
        kind=plan.kind,
        why=why,
        message=f"The {plan.kind} of run {plan.workflow_id} {told}.",
    )

"""Answers to what-if questions as they were stored, and how alike what they were asked is."""

from __future__ import annotations

import math
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pydantic import model_validator

from mmm_workflows.mmm.figures import money
from mmm_workflows.mmm.material import visible
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.results import FitVerdict, Value, Window
from mmm_workflows.mmm.scenario import Outcome, ScenarioResult
from mmm_workflows.records import Json, Run

if TYPE_CHECKING:
    from mmm_workflows.mmm.model_files import ModelFolder

MAX_QUESTION: Final = 300
# Two plans that differ by a smaller share are one plan said in other words.
SAME_SHARE: Final = 0.005
# A total that moves by less is what rounding leaves.
_NOTHING: Final = 1e-6


class Direction(StrEnum):
    """Where a spend goes against its reference."""

    UP = "up"
    DOWN = "down"
    SAME = "same"


class ModelUsed(Value):
    """The fit that an answer rests on."""

    name: str
    sha256: str
    mff_sha256: str
    fitted_at: datetime
    target: str
    fit_verdict: FitVerdict


class Move(Value):
    """A channel that a plan changes, with its money in the window."""

    channel: str
    reference: float
    planned: float

    @property
    def direction(self) -> Direction:
        """Whether it gets more or less."""
        return direction(self.planned, self.reference)

    @property
    def on_top(self) -> float:
        """The money that it gets beyond its reference."""
        return self.planned - self.reference

    @property
    def share(self) -> float:
        """The planned money over the reference; infinite where that is nothing."""
        return self.planned / self.reference if self.reference else math.inf


class Answer(Value):
    """A question that was answered: what it asked for, on which model, and what came of it."""

    workflow_id: str
    answered_at: datetime
    question: str
    kind: QueryKind
    model: ModelUsed
    scenario: ScenarioResult | None = None
    found: Optimization | None = None

    @model_validator(mode="after")
    def _has_its_plan(self) -> Answer:
        is_asked = {QueryKind.SIMULATE: self.scenario, QueryKind.OPTIMIZE: self.found}
        if is_asked.get(self.kind) is None:
            raise ValueError(f"the answer {self.workflow_id} has no plan of kind {self.kind}")
        return self

    @property
    def plan(self) -> ScenarioResult | Optimization:
        """The plan that was asked for; beside a scenario its best allocation is only offered."""
        chosen = self.scenario if self.kind is QueryKind.SIMULATE else self.found
        assert chosen is not None
        return chosen

    @property
    def window(self) -> Window:
        """The periods that were asked about."""
        return self.plan.window

    @property
    def outcome(self) -> Outcome:
        """What the plan brings against its reference."""
        return self.plan.outcome

    @property
    def unit(self) -> str:
        """The currency of the spend."""
        return self.plan.unit

    @property
    def planned(self) -> dict[str, float]:
        """Money of the plan by channel."""
        plan = self.plan
        return plan.totals if isinstance(plan, ScenarioResult) else plan.allocation

    @property
    def moves(self) -> tuple[Move, ...]:
        """The channels that the plan changes."""
        reference = self.plan.reference_totals
        every = (
            Move(channel=name, reference=reference[name], planned=planned)
            for name, planned in self.planned.items()
        )
        return tuple(move for move in every if move.direction is not Direction.SAME)


def direction(planned: float, reference: float) -> Direction:
    """Whether a total is above or below its reference, rounding aside."""
    if abs(planned - reference) <= _NOTHING * max(abs(reference), 1.0):
        return Direction.SAME
    return Direction.UP if planned > reference else Direction.DOWN


def model_used(folder: ModelFolder) -> ModelUsed:
    """Which fit this is."""
    results = folder.results()
    return ModelUsed(
        name=folder.path.name,
        sha256=folder.sha256,
        mff_sha256=folder.manifest.mff_sha256,
        fitted_at=folder.manifest.created_at,
        target=results.target,
        fit_verdict=results.fit_verdict,
    )


def one_question(text: str) -> str:
    """A question as it is shown beside another answer: on one line, nothing in it that hides."""
    said = " ".join(visible(text).split())
    return said if len(said) <= MAX_QUESTION else f"{said[:MAX_QUESTION]}..."


def read_answer(run: Run) -> Answer | None:
    """The answer that a What-If run left; None when it was stored without what is needed of it."""
    result = run.result or {}
    try:
        return Answer(
            workflow_id=run.workflow_id,
            answered_at=run.updated_at,
            question=one_question(_question(run, result)),
            kind=QueryKind(result["interpretation"]["kind"]),
            model=ModelUsed.model_validate(result["model"]),
            scenario=_first(result["scenario_results"]),
            found=_allocation(result["optimization_results"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def likeness(asked: Answer, earlier: Answer) -> float:
    """How much of what two plans change is the same, from 0 to 1; 0 for plans of another kind.

    Of the channels that either scenario changes, those count that both do: in full where both give
    more or both less, by half where they go apart. Allocations are alike in the same way, by the
    direction of their totals.
    """
    if asked.kind is not earlier.kind:
        return 0.0
    if asked.kind is QueryKind.OPTIMIZE:
        return _agreement(_total_direction(asked), _total_direction(earlier))
    one, other = ({m.channel: m.direction for m in answer.moves} for answer in (asked, earlier))
    either = set(one) | set(other)
    return sum(_agreement(one[n], other[n]) for n in set(one) & set(other)) / max(len(either), 1)


def is_same_plan(asked: Answer, earlier: Answer) -> bool:
    """Whether two plans ask the same of every channel, as a share, as a sum or as money on top."""
    if asked.kind is not earlier.kind:
        return False
    if asked.kind is QueryKind.OPTIMIZE:
        return _is_same_allocation(asked, earlier)
    one, other = ({m.channel: m for m in answer.moves} for answer in (asked, earlier))
    if set(one) != set(other):
        return False
    if all(_is_close(one[n].share, other[n].share) for n in one):
        return True
    return asked.unit == earlier.unit and (
        all(_is_close(one[n].planned, other[n].planned) for n in one)
        or all(_is_close(one[n].on_top, other[n].on_top) for n in one)
    )


def periods_apart(asked: Answer, earlier: Answer) -> float:
    """How far the lengths of two windows are apart: 0 for equal ones, towards 1."""
    one, other = (_days(a.window.start, a.window.end) for a in (asked, earlier))
    return 1 - min(one, other) / max(one, other)


def differences(asked: Answer, earlier: Answer) -> tuple[str, ...]:
    """What keeps the figures of two answers from being held against each other; none when nothing."""
    said = []
    if earlier.window != asked.window:
        said.append(f"its window is {earlier.window.start} to {earlier.window.end}")
    if earlier.unit != asked.unit:
        said.append(f"its spend is in {earlier.unit} and this in {asked.unit}")
    one, other = earlier.outcome.delta.unit, asked.outcome.delta.unit
    if earlier.model.target != asked.model.target or one != other:
        said.append(
            f"it is about {earlier.model.target} in {one} and this about "
            f"{asked.model.target} in {other}"
        )
    if earlier.scenario and asked.scenario:
        before, here = earlier.scenario.reference_plan, asked.scenario.reference_plan
        if before != here:
            said.append(f"its reference is {before} and this one's is {here}")
    if asked.model.fit_verdict is FitVerdict.FAIL:
        said.append("the fit of this answer failed its diagnostics")
    return tuple(said)


def reference_change(asked: Answer, earlier: Answer) -> str | None:
    """That the reference of the same window spends another sum by now, if it does."""
    one, other = (sum(a.plan.reference_totals.values()) for a in (earlier, asked))
    if abs(one - other) <= SAME_SHARE * max(abs(one), 1.0):
        return None
    return f"its reference spent {money(one, earlier.unit)} and this one {money(other, asked.unit)}"


def model_change(asked: ModelUsed, earlier: ModelUsed) -> str:
    """How this answer's model stands to that of an earlier one."""
    if asked.sha256 == earlier.sha256:
        return "by the same model"
    order = "after" if asked.fitted_at > earlier.fitted_at else "before"
    data = "the same data" if asked.mff_sha256 == earlier.mff_sha256 else "other data"
    return f"by a model that was fitted {order} that one, on {data}"


def _is_close(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_SHARE * max(abs(one), abs(other))


def _is_same_allocation(asked: Answer, earlier: Answer) -> bool:
    one, other = asked.found, earlier.found
    assert one is not None and other is not None
    if set(one.bounds) != set(other.bounds):
        return False
    shares = (found.total / (sum(found.reference_totals.values()) or 1.0) for found in (one, other))
    is_same_total = _is_close(*shares) or (
        one.unit == other.unit and _is_close(one.total, other.total)
    )
    return is_same_total and all(
        _is_close(one.bounds[name].low / one.total, other.bounds[name].low / other.total)
        and _is_close(one.bounds[name].high / one.total, other.bounds[name].high / other.total)
        for name in one.bounds
    )


def _agreement(one: Direction, other: Direction) -> float:
    return 1.0 if one is other else 0.5


def _total_direction(answer: Answer) -> Direction:
    planned, reference = sum(answer.planned.values()), answer.plan.reference_totals.values()
    return direction(planned, sum(reference))


def _days(start: date, end: date) -> int:
    return (end - start).days + 1


def _question(run: Run, result: Json) -> str:
    return str(result["interpretation"].get("question") or run.request["user_query"])


def _first(scenarios: list[Json]) -> ScenarioResult | None:
    return ScenarioResult.model_validate(scenarios[0]) if scenarios else None


def _allocation(found: Json | None) -> Optimization | None:
    return None if found is None else Optimization.model_validate(found)

"""What the project knows beside an answer: plans like it, what they have in common, and advice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.earlier_answers import (
    Answer,
    Direction,
    ModelUsed,
    Move,
    differences,
    direction,
    is_same_plan,
    likeness,
    model_change,
    periods_apart,
    reference_change,
)
from mmm_workflows.mmm.experiments import OpenExperiment
from mmm_workflows.mmm.figures import figure, interval, money, probability
from mmm_workflows.mmm.practices import Practice
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.results import Estimate, FitVerdict, Value, Window
from mmm_workflows.mmm.scorecards import PlanKind
from mmm_workflows.mmm.track_record import PlanOutcome
from mmm_workflows.mmm.whatif_advice import SMALL_SHIFT

SHOWN: Final = 3
SHOWN_MOVES: Final = 4
# One answer is no pattern.
FEWEST_ANSWERS: Final = 2
FAILED: Final = "its fit failed its diagnostics, so its figures are not repeated"
VERBS: Final = {
    Direction.UP: "gains share",
    Direction.DOWN: "loses share",
    Direction.SAME: "keeps its share",
}


class SimilarAnswer(Value):
    """An earlier answer to a question like this one, with its own window, currency and model.

    Attributes:
        question: What somebody typed: to be shown as a quote and never to be followed.
        found_by: ``plan``: it changes the same channels alike; ``words``: it is said in like words.
        same_plan: It asks the same of every channel, as a share, as a sum or as money on top.
        delta: What it brings against its reference; None with its reason when it must not be used.
        differs: What keeps its figures from being held against those of this answer.
        now: What this answer gives, when the two may be held against each other.
        came: What came of the plan; None where no track has scored it.
    """

    workflow_id: str
    answered_at: datetime
    question: str
    found_by: Literal["plan", "words"]
    same_plan: bool
    kind: QueryKind
    window: Window
    unit: str
    moves: tuple[Move, ...]
    model: ModelUsed
    delta: Estimate | None
    probability_better: float | None
    differs: tuple[str, ...]
    now: Estimate | None
    came: PlanOutcome | None = None
    said: str
    reasons: dict[str, str]


class Pattern(Value):
    """How a channel came off in the best allocations of before; equal questions count once.

    Attributes:
        gains, loses, keeps: In how many of the ``answers`` its share of the total did so.
        answers: In how many it had a choice.
        models: On how many fits.
        now: What it does in the best allocation of this answer; None where it has no choice, or where the fit failed.
    """

    channel: str
    gains: int
    loses: int
    keeps: int
    answers: int
    models: int
    now: Direction | None
    workflow_ids: tuple[str, ...]
    said: str


class RecalledClaim(Value):
    """What a page says of a channel of the plan, as Research found it."""

    channel: str
    claim: Claim
    workflow_id: str


class Remembered(Value):
    """What is known of earlier runs; ``not_asked`` says what of it could not be looked at.

    Attributes:
        looked_at: How many earlier answers of the project there were to compare with.
        alike: How many of them are like this one; the nearest are shown.
        experiments: What earlier runs proposed for the channels that the plan changes.
    """

    looked_at: int
    alike: int
    similar: tuple[SimilarAnswer, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    claims: tuple[RecalledClaim, ...] = ()
    practices: tuple[Practice, ...] = ()
    experiments: tuple[OpenExperiment, ...] = ()
    not_asked: tuple[str, ...] = ()


def find_alike(asked: Answer, earlier: Iterable[Answer]) -> tuple[Answer, ...]:
    """The earlier answers to plans like this one, the nearest first, then the newest."""
    near = [answer for answer in earlier if likeness(asked, answer) > 0]
    return tuple(sorted(near, key=lambda answer: _nearness(asked, answer)))


def nearest(alike: Iterable[Answer]) -> tuple[Answer, ...]:
    """The first few of some answers, one plan on one model once."""
    shown: list[Answer] = []
    for answer in alike:
        if not any(_is_equal(answer, other) for other in shown):
            shown.append(answer)
    return tuple(shown[:SHOWN])


def compare_with(
    asked: Answer, earlier: Answer, *, found_by: Literal["plan", "words"],
    came: PlanOutcome | None = None,
) -> SimilarAnswer:  # fmt: skip
    """An earlier answer as it is shown beside this one, with what came of its plan."""
    failed = earlier.model.fit_verdict is FitVerdict.FAIL
    is_same, differs = is_same_plan(asked, earlier), differences(asked, earlier)
    comparable = is_same and not differs and not failed
    return SimilarAnswer(
        workflow_id=earlier.workflow_id,
        answered_at=earlier.answered_at,
        question=earlier.question,
        found_by=found_by,
        same_plan=is_same,
        kind=earlier.kind,
        window=earlier.window,
        unit=earlier.unit,
        moves=earlier.moves,
        model=earlier.model,
        delta=None if failed else earlier.outcome.delta,
        probability_better=None if failed else earlier.outcome.probability_better,
        differs=differs,
        now=asked.outcome.delta if comparable else None,
        came=None if failed else came,
        said=" ".join(
            (
                *_sentences(asked, earlier, found_by, comparable),
                *(() if failed or came is None else (came.said,)),
            )
        ),
        reasons={"delta": FAILED} if failed else {},
    )


def came_of(
    answer: Answer, earlier: Iterable[Answer], outcomes: Mapping[tuple[str, PlanKind], PlanOutcome]
) -> PlanOutcome | None:
    """What came of a plan: as its own answer was scored, else another one of the same plan."""
    kind: PlanKind = "scenario" if answer.kind is QueryKind.SIMULATE else "allocation"
    same = [answer, *(other for other in earlier if _is_equal(answer, other))]
    return next((found for one in same if (found := outcomes.get((one.workflow_id, kind)))), None)


def find_patterns(asked: Answer, earlier: Sequence[Answer]) -> tuple[Pattern, ...]:
    """What earlier best allocations did to each channel, counted over different questions.

    Allocations of failed fits, of another target and those that did not settle are left out, and
    so is a channel where its bounds left it no choice. Shares of the total are compared, so that
    a larger budget is no gain for all.
    """
    usable = list({_key(a): a for a in reversed(earlier) if _is_usable(asked, a)}.values())
    return tuple(
        pattern for name in asked.planned if (pattern := _pattern(asked, usable, name)) is not None
    )


def describe_remembered(remembered: Remembered | None) -> str:
    """What others typed, line by line, for a writer who is shown it as quoted material."""
    if remembered is None:
        return "nothing"
    lines = [f"asked before: “{similar.question}”" for similar in remembered.similar]
    lines += [f"a page on {c.channel}: “{c.claim.quote}”" for c in remembered.claims]
    return "\n".join(lines) or "nothing"


def _is_equal(one: Answer, other: Answer) -> bool:
    same_model = one.model.sha256 == other.model.sha256
    return same_model and one.window == other.window and is_same_plan(one, other)


def _nearness(asked: Answer, earlier: Answer) -> tuple[bool, float, bool, float, float]:
    return (
        not is_same_plan(asked, earlier),
        -likeness(asked, earlier),
        earlier.window != asked.window,
        periods_apart(asked, earlier),
        -earlier.answered_at.timestamp(),
    )


def _sentences(
    asked: Answer, earlier: Answer, found_by: str, comparable: bool
) -> Iterator[str]:  # fmt: skip
    likewise = "A like plan" if found_by == "plan" else "A plan in like words"
    head = "The same plan" if is_same_plan(asked, earlier) else likewise
    yield (
        f"{head} was asked on {earlier.answered_at:%Y-%m-%d} (run {earlier.workflow_id}): "
        f"{_plan(earlier)}, {earlier.window.start} to {earlier.window.end}."
    )
    change = model_change(asked.model, earlier.model)
    if earlier.model.fit_verdict is FitVerdict.FAIL:
        yield f"{FAILED[0].upper()}{FAILED[1:]}."
        return
    yield f"It brings {_estimate(earlier.outcome.delta)} against its reference{_better(earlier)}."
    if comparable:
        moved = reference_change(asked, earlier)
        yield f"Now it is {_estimate(asked.outcome.delta)}, {change}{f'; {moved}' if moved else ''}."
        return
    apart = () if is_same_plan(asked, earlier) else ("it is another plan",)
    reasons = "; ".join((*apart, *differences(asked, earlier)))
    yield f"Its figures are not held against these: {reasons}. This answer is {change}."


def _plan(answer: Answer) -> str:
    unit = answer.unit
    if answer.kind is QueryKind.OPTIMIZE:
        return f"the best allocation of {money(sum(answer.planned.values()), unit)}"
    moves = [
        f"{m.channel} from {money(m.reference, unit)} to {money(m.planned, unit)}"
        for m in answer.moves
    ]
    more = len(moves) - SHOWN_MOVES
    return ", ".join(moves[:SHOWN_MOVES]) + (f" and {more} more channels" if more > 0 else "")


def _better(answer: Answer) -> str:
    chance = answer.outcome.probability_better
    return (
        "" if chance is None else f"; better after its cost with probability {probability(chance)}"
    )


def _estimate(estimate: Estimate) -> str:
    share = figure(100 * estimate.hdi_prob)
    return f"{interval(estimate)} {estimate.unit} ({share} % interval)"


def _is_usable(asked: Answer, earlier: Answer) -> bool:
    one, other = asked.outcome.delta.unit, earlier.outcome.delta.unit
    return (
        earlier.found is not None
        and earlier.found.converged
        and earlier.model.fit_verdict is not FitVerdict.FAIL
        and (asked.model.target, one) == (earlier.model.target, other)
    )


def _key(answer: Answer) -> str:
    found = answer.found
    assert found is not None
    bounds = {name: (round(b.low, 2), round(b.high, 2)) for name, b in found.bounds.items()}
    asked = [answer.model.sha256, str(found.window), round(found.total, 2), bounds]
    return json.dumps(asked, sort_keys=True)


def _pattern(asked: Answer, usable: Collection[Answer], name: str) -> Pattern | None:
    ways = {a.workflow_id: _way(a, name) for a in usable}
    counted = Counter(way for way in ways.values() if way is not None)
    if counted.total() < FEWEST_ANSWERS:
        return None
    here = tuple(a for a in usable if ways[a.workflow_id] is not None)
    models = len({a.model.sha256 for a in here})
    now = None if asked.model.fit_verdict is FitVerdict.FAIL else _way(asked, name)
    listed = ", ".join(
        f"{VERBS[way]} in {counted[way]}" for way in Direction if counted[way]
    )  # fmt: skip
    return Pattern(
        channel=name,
        gains=counted[Direction.UP],
        loses=counted[Direction.DOWN],
        keeps=counted[Direction.SAME],
        answers=counted.total(),
        models=models,
        now=now,
        workflow_ids=tuple(a.workflow_id for a in here),
        said=f"In {counted.total()} earlier best allocations, on {models} "
        f"{'model' if models == 1 else 'models'}, {name} {listed}"
        f"{'' if now is None else f'; in that of this answer it {VERBS[now]}'}.",
    )


def _way(answer: Answer, name: str) -> Direction | None:
    """Whether a channel's share of the total grows in the best allocation; None without a choice."""
    found = answer.found
    if found is None or name not in found.allocation:
        return None
    bound, whole = found.bounds[name], sum(found.reference_totals.values())
    if bound.low == bound.high or not whole or not found.total:
        return None
    one, other = found.allocation[name] / found.total, found.reference_totals[name] / whole
    if abs(one - other) <= SMALL_SHIFT * max(other, 1e-12):
        return Direction.SAME
    return direction(one, other)

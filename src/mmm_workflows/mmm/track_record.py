"""How earlier forecasts of a project did, as it is shown beside new advice; and a track in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import ValidationError

from mmm_workflows.mmm.figures import figure, interval, money, percent
from mmm_workflows.mmm.narrative import Fact, Facts
from mmm_workflows.mmm.results import Estimate, Value, Window
from mmm_workflows.mmm.scorecards import (
    ASSUMES,
    CANNOT_TELL,
    MIN_PERIODS,
    PassedOver,
    PlanKind,
    PlanScore,
    PlanScores,
    Restated,
    Scores,
)
from mmm_workflows.mmm.windows import PERIOD_WORD
from mmm_workflows.records import Json

NOT_SCORED_YET: Final = (
    "Forecasts of this project are not scored yet: run track when actuals are there."
)


class ScoredForecast(Value):
    """One model's forecast, as the latest track of it scored it.

    Attributes:
        workflow_id: The run that scored it.
        plans: How many plans were scored with it.
    """

    workflow_id: str
    model_artifact_path: str
    target: str
    scores: Scores
    plans: int


class PlanOutcome(Value):
    """What came of the plan of an earlier answer.

    Attributes:
        workflow_id: The run that scored it, the latest that did.
        answer_id: The run that gave the plan.
        followed: Whether the money went as planned; where not, what came says nothing of the plan.
        covered: The part of its window for which there are actuals.
        forecast: Of the target over it, under the spend that really was; ``inside`` says whether
            what came lies in its interval.
    """

    workflow_id: str
    answer_id: str
    followed: bool
    covered: Window
    forecast: Estimate
    actual: float
    inside: bool
    said: str


class TrackRecord(Value):
    """The scored forecasts of a target, the latest run first; and what they amount to."""

    forecasts: tuple[ScoredForecast, ...] = ()
    sentence: str = NOT_SCORED_YET


def record_of(tracked: Sequence[Json], target: str) -> TrackRecord:
    """The record of a target from the results of track runs, the newest first.

    Each model counts once, by the newest run that scored it.
    """
    latest: dict[str, ScoredForecast] = {}
    for result in tracked:
        found = _read(result)
        if found is not None and found.target == target:
            latest.setdefault(found.model_artifact_path, found)
    forecasts = tuple(latest.values())
    if not forecasts:
        return TrackRecord()
    return TrackRecord(forecasts=forecasts, sentence=_recorded(forecasts))


def outcomes_of(tracked: Sequence[Json]) -> dict[tuple[str, PlanKind], PlanOutcome]:
    """What came of plans, by answer and kind, from the results of track runs, the newest first."""
    found: dict[tuple[str, PlanKind], PlanOutcome] = {}
    for result in tracked:
        for score in _plans(result):
            outcome = _outcome(score, str(result["workflow_id"]), str(result["target"]))
            found.setdefault((score.workflow_id, score.kind), outcome)
    return found


def record_facts(record: TrackRecord) -> tuple[Fact, ...]:
    """The figures of the newest scored forecast as a text may refer to them."""
    if not record.forecasts:
        return ()
    return tuple(_facts(record.forecasts[0].scores, "/track_record/forecasts/0/scores", "record."))


def track_facts(scores: Scores, target: str, channels: Sequence[str]) -> Facts:
    """The figures of a track as a text may refer to them."""
    return Facts(tuple(_facts(scores, "/scores", "")), tuple(channels), (target,))


def describe_track(
    scores: Scores, plans: PlanScores, restated: Sequence[Restated], compared: int, target: str
) -> tuple[str, ...]:
    """What a track found, in sentences; each figure stands in the result."""
    word = PERIOD_WORD[scores.frequency]
    said = [
        f"{target} was forecast for {scores.periods} {word} after the model's data, "
        f"{scores.window.start} to {scores.window.end}.",
        scores.coverage_94.message,
        scores.coverage_50.message,
        *_following(scores, word),
        scores.bias.message,
        scores.skill.message,
        *(plan.message for plan in plans.scored),
    ]
    past = sum(left.why == "past_window" for left in plans.not_scored)
    if past:
        said.append(f"{past} plans about the past cannot be scored.")
    other = len(plans.not_scored) - past
    if other:
        said.append(f"{other} more plans are not scored: see plans.not_scored.")
    if plans.scored:
        said.append(CANNOT_TELL)
    return (*said, *_history(restated, compared, word))


def describe_passed(passed: Sequence[PassedOver]) -> tuple[str, ...]:
    """That newer models are not scored, with the reason of the newest."""
    if not passed:
        return ()
    newest = passed[0]
    others = f", and {len(passed) - 1} more: see passed_over" if len(passed) > 1 else ""
    return (f"A newer model is not scored ({newest.model_artifact_path}{others}): {newest.why}",)


def assumptions(restated: Sequence[Restated]) -> tuple[str, ...]:
    """What the forecast takes for granted."""
    if not restated:
        return ASSUMES
    return (*ASSUMES, "What carries over into the first periods is the spend that the fit knew.")


def _following(scores: Scores, word: str) -> Iterator[str]:
    if round(scores.effective_periods) < scores.periods:
        yield (
            f"Misses follow each other from one period to the next, so how many lie inside tells "
            f"less: about as much as {figure(scores.effective_periods)} unrelated {word} would."
        )


def _history(restated: Sequence[Restated], compared: int, word: str) -> Iterator[str]:
    if not compared:
        yield f"The file has no {word} of the model's data, so restated history would not show."
    for told in restated:
        change = ""
        if told.change is not None:
            change = f", their sum by {percent(told.change)}"
        yield (
            f"History was restated: {told.variable} differs in {told.periods} of "
            f"{told.compared} {word} that the model was fitted on{change}. Fit it again."
        )


def _read(result: Json) -> ScoredForecast | None:
    """None of a result that another version wrote: it is not guessed at."""
    try:
        return ScoredForecast(
            workflow_id=result["workflow_id"],
            model_artifact_path=result["model_artifact_path"],
            target=result["target"],
            scores=Scores.model_validate(result["scores"]),
            plans=len(result["plans"]["scored"]),
        )
    except (KeyError, ValidationError):
        return None


def _plans(result: Json) -> tuple[PlanScore, ...]:
    """The scored plans of a track; none of a result that another version wrote."""
    try:
        return PlanScores.model_validate(result["plans"]).scored
    except (KeyError, ValidationError):
        return ()


def _outcome(score: PlanScore, workflow_id: str, target: str) -> PlanOutcome:
    unit, where = score.target_forecast.unit, "inside" if score.target_inside else "outside"
    said = (
        f"This plan was followed: over {score.covered_periods} of its {score.periods} periods "
        f"{interval(score.target_forecast)} {unit} of {target} were forecast, and "
        f"{money(score.target_actual, unit)} came, {where} the interval (run {workflow_id})."
    )
    if not score.followed:
        said = (
            "This plan was not followed, so what came says nothing about it (scored by run "
            f"{workflow_id})."
        )
    return PlanOutcome(
        workflow_id=workflow_id,
        answer_id=score.workflow_id,
        followed=score.followed,
        covered=score.covered,
        forecast=score.target_forecast,
        actual=score.target_actual,
        inside=score.target_inside,
        said=said,
    )


def _recorded(forecasts: Sequence[ScoredForecast]) -> str:
    newest = forecasts[0]
    scores = newest.scores
    word, most = PERIOD_WORD[scores.frequency], scores.coverage_94
    said = (
        f"Forecasts of this project were scored on {scores.periods} {word} up to "
        f"{scores.window.end}: {most.inside} of {most.periods} inside their "
        f"{percent(most.prob)} interval"
    )
    if scores.bias.share is not None:
        said += f", bias {_percent(scores.bias.share)} (what came, less the forecast)"
    if scores.skill.skill is not None:
        said += f", its misses {percent(1 - scores.skill.skill)} of a naive forecast's"
    told = f" (run {newest.workflow_id}"
    if len(forecasts) > 1:
        told += f"; {len(forecasts) - 1} more models were scored"
    few = "" if scores.periods >= MIN_PERIODS else f" So few {word} cannot settle it."
    return f"{said}{told}).{few}"


def _facts(scores: Scores, field: str, at: str) -> Iterator[Fact]:
    word = PERIOD_WORD[scores.frequency]
    for name in ("coverage_50", "coverage_94"):
        found = getattr(scores, name)
        yield Fact(
            reference=f"{at}{name}", field=f"{field}/{name}",
            shown=f"{found.inside} of {found.periods} {word}",
            means=f"how many {word} lay in their {percent(found.prob)} interval of the forecast",
            words=("inside", "interval", "cover", "held", "forecast"),
        )  # fmt: skip
    if scores.bias.share is not None:
        yield Fact(
            reference=f"{at}bias", field=f"{field}/bias/share", shown=_percent(scores.bias.share),
            means="what came less what was forecast, relative to what came",
            words=("bias", "forecast"),
        )  # fmt: skip
    if scores.skill.skill is not None:
        yield Fact(
            reference=f"{at}skill", field=f"{field}/skill/skill", shown=percent(scores.skill.skill),
            means="how much less the forecast missed than a naive one",
            words=("skill", "naive", "miss"),
        )  # fmt: skip


def _percent(share: Estimate) -> str:
    low, high = figure(100 * share.hdi_low), figure(100 * share.hdi_high)
    return f"{figure(100 * share.mean)} % [{low}, {high}]"

"""The scores of forecasts and plans as they are kept and shown; loads no library for tables."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final, Literal

from mmm_workflows.mmm.results import Estimate, Value, Window
from mmm_workflows.mmm.spec import Frequency

# A forecast whose 94 % intervals hold half of the time passes 23 times in 100 with 7, 14 with 8.
MIN_PERIODS: Final = 8
CANNOT_TELL: Final = (
    "What the reference plan would have brought was never seen, so the gain of a plan over it "
    "cannot be scored: only its spend, and the target under the spend that really was, can."
)
ASSUMES: Final = (
    "The trend keeps the slope that it had at the end of the data; bends that come later are not "
    "foreseen.",
    "Spend and controls are those that really were; only the target is forecast.",
    "Media works as it did: a new creative, or spend above all that was seen, is extrapolated.",
)

type PlanKind = Literal["scenario", "allocation"]
type NotScoredWhy = Literal["past_window", "not_yet", "other_model", "unreadable"]


class ScoreVerdict(StrEnum):
    """What a score says: it holds, it does not, the figures leave it open, or they are too few."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "open"
    TOO_FEW = "too_few"


class PeriodScore(Value):
    """One period: what came, and what the forecast had said of it.

    Attributes:
        predicted: Of one observation: the fitted mean with its scatter.
        half_low, half_high: The middle half of what was predicted.
        pit: The probability that the forecast gave to less than what came; over many periods of a
            right forecast these are even between 0 and 1.
    """

    period: date
    actual: float
    predicted: Estimate
    half_low: float
    half_high: float
    pit: float


class Coverage(Value):
    """How many of the periods lie in an interval.

    Attributes:
        low, high: The share that would lie inside were the forecast right, in 94 of 100 futures
            drawn from it; these share the error of its level and parameters.
    """

    prob: float
    inside: int
    periods: int
    share: float
    low: float
    high: float
    verdict: ScoreVerdict
    message: str


class Bias(Value):
    """Actual less forecast; above 0, the forecast was too low.

    Attributes:
        error: Mean per period, in target units.
        share: Of the sum over all periods, relative to what came; None if that is 0.
    """

    error: Estimate
    share: Estimate | None
    verdict: ScoreVerdict
    message: str


class Skill(Value):
    """The forecast's misses beside those of a naive one.

    Attributes:
        mae, naive_mae: Mean absolute miss of the median per period.
        mape, naive_mape: The same relative to what came; None where that was always 0.
        crps: Continuous ranked probability score: a mean absolute miss that knows the spread.
        skill: 1 less ``mae / naive_mae``; None if the naive forecast never missed.
        naive: How the naive forecast was made.
    """

    unit: str
    mae: float
    naive_mae: float
    mape: float | None
    naive_mape: float | None
    crps: float
    skill: float | None
    naive: str
    verdict: ScoreVerdict
    message: str


class Scores(Value):
    """A forecast over all of its periods.

    Attributes:
        correlation: Of a period's miss with the next one's; None of a single period.
        effective_periods: How many would tell about as much if misses did not follow each other.
    """

    window: Window
    unit: str
    frequency: Frequency
    periods: int
    correlation: float | None
    effective_periods: float
    coverage_50: Coverage
    coverage_94: Coverage
    bias: Bias
    skill: Skill


class Adherence(Value):
    """Planned and real spend of a channel in the scored periods; ``ratio`` is None of no plan."""

    channel: str
    planned: float
    actual: float
    ratio: float | None


class PlanScore(Value):
    """One plan against what came.

    Attributes:
        window: As it was planned; ``covered`` is the part for which there are actuals.
        followed: Whether at most a tenth of the planned money went elsewhere or was not spent.
        planned_outcome: What media brings by the plan in the covered periods and by carry-over
            after them, by the model's draws; ``actual_outcome`` by the spend that really was.
        difference: Actual less planned outcome, on the same draws.
        target_actual: The target's sum over the covered periods; ``target_forecast`` is what the
            model forecasts for them under the spend that really was.
    """

    workflow_id: str
    question: str
    kind: PlanKind
    window: Window
    covered: Window
    periods: int
    covered_periods: int
    unit: str
    adherence: tuple[Adherence, ...]
    followed: bool
    planned_outcome: Estimate
    actual_outcome: Estimate
    difference: Estimate
    target_actual: float
    target_forecast: Estimate
    target_inside: bool
    message: str


class NotScored(Value):
    """A plan that the actuals say nothing about, and why."""

    workflow_id: str
    kind: PlanKind
    why: NotScoredWhy
    message: str


class PlanScores(Value):
    """The plans of a project."""

    scored: tuple[PlanScore, ...] = ()
    not_scored: tuple[NotScored, ...] = ()


class PassedOver(Value):
    """A newer model whose forecast was not scored, and why."""

    model_artifact_path: str
    code: str
    why: str


class Restated(Value):
    """A variable whose past is told otherwise than when the model was fitted.

    Attributes:
        periods: In how many of those ``compared`` it differs.
        change: By how much its sum over them has changed, relative to what it was; None if it
            was 0.
    """

    variable: str
    periods: int
    compared: int
    change: float | None

"""Advice that practice and studies give, each where this very result calls for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.earlier_answers import Answer, Move
from mmm_workflows.mmm.figures import interval, percent
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.results import PRIOR_DECIDES_WIDTH, ModelResults, Value
from mmm_workflows.mmm.whatif_advice import SMALL_SHIFT
from mmm_workflows.mmm.windows import Reference

# A move of the mean spend per period by more than this share of the range that the data has seen
# is a large step. The limit is this program's; the study says why there is one.
LARGE_STEP: Final = 0.25


class Study(Value):
    """Where the reason for a piece of advice was published."""

    authors: str
    year: int
    title: str
    published_in: str


class Practice(Value):
    """Advice, what of this result calls for it, and where its reason was published.

    Attributes:
        measured: The figure of this result that the rule looks at.
        limit: What that is held against; this program's choice.
    """

    code: str
    channel: str | None
    measured: float
    limit: float
    said: str
    study: Study


LIMITED_RANGE: Final = Study(
    authors="Chan, Perry",
    year=2017,
    title="Challenges and Opportunities in Media Mix Modeling",
    published_in="Google Research",
)
CALIBRATION: Final = Study(
    authors="Zhang, Wurm, Li, Wakim, Kelly, Price, Liu",
    year=2024,
    title="Media Mix Model Calibration With Bayesian Priors",
    published_in="Google Research",
)
STOPPED_SEARCH: Final = Study(
    authors="Blake, Nosko, Tadelis",
    year=2015,
    title="Consumer Heterogeneity and Paid Search Effectiveness: A Large-Scale Field Experiment",
    published_in="Econometrica 83(1)",
)
SMALL_RETURNS: Final = Study(
    authors="Lewis, Rao",
    year=2015,
    title="The Unfavorable Economics of Measuring the Returns to Advertising",
    published_in="Quarterly Journal of Economics 130(4)",
)


def practices_for(
    asked: Answer, draws: Draws, reference: Reference, results: ModelResults
) -> tuple[Practice, ...]:
    """The advice that this plan calls for, by rules whose conditions are computed from it."""
    large = [m for m in asked.moves if _share_moved(m) > SMALL_SHIFT]
    return (
        *(p for m in large for p in _steps(m, draws, reference)),
        *(p for m in large for p in _stops(m, draws)),
        *(p for m in large for p in _priors(m, results)),
        *_gains(asked),
    )


def _share_moved(move: Move) -> float:
    return abs(move.planned - move.reference) / max(move.reference, 1.0)


def _steps(move: Move, draws: Draws, reference: Reference) -> Iterator[Practice]:
    spend = draws.spend[:, draws.channels.index(move.channel)]
    seen = float(spend.max() - spend.min())
    moved = abs(move.planned - move.reference) / len(reference.dates)
    if seen > 0 and moved / seen > LARGE_STEP:
        yield Practice(
            code="large_step",
            channel=move.channel,
            measured=moved / seen,
            limit=LARGE_STEP,
            said=f"The plan moves {move.channel} by {percent(moved / seen)} of the range that its "
            "spend per period had in the data: go there in steps, and fit again after each.",
            study=LIMITED_RANGE,
        )


def _stops(move: Move, draws: Draws) -> Iterator[Practice]:
    lowest = float(draws.spend[:, draws.channels.index(move.channel)].min())
    if move.planned == 0 and lowest > 0:
        yield Practice(
            code="never_stopped",
            channel=move.channel,
            measured=lowest,
            limit=0.0,
            said=f"{move.channel} was never at zero in the data: stop it in some regions or weeks "
            "first, and compare them with the others.",
            study=STOPPED_SEARCH,
        )


def _priors(move: Move, results: ModelResults) -> Iterator[Practice]:
    for channel in results.channels:
        told = channel.information
        if channel.channel == move.channel and told is not None and told.prior_decides:
            yield Practice(
                code="prior_decides",
                channel=move.channel,
                measured=told.prior_share,
                limit=PRIOR_DECIDES_WIDTH**2,
                said=f"{percent(told.prior_share)} of what is said of {move.channel} comes from "
                "its prior: a lift test on it would tell more than a move of its budget.",
                study=CALIBRATION,
            )


def _gains(asked: Answer) -> Iterator[Practice]:
    delta = asked.outcome.delta
    # Of an allocation the recommendations say so already.
    if asked.kind is QueryKind.SIMULATE and delta.hdi_low <= 0 <= delta.hdi_high:
        yield Practice(
            code="gain_may_be_nothing",
            channel=None,
            measured=delta.hdi_low,
            limit=0.0,
            said=f"The interval of what the plan brings, {interval(delta)} {delta.unit}, holds 0: "
            "test it on a part of the market before all of it follows.",
            study=SMALL_RETURNS,
        )

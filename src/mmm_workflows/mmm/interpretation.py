"""A fit in sentences: every figure is read from the results, each with its interval."""

from __future__ import annotations

from mmm_workflows.mmm.figures import figure, interval, money, percent
from mmm_workflows.mmm.results import (
    LEARNING,
    ChannelResult,
    Estimate,
    FitVerdict,
    Information,
    ModelResults,
)


def interpret(results: ModelResults) -> tuple[str, ...]:
    """What the fit says, in the order in which a reader should hear it.

    A failed fit is said to be unusable and none of its figures is repeated.
    """
    if results.fit_verdict is FitVerdict.FAIL:
        return _refusal(results)
    ranked = sorted(results.channels, key=lambda c: c.contribution.mean, reverse=True)
    return (
        _opening(results),
        *_warnings(results),
        *(describe_channel(c) for c in ranked),
        _baseline(results),
        _reading_aid(results),
    )


def _opening(results: ModelResults) -> str:
    window, fit = results.window, results.fit
    return (
        f"Between {window.start} and {window.end} the model explains {percent(fit.r2.mean)} of the "
        f"variation of {results.target} (in-sample R2 {interval(fit.r2)}); its fitted mean misses "
        f"by {percent(fit.mape)} on average."
    )


def _warnings(results: ModelResults) -> tuple[str, ...]:
    # What a channel's own sentence says is not said twice.
    own = {f"{LEARNING}{c.channel}" for c in results.channels if c.information is not None}
    return tuple(
        check.message
        for check in results.diagnostics.checks
        if check.verdict is not FitVerdict.PASS and check.name not in own
    )


def describe_channel(channel: ChannelResult) -> str:
    """What one channel did, and where that is known from."""
    return f"{_brought(channel)}{_learnt(channel.information)}"


def _brought(channel: ChannelResult) -> str:
    said = (
        f"{channel.channel}: {money(channel.spend.value, channel.spend.unit)} spent brought "
        f"{interval(channel.contribution)} {channel.contribution.unit}"
    )
    if channel.roas is not None:
        return f"{said}, a ROAS of {interval(channel.roas)}{_against_one(channel.roas)}."
    if channel.cost_per_contribution is not None:
        cost = channel.cost_per_contribution
        return f"{said}, at {interval(cost, point='median')} {cost.unit} (median)."
    return f"{said}."


def _learnt(information: Information | None) -> str:
    """Where the figures of a channel come from, if anything else than the data has a say."""
    if information is None:
        return ""
    shares = (
        f"{percent(information.data_share)} of that comes from the data and "
        f"{percent(information.prior_share)} from the prior"
    )
    if information.sources:
        said = f" {shares} of {_claims(information.sources)}, {interval(information.prior, point='median')}."
    elif information.prior_decides:
        said = f" {shares} of the rules, {interval(information.prior, point='median')}."
    else:
        said = ""
    if information.prior_decides:
        said += " The prior decides it: the data hardly spoke."
    if information.carry_over_sources:
        said += (
            f" How long it lasts was taken in part from {_claims(information.carry_over_sources)}."
        )
    return said


def _claims(claims: tuple[str, ...]) -> str:
    return f"claim{'s' if len(claims) > 1 else ''} {', '.join(claims)}"


def _against_one(roas: Estimate) -> str:
    if roas.hdi_low > 1:
        return ", above 1 over its whole interval"
    if roas.hdi_high < 1:
        return ", below 1 over its whole interval"
    return ", so the data does not tell whether it returned its spend"


def _baseline(results: ModelResults) -> str:
    return (
        f"The baseline, which is {results.target} without media and with every driver at its "
        f"reference, is {interval(results.baseline)} {results.baseline.unit}."
    )


def _reading_aid(results: ModelResults) -> str:
    probability = figure(100 * results.baseline.hdi_prob)
    left_out = results.diagnostics.not_run
    skipped = f" Not run at this depth: {', '.join(left_out)}." if left_out else ""
    return (
        f"Intervals hold {probability} % of the posterior. They are right if the model is: one "
        "series cannot rule out a driver that moves with a channel and is not in the data."
        f"{skipped}"
    )


def _refusal(results: ModelResults) -> tuple[str, ...]:
    failed = [c.message for c in results.diagnostics.checks if c.verdict is FitVerdict.FAIL]
    return (
        "The fit failed its diagnostics, so no figure of it should be used.",
        *failed,
        "Look at the findings of EDA first, then use fewer channels or more history.",
    )

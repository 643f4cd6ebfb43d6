"""The figures of a result as a text may refer to them; each names the field that it was read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mmm_workflows.mmm.figures import figure, interval, money, percent, probability
from mmm_workflows.mmm.history import SHOWN, ChannelHistory
from mmm_workflows.mmm.narrative import Fact, Facts, slugs
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.quality import QualityReport
from mmm_workflows.mmm.refresh_values import Refresh
from mmm_workflows.mmm.remembered import Remembered
from mmm_workflows.mmm.results import ChannelResult, Estimate, ModelResults
from mmm_workflows.mmm.scenario import Outcome, ScenarioResult
from mmm_workflows.mmm.sensitivity import Sensitivity
from mmm_workflows.mmm.track_record import PlanOutcome, TrackRecord, record_facts
from mmm_workflows.records import Severity

ROAS: Final = ("roas", "return")
MARGINAL: Final = ("next", "marginal", "mroas")
CONTRIBUTION: Final = ("contribut", "brought", "bring", "incremental")
COST: Final = ("cost",)
# Written with a digit that is no figure.
R2: Final = "R2"
BEFORE: Final = ("before", "earlier", "previous", "past")
SPEND: Final = ("spen", "budget", "cost")
EARLIER: Final = ("earlier", "before", "previous", "past")


def modeling_facts(
    results: ModelResults, refresh: Refresh | None = None, history: Sequence[ChannelHistory] = ()
) -> Facts:
    """What a fit says of the whole and of each channel, and how that was before."""
    names = tuple(c.channel for c in results.channels)
    facts = [
        _fact("fit.r2", "/fit/r2", interval(results.fit.r2), f"in-sample {R2} of the fit", "r2", "varia"),
        _fact("fit.mape", "/fit/mape", percent(results.fit.mape), "average miss of the fitted mean",
              "miss", "error", "off"),
        _fact("baseline", "/baseline", _estimate(results.baseline),
              f"{results.target} without media", "baseline", "without media", "base"),
    ]  # fmt: skip
    for index, (channel, slug) in enumerate(zip(results.channels, slugs(names), strict=True)):
        facts += _channel(channel, f"/channels/{index}", slug)
    by_name = dict(zip(names, slugs(names), strict=True))
    if refresh is not None:
        facts += _refresh(refresh, by_name)
    for index, past in enumerate(history):
        facts += _history(past, f"/history/{index}", by_name[past.channel])
    return Facts(tuple(facts), names, (results.target, R2))


def whatif_facts(
    scenarios: Sequence[ScenarioResult],
    found: Optimization | None,
    table: Sensitivity,
    record: TrackRecord | None = None,
    *,
    remembered: Remembered | None = None,
) -> Facts:
    """What plans say, what the next unit of money brings, and how earlier forecasts did."""
    names = tuple(table.mroas)
    by_name = dict(zip(names, slugs(names), strict=True))
    facts: list[Fact] = []
    for index, scenario in enumerate(scenarios):
        facts += _scenario(scenario, f"/scenario_results/{index}", by_name)
    if found is not None:
        facts += _allocation(found, by_name)
    facts += [
        _about(name, f"next.{by_name[name]}", f"/sensitivity_analysis/mroas/{_key(name)}",
               _estimate(estimate), f"what the next {table.unit} brings in {name}", *MARGINAL)
        for name, estimate in table.mroas.items()
    ]  # fmt: skip
    if record is not None:
        facts += record_facts(record)
    if remembered is not None:
        facts += _remembered(remembered, by_name)
    return Facts(tuple(facts), names)


def quality_facts(report: QualityReport, names: Sequence[str]) -> Facts:
    """How much data there is and how much was found in it; ``names`` are those of its columns."""
    counted = {
        severity: sum(f.severity is severity for f in report.findings) for severity in Severity
    }
    facts = [
        _fact(f"findings.{severity}", "/quality_report/findings", str(count),
              f"number of findings of severity {severity}", severity.value)
        for severity, count in counted.items()
    ]  # fmt: skip
    return Facts(tuple(facts), tuple(names))


def _channel(channel: ChannelResult, field: str, slug: str) -> Iterator[Fact]:
    name = channel.channel
    yield _about(name, f"spend.{slug}", f"{field}/spend",
                 money(channel.spend.value, channel.spend.unit), f"spend on {name}", *SPEND)  # fmt: skip
    yield _about(name, f"contribution.{slug}", f"{field}/contribution",
                 _estimate(channel.contribution), f"contribution of {name}", *CONTRIBUTION)  # fmt: skip
    yield _about(name, f"share.{slug}", f"{field}/share", _share(channel.share),
                 f"share of {name} in the fitted total", "share")  # fmt: skip
    if channel.roas is not None:
        yield _about(name, f"roas.{slug}", f"{field}/roas", _estimate(channel.roas),
                     f"ROAS of {name}", *ROAS)  # fmt: skip
    if channel.cost_per_contribution is not None:
        cost = channel.cost_per_contribution
        yield _about(name, f"cost.{slug}", f"{field}/cost_per_contribution",
                     f"{interval(cost, point='median')} {cost.unit}",
                     f"cost per contribution of {name}", *COST)  # fmt: skip
    if channel.mroas is not None:
        yield _about(name, f"next.{slug}", f"{field}/mroas", _estimate(channel.mroas),
                     f"what the next unit of spend on {name} brings", *MARGINAL)  # fmt: skip


def _refresh(refresh: Refresh, by_name: dict[str, str]) -> Iterator[Fact]:
    if refresh.data is not None and refresh.data.added is not None:
        yield _fact("refresh.added", "/refresh/data/added/count", str(refresh.data.added.count),
                    "number of new periods since the earlier fit", "new")  # fmt: skip
    for index, channel in enumerate(refresh.channels):
        name, move, field = channel.channel, channel.common, f"/refresh/channels/{index}/common"
        yield _about(name, f"refresh.before.{by_name[name]}", f"{field}/before",
                     _estimate(move.before),
                     f"what {name} returned by the earlier fit, in the periods of both fits",
                     *BEFORE)  # fmt: skip
        yield _about(name, f"refresh.after.{by_name[name]}", f"{field}/after",
                     _estimate(move.after),
                     f"what {name} returns by this fit, in the periods of both fits",
                     "now", "after", "both")  # fmt: skip
        yield _about(name, f"refresh.noise.{by_name[name]}", f"{field}/change_in_mcse",
                     figure(move.change_in_mcse),
                     f"by how many Monte Carlo standard errors the mean of {name} moved",
                     "monte carlo", "standard error", "noise")  # fmt: skip


def _history(history: ChannelHistory, field: str, slug: str) -> Iterator[Fact]:
    said = "ROAS" if history.quantity == "roas" else "cost per contribution"
    # The last one is this fit, which has facts of its own.
    for index, past in list(enumerate(history.fits))[-SHOWN:-1]:
        if past.estimate is None:
            continue
        point = f"{interval(past.estimate, point='median')} {past.estimate.unit}"
        yield _about(history.channel, f"history.{slug}.{index}", f"{field}/fits/{index}/estimate",
                     point, f"{said} of {history.channel} by run {past.workflow_id}, median",
                     *BEFORE)  # fmt: skip


def _scenario(scenario: ScenarioResult, field: str, by_name: dict[str, str]) -> Iterator[Fact]:
    yield from _outcome(scenario.outcome, f"{field}/outcome", "scenario", "scenario", "plan")
    for name, total in scenario.totals.items():
        yield _about(name, f"plan.{by_name[name]}", f"{field}/totals/{_key(name)}",
                     money(total, scenario.unit), f"spend of the plan on {name}", *SPEND)  # fmt: skip


def _allocation(found: Optimization, by_name: dict[str, str]) -> Iterator[Fact]:
    field = "/optimization_results"
    yield from _outcome(found.outcome, f"{field}/outcome", "best", "best", "optim", "allocation")
    yield _fact("best.total", f"{field}/total", money(found.total, found.unit),
                "total of the best allocation", "total", "budget", "allocation")  # fmt: skip
    for name, total in found.allocation.items():
        yield _about(name, f"allocation.{by_name[name]}", f"{field}/allocation/{_key(name)}",
                     money(total, found.unit), f"spend of the best allocation on {name}",
                     "best", "optim", "allocat")  # fmt: skip


def _remembered(remembered: Remembered, by_name: dict[str, str]) -> Iterator[Fact]:
    """Of earlier answers only the figures that may be held against those of this one."""
    for index, similar in enumerate(remembered.similar):
        if similar.delta is not None and similar.now is not None:
            yield _fact(f"earlier.{index}.delta", f"/remembered/similar/{index}/delta",
                        _estimate(similar.delta),
                        f"what the same plan brought when it was asked on {similar.answered_at:%Y-%m-%d}",
                        *EARLIER)  # fmt: skip
        if similar.came is not None and similar.came.followed:
            yield from _came(similar.came, index)
    for index, pattern in enumerate(remembered.patterns):
        for way, count in (("gains", pattern.gains), ("loses", pattern.loses)):
            yield _about(pattern.channel, f"earlier.{way}.{by_name[pattern.channel]}",
                         f"/remembered/patterns/{index}/{way}", f"{count} of {pattern.answers}",
                         f"in how many earlier best allocations {pattern.channel} {way} share",
                         *EARLIER)  # fmt: skip


def _came(came: PlanOutcome, index: int) -> Iterator[Fact]:
    field, unit = f"/remembered/similar/{index}/came", came.forecast.unit
    where = "inside" if came.inside else "outside"
    yield _fact(f"earlier.{index}.forecast", f"{field}/forecast", _estimate(came.forecast),
                "what was forecast where that earlier plan was followed", *EARLIER)  # fmt: skip
    yield _fact(f"earlier.{index}.came", f"{field}/actual", money(came.actual, unit),
                f"what really came of that earlier plan, {where} the interval of its forecast",
                *EARLIER)  # fmt: skip


def _outcome(outcome: Outcome, field: str, slug: str, *words: str) -> Iterator[Fact]:
    yield _fact(f"{slug}.delta", f"{field}/delta", _estimate(outcome.delta),
                f"what the {slug} plan brings against the reference", *words)  # fmt: skip
    if outcome.probability_better is not None:
        yield _fact(f"{slug}.probability_better", f"{field}/probability_better",
                    probability(outcome.probability_better),
                    f"probability that the {slug} plan is better after its cost",
                    "probab", "chance", "likel")  # fmt: skip


def _fact(reference: str, field: str, shown: str, means: str, *words: str) -> Fact:
    return Fact(reference=reference, field=field, shown=shown, means=means, words=words)


def _about(subject: str, reference: str, field: str, shown: str, means: str, *words: str) -> Fact:
    return Fact(
        reference=reference, field=field, shown=shown, means=means, subject=subject, words=words
    )


def _estimate(estimate: Estimate) -> str:
    return f"{interval(estimate)} {estimate.unit}"


def _key(name: str) -> str:
    """A name as one part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _share(estimate: Estimate) -> str:
    low, high = figure(100 * estimate.hdi_low), figure(100 * estimate.hdi_high)
    return f"{figure(100 * estimate.mean)} % [{low}, {high}]"

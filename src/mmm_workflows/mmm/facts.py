"""The figures of a result as a text may refer to them; each names the field that it was read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mmm_workflows.mmm.figures import figure, interval, money, percent, probability
from mmm_workflows.mmm.narrative import Fact, Facts, slugs
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.quality import QualityReport
from mmm_workflows.mmm.results import ChannelResult, Estimate, ModelResults
from mmm_workflows.mmm.scenario import Outcome, ScenarioResult
from mmm_workflows.mmm.sensitivity import Sensitivity
from mmm_workflows.records import Severity

ROAS: Final = ("roas", "return")
MARGINAL: Final = ("next", "marginal", "mroas")
CONTRIBUTION: Final = ("contribut", "brought", "bring", "incremental")
COST: Final = ("cost",)
# Written with a digit that is no figure.
R2: Final = "R2"
SPEND: Final = ("spen", "budget", "cost")


def modeling_facts(results: ModelResults) -> Facts:
    """What a fit says of the whole and of each channel."""
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
    return Facts(tuple(facts), names, (results.target, R2))


def whatif_facts(
    scenarios: Sequence[ScenarioResult], found: Optimization | None, table: Sensitivity
) -> Facts:
    """What a scenario and the best allocation say, and what the next unit of money brings."""
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

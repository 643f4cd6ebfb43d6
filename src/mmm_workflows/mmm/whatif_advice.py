"""What a what-if answer says in sentences; each figure is read from a result, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.figures import figure, interval, money, probability
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.results import Estimate
from mmm_workflows.mmm.scenario import Outcome, ScenarioResult
from mmm_workflows.mmm.sensitivity import Sensitivity

# Below this share of its reference a shift is within what a planner would round away.
SMALL_SHIFT: Final = 0.02
FAILED_FIT: Final = "The fit failed its diagnostics: its figures should not be used for a decision."
# A best channel is named alone from this probability on, and as a contender from this one.
SURE: Final = 0.8
CONTENDER: Final = 0.05


def summarise_scenarios(scenarios: Sequence[ScenarioResult]) -> tuple[str, ...]:
    """One sentence per scenario, with what it costs and what it is worth."""
    return tuple(_scenario(s) for s in scenarios)


def summarise_optimization(found: Optimization) -> str:
    """What the best allocation gains against the reference."""
    reference, total = sum(found.reference_totals.values()), found.total
    change = _said(found.outcome)
    if abs(total - reference) <= 1e-6 * max(reference, 1.0):
        return f"With the same total of {money(total, found.unit)}, the best allocation {change}."
    return (
        f"With {money(total, found.unit)} instead of {money(reference, found.unit)}, the best "
        f"allocation {change}{_worth(found.outcome, saves=total < reference)}."
    )


def recommend_allocation(found: Optimization) -> tuple[str, ...]:
    """What to move where, and why; nothing when the allocation is the reference."""
    if not found.converged:
        return ("The optimiser did not settle, so its allocation should not be used.",)
    shifts = {
        name: total - found.reference_totals[name] for name, total in found.allocation.items()
    }
    large = {
        name: shift
        for name, shift in shifts.items()
        if abs(shift) > SMALL_SHIFT * max(found.reference_totals[name], 1.0)
    }
    if not large:
        return ("The reference allocation is already within 2 % of the best one.",)
    ranked = sorted(large.items(), key=lambda item: -item[1])
    said = [
        f"{'More' if shift > 0 else 'Less'} for {name}: {money(found.allocation[name], found.unit)} "
        f"instead of {money(found.reference_totals[name], found.unit)}"
        f"{_at_bound(found, name)}."
        for name, shift in ranked
    ]
    delta = found.outcome.delta
    if delta.hdi_low <= 0:
        said.append(
            f"The interval of the gain, {interval(delta)} {delta.unit}, holds 0: test the shift on "
            "a small scale before the whole budget follows."
        )
    return tuple(said)


def recommend_next_unit(table: Sensitivity) -> tuple[str, ...]:
    """Where the next unit of money brings most, and whether the data can tell."""
    ranked = sorted(table.mroas.items(), key=lambda item: -item[1].mean)
    listed = "; ".join(f"{name} {interval(estimate)}" for name, estimate in ranked)
    first = f"The next {table.unit} brings, in {ranked[0][1].unit}: {listed}."
    chances = sorted(table.probability_best.items(), key=lambda item: -item[1])
    if chances[0][1] >= SURE:
        return (
            first,
            f"It brings most in {chances[0][0]}, with probability {probability(chances[0][1])}.",
        )
    contenders = ", ".join(f"{name} ({probability(p)})" for name, p in chances if p >= CONTENDER)
    return (
        first,
        f"The data does not tell where it brings most; by probability: {contenders}.",
    )


def _scenario(result: ScenarioResult) -> str:
    spent = sum(result.totals.values()) - sum(result.reference_totals.values())
    cost, saves = "without changing the total", False
    if abs(spent) > 1e-6 * max(sum(result.totals.values()), 1.0):
        saves = spent < 0
        cost = f"{'and saves' if saves else 'for'} {money(abs(spent), result.unit)}"
    return (
        f"{result.name}: between {result.window.start} and {result.window.end} the plan "
        f"{_said(result.outcome)}, {cost}{_worth(result.outcome, saves=saves)}."
    )


def _said(outcome: Outcome) -> str:
    delta = outcome.delta
    verb = "brings" if delta.mean >= 0 else "loses"
    shown = delta if delta.mean >= 0 else _mirrored(delta)
    open_end = ", which may be nothing" if delta.hdi_low <= 0 <= delta.hdi_high else ""
    return (
        f"{verb} {interval(shown)} {delta.unit} ({figure(100 * delta.hdi_prob)} % interval)"
        f"{' more than the reference' if delta.mean >= 0 else ' against the reference'}{open_end}"
    )


def _mirrored(estimate: Estimate) -> Estimate:
    return estimate.model_copy(
        update={
            "mean": -estimate.mean,
            "median": -estimate.median,
            "hdi_low": -estimate.hdi_high,
            "hdi_high": -estimate.hdi_low,
        }
    )


def _worth(outcome: Outcome, *, saves: bool) -> str:
    if outcome.probability_better is None:
        return f"; {outcome.reasons['probability_better']}"
    basis = "margin" if "value" not in outcome.reasons else "revenue"
    asked = f"its {basis} is worth more than it costs"
    if saves and outcome.delta.mean >= 0:
        asked = f"it is better, with the {basis} it brings and what it saves,"
    elif saves:
        asked = f"what it saves is worth more than the {basis} it loses"
    return f"; the probability that {asked} is {probability(outcome.probability_better)}"


def _at_bound(found: Optimization, name: str) -> str:
    bound, total = found.bounds[name], found.allocation[name]
    slack = 1e-6 * max(found.total, 1.0)
    if total >= bound.high - slack:
        return " (its upper bound)"
    return " (its lower bound)" if total <= bound.low + slack else ""

"""A plan of spend against its reference, on the same posterior draws."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import figure, money
from mmm_workflows.mmm.response import carry_over, saturate, saturate_slope
from mmm_workflows.mmm.results import Estimate, FloatArray, Value, Window, summarise
from mmm_workflows.mmm.windows import Reference

MEASURES: Final = (
    "what media brings in the window, with what is carried into it, and in the periods after it "
    "by carry-over; the baseline is the same in both plans and left out"
)


class ChangeKind(StrEnum):
    """How a channel's spend in the window is changed."""

    MULTIPLY = "multiply"
    ADD = "add"
    SET = "set"


class Change(Value):
    """One change: ``amount`` is a factor (multiply) or money in the window (add, set)."""

    channel: str
    kind: ChangeKind
    amount: float


class Outcome(Value):
    """Two plans on the same draws; ``delta`` is paired, so it is narrower than their difference."""

    measures: str = MEASURES
    reference: Estimate
    scenario: Estimate
    delta: Estimate
    probability_better: float | None
    reasons: dict[str, str]


class ScenarioResult(Value):
    """A plan, what it is compared with, and what comes of it."""

    name: str
    window: Window
    unit: str
    reference_plan: str
    totals: dict[str, float]
    reference_totals: dict[str, float]
    outcome: Outcome
    warnings: tuple[str, ...]


def plan_of(draws: Draws, reference: Reference, changes: Sequence[Change]) -> FloatArray:
    """The spend per period and channel after the changes, ``(W, C)``.

    A channel keeps its flighting; one without spend in the reference is spread evenly. Changes
    are made in their order, and what counts is the end: a channel may hand on what it is given,
    whichever of the two is said first.

    Raises:
        QueryError: A channel is not the model's, or its spend would end below zero.
    """
    # Summed as ``spread`` sums, so that a plan without a change is the reference to the last bit.
    totals = [float(reference.spend[:, c].sum()) for c in range(len(draws.channels))]
    usual = tuple(totals)
    changed = set()
    for change in changes:
        if change.channel not in draws.channels:
            raise QueryError(
                f"The model has no channel {change.channel!r}. "
                f"It has {', '.join(draws.channels)}."
            )
        c = draws.channels.index(change.channel)
        before = totals[c]
        totals[c] = {
            ChangeKind.MULTIPLY: before * change.amount,
            ChangeKind.ADD: before + change.amount,
            ChangeKind.SET: change.amount,
        }[change.kind]
        changed.add(c)
    plan = reference.spend.copy()
    for c in sorted(changed):
        if totals[c] < -1e-9 * max(usual[c], 1.0):
            raise QueryError(
                f"{draws.channels[c]} has {money(usual[c], draws.spend_unit)} in the window; taking "
                f"{money(usual[c] - totals[c], draws.spend_unit)} away would leave less than nothing."
            )
        plan[:, c] = spread(reference.spend[:, c], max(totals[c], 0.0))
    return plan


def spread(flighting: FloatArray, total: float) -> FloatArray:
    """A total over the periods in the proportions of a flighting, evenly where it is zero."""
    whole = float(flighting.sum())
    if whole == 0:
        return np.full(flighting.size, total / flighting.size)
    return np.asarray(flighting * (total / whole), dtype=np.float64)


def contribution(draws: Draws, reference: Reference, channel: int, spend: FloatArray) -> FloatArray:
    """One value per draw: target units of a channel in the window and by carry-over after it.

    ``spend`` is the channel's in the window, ``(W,)``.
    """
    felt = _felt(draws, reference, channel, spend)
    values = saturate(draws.saturation, felt, draws.lam[:, [channel]], draws.beta[:, [channel]])
    brought = values.sum(axis=1)
    if reference.after[:, channel].any():
        # Past periods after the window have spend of their own; what that brings is not the plan's.
        nothing = np.zeros(reference.before.shape[0] + spend.size)
        later = np.concatenate([nothing, reference.after[:, channel]])
        own = _carried(draws, channel, later)
        brought -= saturate(
            draws.saturation, own, draws.lam[:, [channel]], draws.beta[:, [channel]]
        ).sum(axis=1)
    return np.asarray(draws.target_scale * brought, dtype=np.float64)


def marginal(draws: Draws, reference: Reference, channel: int, spend: FloatArray) -> FloatArray:
    """One value per draw: target units of the next unit of money at this plan, with carry-over.

    The next unit is spread over the periods like the plan; evenly where it is zero.
    """
    felt = _felt(draws, reference, channel, spend)
    slope = saturate_slope(
        draws.saturation, felt, draws.lam[:, [channel]], draws.beta[:, [channel]]
    )
    side = draws.l_max - 1
    one = np.concatenate([np.zeros(side), spread(spend, 1.0), np.zeros(side)])
    reached = carry_over(np.broadcast_to(one, (draws.count, one.size)), draws.weights[channel])
    gained = (slope * reached[:, side:]).sum(axis=1)
    return np.asarray(draws.target_scale / draws.channel_scale[channel] * gained, np.float64)


def brought_by(draws: Draws, reference: Reference) -> FloatArray:
    """What each channel brings in the reference, one value per draw: ``(C, S)``."""
    each = range(len(draws.channels))
    return np.stack([contribution(draws, reference, c, reference.spend[:, c]) for c in each])


def compare(
    draws: Draws, reference: Reference, plan: FloatArray, *, usual: FloatArray | None = None
) -> Outcome:
    """Both plans on the same draws; channels that do not change are computed once.

    Args:
        draws: The model.
        reference: What the plan is compared with.
        plan: Spend per period and channel, ``(W, C)``.
        usual: What ``brought_by`` gives, where it is kept.
    """
    usual = brought_by(draws, reference) if usual is None else usual
    base = np.zeros(draws.count)
    delta = np.zeros(draws.count)
    for c, before in enumerate(usual):
        base += before
        if not np.array_equal(plan[:, c], reference.spend[:, c]):
            delta += contribution(draws, reference, c, plan[:, c]) - before
    extra = float(plan.sum() - reference.spend.sum())
    better, reasons = probability_better(draws, delta, extra)
    return Outcome(
        reference=summarise(base, draws.target_unit),
        scenario=summarise(base + delta, draws.target_unit),
        delta=summarise(delta, draws.target_unit),
        probability_better=better,
        reasons=reasons,
    )


def probability_better(
    draws: Draws, delta: FloatArray, extra_spend: float
) -> tuple[float | None, dict[str, str]]:
    """How probable it is that what is gained is worth more than what it costs.

    Returns:
        None with a reason when the target has no money value.
    """
    if not draws.target_is_money:
        return None, {
            "probability_better": f"{draws.target} is counted in {draws.target_unit} and has no "
            "money value, so gains cannot be held against spend"
        }
    value = delta if draws.margin is None else draws.margin * delta
    reasons = {} if draws.margin is not None else {"value": "revenue: no margin was given"}
    return float(np.mean(value - extra_spend > 0)), reasons


def run_scenario(
    draws: Draws,
    reference: Reference,
    changes: Sequence[Change],
    *,
    name: str,
    usual: FloatArray | None = None,
) -> ScenarioResult:
    """Evaluate a plan against its reference; ``usual`` as for ``compare``."""
    plan = plan_of(draws, reference, changes)
    return ScenarioResult(
        name=name,
        window=reference.window,
        unit=draws.spend_unit,
        reference_plan=reference.how,
        totals=by_channel(draws, plan.sum(axis=0)),
        reference_totals=by_channel(draws, reference.totals),
        outcome=compare(draws, reference, plan, usual=usual),
        warnings=warnings_of(draws, reference, plan),
    )


def by_channel(draws: Draws, totals: FloatArray) -> dict[str, float]:
    """Money by the channel's name."""
    return {name: float(total) for name, total in zip(draws.channels, totals, strict=True)}


def warnings_of(draws: Draws, reference: Reference, plan: FloatArray) -> tuple[str, ...]:
    """Where the plan leaves what the data has seen."""
    said = []
    for c, name in enumerate(draws.channels):
        highest, planned = float(draws.spend[:, c].max()), float(plan[:, c].max())
        # The reference itself may reach the highest; rounding is no extrapolation.
        if planned > highest * (1 + 1e-9):
            count = int((plan[:, c] > highest * (1 + 1e-9)).sum())
            said.append(
                f"{name}: {count} periods of the plan spend up to {figure(planned)} "
                f"{draws.spend_unit}, more than the highest of the data, {figure(highest)}; the "
                "answer extrapolates there."
            )
        lowest = float(draws.spend[:, c].min())
        if lowest > 0 and plan[:, c].sum() == 0 and reference.totals[c] > 0:
            said.append(
                f"{name}: the data never saw it at zero (its lowest is {figure(lowest)} "
                f"{draws.spend_unit}), so what stopping it does rests on the curve alone."
            )
    return tuple(said)


def _felt(draws: Draws, reference: Reference, channel: int, spend: FloatArray) -> FloatArray:
    """Scaled spend after carry-over, from the window's first period on: ``(S, W + L - 1)``."""
    series = np.concatenate([reference.before[:, channel], spend, reference.after[:, channel]])
    return _carried(draws, channel, series)[:, draws.l_max - 1 :]


def _carried(draws: Draws, channel: int, series: FloatArray) -> FloatArray:
    """Scaled money per period of a channel after carry-over, ``(S, periods)``."""
    scaled = series / draws.channel_scale[channel]
    return carry_over(np.broadcast_to(scaled, (draws.count, scaled.size)), draws.weights[channel])

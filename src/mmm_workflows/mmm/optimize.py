"""The best allocation of a budget: what media brings on average, under a total and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import money
from mmm_workflows.mmm.results import Estimate, FloatArray, Value, Window, summarise
from mmm_workflows.mmm.scenario import (
    Outcome,
    by_channel,
    compare,
    contribution,
    marginal,
    spread,
    warnings_of,
)
from mmm_workflows.mmm.windows import Reference

METHOD: Final = (
    "projected gradient on the mean over the posterior draws; each channel keeps its flighting"
)
DEFAULT_DOWN: Final = 0.5
DEFAULT_UP: Final = 1.5
MAX_ITERATIONS: Final = 300
TOLERANCE: Final = 1e-7


class Bound(Value):
    """The least and the most that a channel may get in the window."""

    low: float
    high: float


class Optimization(Value):
    """The best allocation found, against the reference."""

    window: Window
    unit: str
    total: float
    allocation: dict[str, float]
    reference_totals: dict[str, float]
    bounds: dict[str, Bound]
    outcome: Outcome
    mroas: dict[str, Estimate]
    method: str = METHOD
    converged: bool
    iterations: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Solution:
    totals: FloatArray
    converged: bool
    iterations: int


def default_bounds(draws: Draws, reference: Reference, total: float) -> dict[str, Bound]:
    """Half to one and a half times the reference at the asked total, within what was seen.

    The upper bound is also the total at which the channel's highest period would be the highest
    of the data, so that the optimiser never extrapolates.
    """
    whole = float(reference.totals.sum())
    bounds = {}
    for c, name in enumerate(draws.channels):
        usual = float(reference.totals[c]) * (total / whole if whole else 0.0)
        seen = seen_limit(draws, reference, c)
        bounds[name] = Bound(
            low=min(DEFAULT_DOWN * usual, seen), high=min(DEFAULT_UP * usual, seen)
        )
    return bounds


def seen_limit(draws: Draws, reference: Reference, channel: int) -> float:
    """The total at which a channel's highest period equals the highest of the data."""
    shape = spread(reference.spend[:, channel], 1.0)
    return float(draws.spend[:, channel].max() / shape.max())


def optimize(
    draws: Draws,
    reference: Reference,
    total: float,
    bounds: dict[str, Bound],
    *,
    usual: FloatArray | None = None,
) -> Optimization:
    """Spend a total where it brings most; ``usual`` as for ``compare``.

    The objective is concave in the channels' totals, because carry-over is linear and both
    saturations are concave, so what is found is the best there is.

    Raises:
        QueryError: The total cannot be placed within the bounds (``query_out_of_reach``).
    """
    low = np.array([bounds[name].low for name in draws.channels])
    high = np.array([bounds[name].high for name in draws.channels])
    _refuse_out_of_reach(draws, total, low, high)
    found = _ascend(draws, reference, total, low, high)
    plan = plan_for(reference, found.totals)
    return Optimization(
        window=reference.window,
        unit=draws.spend_unit,
        total=total,
        allocation=by_channel(draws, found.totals),
        reference_totals=by_channel(draws, reference.totals),
        bounds=bounds,
        outcome=compare(draws, reference, plan, usual=usual),
        mroas=mroas_at(draws, reference, plan),
        converged=found.converged,
        iterations=found.iterations,
        warnings=warnings_of(draws, reference, plan),
    )


def plan_for(reference: Reference, totals: FloatArray) -> FloatArray:
    """The spend per period for channel totals, ``(W, C)``."""
    columns = [spread(reference.spend[:, c], float(t)) for c, t in enumerate(totals)]
    return np.column_stack(columns)


def mroas_at(draws: Draws, reference: Reference, plan: FloatArray) -> dict[str, Estimate]:
    """Target units of the next unit of money in each channel at a plan."""
    rate = f"{draws.target_unit} per {draws.spend_unit}"
    return {
        name: summarise(marginal(draws, reference, c, plan[:, c]), rate)
        for c, name in enumerate(draws.channels)
    }


def project(point: FloatArray, total: float, low: FloatArray, high: FloatArray) -> FloatArray:
    """The nearest point with this sum within the bounds.

    It is ``clip(point - shift)`` for one shift, which falls between two breakpoints of a
    decreasing, piecewise linear function.
    """
    breaks = np.sort(np.concatenate([point - low, point - high]))
    sums = np.clip(point[None, :] - breaks[:, None], low, high).sum(axis=1)
    after = int(np.searchsorted(-sums, -total))
    if after == 0:
        shift = breaks[0]
    elif after == breaks.size:
        shift = breaks[-1]
    else:
        one, other = breaks[after - 1], breaks[after]
        drop = sums[after - 1] - sums[after]
        shift = one if drop == 0 else one + (other - one) * (sums[after - 1] - total) / drop
    return np.asarray(np.clip(point - shift, low, high), dtype=np.float64)


def _refuse_out_of_reach(draws: Draws, total: float, low: FloatArray, high: FloatArray) -> None:
    slack = 1e-9 * max(total, 1.0)
    for name, least, most in zip(draws.channels, low, high, strict=True):
        if least > most:
            raise QueryError(
                f"{name} should get at least {money(float(least), draws.spend_unit)} and at most "
                f"{money(float(most), draws.spend_unit)}, which cannot both be.",
                code="query_out_of_reach",
            )
    if total < low.sum() - slack or total > high.sum() + slack:
        unit = draws.spend_unit
        # Bounds grow with the total that they were made for, so their range is no other total's.
        advice = (
            "Ask for more, or for lower limits."
            if total < low.sum()
            else "No channel may spend more in a period than the data has seen: ask for less, or "
            "for a longer window."
        )
        raise QueryError(
            f"A budget of {money(total, unit)} cannot be placed: its bounds allow from "
            f"{money(float(low.sum()), unit)} to {money(float(high.sum()), unit)}. {advice}",
            code="query_out_of_reach",
        )


def _ascend(
    draws: Draws, reference: Reference, total: float, low: FloatArray, high: FloatArray
) -> _Solution:
    """Barzilai-Borwein steps with a backtracking that never loses ground."""
    scale = max(total, 1.0)
    start = reference.totals * (total / max(float(reference.totals.sum()), 1e-300))
    point = project(start, total, low, high)
    value, slope = _objective(draws, reference, point)
    step = scale / max(float(np.abs(slope).max()), 1e-300)
    for iteration in range(1, MAX_ITERATIONS + 1):
        target = project(point + step * slope, total, low, high)
        if np.abs(target - point).max() <= TOLERANCE * scale:
            return _Solution(point, converged=True, iterations=iteration)
        moved, new_value, new_slope = _step(draws, reference, point, target, value, slope)
        change, bend = moved - point, slope - new_slope
        if np.abs(change).max() <= 1e-12 * scale:
            return _Solution(point, converged=True, iterations=iteration)
        curvature = float(change @ bend)
        step = float(change @ change) / curvature if curvature > 0 else 2 * step
        point, value, slope = moved, new_value, new_slope
    return _Solution(point, converged=False, iterations=MAX_ITERATIONS)


def _step(
    draws: Draws,
    reference: Reference,
    point: FloatArray,
    target: FloatArray,
    value: float,
    slope: FloatArray,
) -> tuple[FloatArray, float, FloatArray]:
    share = 1.0
    while share > 1e-12:
        moved = point + share * (target - point)
        new_value, new_slope = _objective(draws, reference, moved)
        if new_value >= value + 1e-4 * share * float(slope @ (target - point)):
            return moved, new_value, new_slope
        share /= 2
    return point, value, slope


def _objective(draws: Draws, reference: Reference, totals: FloatArray) -> tuple[float, FloatArray]:
    """Mean contribution over the draws, and its gradient by the channels' totals."""
    plan = plan_for(reference, totals)
    value = 0.0
    slope = np.empty(totals.size)
    for c in range(totals.size):
        value += float(contribution(draws, reference, c, plan[:, c]).mean())
        slope[c] = float(_slope(draws, reference, c, plan[:, c]).mean())
    return value, slope


def _slope(draws: Draws, reference: Reference, channel: int, spend: FloatArray) -> FloatArray:
    # At zero the next unit follows the reference's flighting, as plan_for spreads it.
    shape = spend if spend.sum() > 0 else spread(reference.spend[:, channel], 1e-9)
    return marginal(draws, reference, channel, shape)

"""How the outcome moves with each channel's spend, one channel at a time."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.optimize import mroas_at
from mmm_workflows.mmm.results import Estimate, Value, summarise
from mmm_workflows.mmm.scenario import contribution, marginal, probability_better
from mmm_workflows.mmm.windows import Reference

FACTORS: Final = (0.5, 0.75, 0.9, 1.1, 1.25, 1.5)


class SensitivityRow(Value):
    """One channel at one level, everything else as in the reference."""

    channel: str
    factor: float
    spend: float
    delta: Estimate
    probability_better: float | None
    extrapolates: bool


class Sensitivity(Value):
    """The table, and what the next unit of money brings in each channel at the reference.

    ``probability_best`` is the share of the draws in which the channel's next unit brings most.
    """

    unit: str
    rows: tuple[SensitivityRow, ...]
    mroas: dict[str, Estimate]
    probability_best: dict[str, float]


def sensitivity(draws: Draws, reference: Reference) -> Sensitivity:
    """Each channel at half to one and a half times its reference."""
    rows = [
        row
        for c in range(len(draws.channels))
        if reference.totals[c] > 0
        for row in _rows(draws, reference, c)
    ]
    return Sensitivity(
        unit=draws.spend_unit,
        rows=tuple(rows),
        mroas=mroas_at(draws, reference, reference.spend),
        probability_best=_probability_best(draws, reference),
    )


def _probability_best(draws: Draws, reference: Reference) -> dict[str, float]:
    returns = [
        marginal(draws, reference, c, reference.spend[:, c]) for c in range(len(draws.channels))
    ]
    winners = np.argmax(returns, axis=0)
    return {name: float(np.mean(winners == c)) for c, name in enumerate(draws.channels)}


def _rows(draws: Draws, reference: Reference, channel: int) -> list[SensitivityRow]:
    spend = reference.spend[:, channel]
    before = contribution(draws, reference, channel, spend)
    highest = float(draws.spend[:, channel].max())
    rows = []
    for factor in FACTORS:
        delta = contribution(draws, reference, channel, factor * spend) - before
        extra = (factor - 1) * float(spend.sum())
        better, _ = probability_better(draws, delta, extra)
        rows.append(
            SensitivityRow(
                channel=draws.channels[channel],
                factor=factor,
                spend=factor * float(spend.sum()),
                delta=summarise(delta, draws.target_unit),
                probability_better=better,
                extrapolates=bool(factor * np.max(spend) > highest * (1 + 1e-9)),
            )
        )
    return rows

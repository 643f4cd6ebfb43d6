"""What the target does without media, per draw, and how it scatters: what a forecast needs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mmm_workflows.mmm.results import FloatArray

if TYPE_CHECKING:
    # It takes half a second to load, and the service reads models without it.
    import pandas as pd

DAYS_PER_YEAR: Final = 365.25


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The part of a fit that is not media, with the history it was fitted on.

    S draws, T periods, D driver columns (controls in the order of the spec, trend, weekdays), K
    controls. The coefficients live on the scale of target / ``Draws.target_scale``.

    Attributes:
        waves: Coefficients of the yearly season's sines, then cosines, ``(S, 2 order)``.
        nu: Degrees of freedom of a Student-t likelihood, ``(S,)``; None for the normal.
        controls: Controls as they stand in the file, ``(T, K)``.
    """

    intercept: FloatArray  # (S,)
    drivers: FloatArray  # (S, D)
    waves: FloatArray
    sigma: FloatArray  # (S,)
    nu: FloatArray | None
    target: FloatArray  # (T,)
    controls: FloatArray


def trend_columns(periods: int, knots: int, *, ahead: int = 0) -> FloatArray:
    """A line and its bends, each standardised over the data, so that they have the same prior anywhere.

    Returns:
        Shape ``(periods + ahead, 1 + knots)``: the line, then one hinge per knot, evenly spaced
        over the data; beyond it the trend keeps its last slope.
    """
    beyond = 1.0 + np.arange(1, ahead + 1) / max(periods - 1, 1)
    time = np.concatenate([np.linspace(0.0, 1.0, periods), beyond])
    bends = [np.maximum(time - k / (knots + 1), 0.0) for k in range(1, knots + 1)]
    columns = np.column_stack([time, *bends])
    fitted = columns[:periods]
    centred = columns - fitted.mean(axis=0)
    return np.asarray(centred / fitted.std(axis=0), dtype=np.float64)


def weekday_columns(dates: pd.DatetimeIndex) -> FloatArray:
    """Six columns whose combinations give each day of the week a level of its own.

    Returns:
        Shape ``(T, 6)``: 1 on the column's day, -1 on Sundays, else 0, so that the levels of a
        week add up to nothing and the baseline stays what an average day brings.
    """
    day = dates.day_of_week.to_numpy()[:, None]
    return np.asarray(np.where(day == 6, -1.0, day == np.arange(6)), dtype=np.float64)


def fourier_waves(dates: pd.DatetimeIndex, order: int) -> FloatArray:
    """The columns of PyMC-Marketing's yearly seasonality: sines, then cosines, ``(T, 2 order)``."""
    angle = 2 * np.pi * dates.day_of_year.to_numpy()[:, None] / DAYS_PER_YEAR
    waves = np.arange(1, order + 1)
    return np.hstack([np.sin(angle * waves), np.cos(angle * waves)])

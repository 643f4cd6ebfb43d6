"""What a fitted model expects of later periods, from their real spend and drivers, in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmm_workflows.mmm.baseline import Baseline, fourier_waves, trend_columns, weekday_columns
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.spec_builder import apply_transform


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Later periods per draw, in target units: S draws, W periods.

    Attributes:
        mean: What is expected, ``(S, W)``.
        scale: Standard deviation, or scale of the Student-t, of one observation, ``(S,)``.
        nu: Degrees of freedom of the Student-t, ``(S,)``; None for the normal.
        observed: One observation per draw and period, ``(S, W)``.
    """

    mean: FloatArray
    scale: FloatArray
    nu: FloatArray | None
    observed: FloatArray


def forecast(
    spec: ModelSpec, draws: Draws, baseline: Baseline, later: pd.DataFrame, *, seed: int
) -> Forecast:
    """The target in the periods after the data, given what was spent and what the controls were.

    ``later`` are the periods that follow the data without a gap: an index of dates, and a column
    per channel and control of the spec.
    """
    mean = draws.target_scale * (
        baseline.intercept[:, None]
        + baseline.drivers @ _driver_columns(spec, draws, later).T
        + baseline.waves @ fourier_waves(_dates(later), spec.yearly_seasonality).T
        + _media(draws, later)
    )
    scale = draws.target_scale * baseline.sigma
    observed = scatter(mean, scale, baseline.nu, seed=seed)
    return Forecast(mean=mean, scale=scale, nu=baseline.nu, observed=observed)


def scatter(mean: FloatArray, scale: FloatArray, nu: FloatArray | None, *, seed: int) -> FloatArray:
    """One observation per draw and period: the mean ``(S, W)`` with the likelihood's scatter."""
    random = np.random.default_rng(seed)
    if nu is None:
        noise = random.standard_normal(mean.shape)
    else:
        noise = random.standard_t(nu[:, None], size=mean.shape)
    return np.asarray(mean + scale[:, None] * noise, dtype=np.float64)


def _dates(later: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(later.index)


def _driver_columns(spec: ModelSpec, draws: Draws, later: pd.DataFrame) -> FloatArray:
    """Standardised as in the fit, ``(W, D)``."""
    fitted, width = draws.dates.size, len(later)
    controls = [
        (apply_transform(later[c.name], c.transform) - c.centre) / c.scale for c in spec.controls
    ]
    parts = [
        np.array(controls, dtype=np.float64).reshape(len(controls), width).T,
        trend_columns(fitted, spec.trend_knots, ahead=width)[fitted:],
    ]
    if spec.weekday_levels:
        parts.append(weekday_columns(_dates(later)))
    return np.hstack(parts)


def _media(draws: Draws, later: pd.DataFrame) -> FloatArray:
    """Scaled contribution of all channels, ``(S, W)``; past spend carries over into it."""
    spend = np.vstack([draws.spend, later[list(draws.channels)].to_numpy(np.float64)])
    reach = spend[max(draws.dates.size - draws.l_max + 1, 0) :] / draws.channel_scale
    total = np.zeros((draws.count, len(later)))
    for c in range(len(draws.channels)):
        theta = None if draws.theta is None else draws.theta[:, c]
        weights = adstock_weights(draws.adstock, draws.alpha[:, c], draws.l_max, theta)
        felt = carry_over(np.broadcast_to(reach[:, c], (draws.count, len(reach))), weights)
        total += saturate(
            draws.saturation, felt[:, -len(later) :], draws.lam[:, [c]], draws.beta[:, [c]]
        )
    return total

"""Each draw's fitted mean, taken apart into baseline, drivers and channels; the parts add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from mmm_workflows.bayes.build import size_name
from mmm_workflows.bayes.inputs import SEASON, Inputs, free_name
from mmm_workflows.mmm.baseline import Baseline, fourier_waves
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Adstock, Likelihood, ModelSpec


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The fitted mean in target units: S draws, T periods, C channels.

    ``mean = baseline + the sum of drivers + the sum of channels``, in every draw and period.
    """

    baseline: FloatArray  # (S,), the same in every period
    drivers: dict[str, FloatArray]  # name -> (S, T)
    channels: FloatArray  # (S, T, C)

    @property
    def mean(self) -> FloatArray:
        """The fitted mean, ``(S, T)``."""
        total = self.baseline[:, None] + self.channels.sum(axis=2)
        for part in self.drivers.values():
            total = total + part
        return np.asarray(total, dtype=np.float64)


def flat(idata: xr.DataTree, name: str) -> FloatArray:
    """Draws of a parameter with chains end to end: ``(S, ...)``."""
    values = idata["posterior"][name].to_numpy()
    return np.asarray(values.reshape(-1, *values.shape[2:]), dtype=np.float64)


def media_draws(
    idata: xr.DataTree, inputs: Inputs, spec: ModelSpec, *, fitted_on: Inputs | None = None
) -> Draws:
    """What What-If needs of the fit; every draw, so that its numbers are the fit's own.

    The spend is that of ``inputs``; the scales are those of ``fitted_on``, where that is given. A
    channel without spend there was fitted as if it were not there: its draws are its prior's,
    which is meant for its own scale.
    """
    scales = fitted_on or inputs
    fitted, own = scales.spend.max(axis=0), inputs.spend.max(axis=0)
    return Draws(
        channels=inputs.channel_names,
        dates=inputs.dates.to_numpy().astype("datetime64[D]"),
        spend=inputs.spend,
        channel_scale=np.where(fitted > 0, fitted, own),
        target_scale=float(scales.target.max()),
        alpha=flat(idata, "adstock_alpha"),
        theta=flat(idata, "adstock_theta") if spec.adstock is Adstock.DELAYED else None,
        lam=flat(idata, "saturation_lam"),
        beta=flat(idata, size_name(spec)),
        adstock=spec.adstock,
        saturation=spec.saturation,
        l_max=spec.l_max,
        frequency=spec.frequency,
        target=spec.target,
        target_unit=spec.target_unit,
        target_is_money=spec.target_is_money,
        spend_unit=spec.spend_unit,
        margin=spec.margin,
    )


def baseline_draws(
    idata: xr.DataTree, inputs: Inputs, spec: ModelSpec, controls: FloatArray
) -> Baseline:
    """What a forecast needs of the fit beside the media response; ``controls`` as in the file."""
    student = spec.likelihood is Likelihood.STUDENT_T
    count = flat(idata, "intercept_contribution").shape[0]
    return Baseline(
        intercept=flat(idata, "intercept_contribution"),
        drivers=flat(idata, "gamma_control"),
        waves=flat(idata, "gamma_fourier") if spec.yearly_seasonality else np.empty((count, 0)),
        sigma=flat(idata, "y_sigma"),
        nu=flat(idata, "y_nu") if student else None,
        target=inputs.target,
        controls=controls,
    )


def felt_spend(draws: Draws, channel: int) -> FloatArray:
    """A channel's scaled spend after carry-over, ``(S, T)``."""
    theta = None if draws.theta is None else draws.theta[:, channel]
    weights = adstock_weights(draws.adstock, draws.alpha[:, channel], draws.l_max, theta)
    scaled = draws.spend[:, channel] / draws.channel_scale[channel]
    return carry_over(np.broadcast_to(scaled, (draws.count, scaled.size)), weights)


def decompose(
    idata: xr.DataTree, inputs: Inputs, spec: ModelSpec, *, fitted_on: Inputs | None = None
) -> Decomposition:
    """Take the fitted mean of ``inputs`` apart, draw by draw, in target units."""
    draws = media_draws(idata, inputs, spec, fitted_on=fitted_on)
    scale = draws.target_scale
    channels = np.stack(
        [
            saturate(spec.saturation, felt_spend(draws, c), draws.lam[:, [c]], draws.beta[:, [c]])
            for c in range(len(draws.channels))
        ],
        axis=2,
    )
    return Decomposition(
        baseline=scale * flat(idata, "intercept_contribution"),
        drivers=_drivers(idata, inputs, spec, scale),
        channels=scale * channels,
    )


def _drivers(
    idata: xr.DataTree, inputs: Inputs, spec: ModelSpec, scale: float
) -> dict[str, FloatArray]:
    coefficients = flat(idata, "gamma_control")  # (S, K)
    parts: dict[str, FloatArray] = {}
    for k, name in enumerate(inputs.driver_names):
        part = scale * coefficients[:, [k]] * inputs.drivers[:, k]
        parts[name] = parts[name] + part if name in parts else part
    if spec.yearly_seasonality:
        waves = fourier_waves(inputs.dates, spec.yearly_seasonality)
        label = free_name(SEASON, (*parts, *inputs.channel_names))
        parts[label] = scale * flat(idata, "gamma_fourier") @ waves.T
    return parts

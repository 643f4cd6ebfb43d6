"""What the model expects to observe: the fitted mean with its scatter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from mmm_workflows.bayes.build import build
from mmm_workflows.bayes.decompose import decompose, flat
from mmm_workflows.bayes.fit import Emit, sample
from mmm_workflows.bayes.inputs import Inputs
from mmm_workflows.mmm.forecast import scatter
from mmm_workflows.mmm.results import HDI_PROB, FloatArray, HoldoutFit, Window, hdi
from mmm_workflows.mmm.seeds import child_seed
from mmm_workflows.mmm.spec import PERIODS_PER_YEAR, Likelihood, ModelSpec, SamplerSpec


@dataclass(frozen=True)
class Forecast:
    """Mean and one observation per draw, ``(S, T)``, in target units."""

    mean: FloatArray
    observed: FloatArray

    def mape(self, actual: FloatArray) -> float:
        """Mean absolute error of the posterior mean, relative to what was observed."""
        known = actual != 0
        error = np.abs(actual - self.mean.mean(axis=0))[known] / np.abs(actual[known])
        return float(error.mean())

    def coverage(self, actual: FloatArray) -> float:
        """Share of the periods whose observation lies in its predictive interval."""
        inside = [
            low <= value <= high
            for value, (low, high) in zip(actual, map(hdi, self.observed.T), strict=True)
        ]
        return float(np.mean(inside))


def forecast(
    idata: xr.DataTree, mean: FloatArray, scale: float, spec: ModelSpec, *, seed: int
) -> Forecast:
    """Add the likelihood's scatter to the fitted mean, ``(S, T)`` in target units.

    ``scale`` is the target's scale in the fit.
    """
    sigma = scale * flat(idata, "y_sigma")
    nu = flat(idata, "y_nu") if spec.likelihood is Likelihood.STUDENT_T else None
    return Forecast(mean, scatter(mean, sigma, nu, seed=seed))


def holdout_periods(spec: ModelSpec, periods: int) -> int:
    """A quarter of a year, where at least 30 periods are left to fit on; else none."""
    quarter = max(1, PERIODS_PER_YEAR[spec.frequency] // 4)
    return quarter if periods - quarter >= 30 else 0


def hold_out(inputs: Inputs, spec: ModelSpec, *, seed: int, emit: Emit) -> HoldoutFit | None:
    """Fit without the last quarter and forecast it from its real spend and drivers.

    Returns:
        None when too few periods would be left, or nothing but zeros to forecast: relative to
        them no error can be told.
    """
    kept = len(inputs.dates) - holdout_periods(spec, len(inputs.dates))
    if not inputs.target[kept:].any():
        return None
    past = replace(
        inputs,
        dates=inputs.dates[:kept],
        target=inputs.target[:kept],
        spend=inputs.spend[:kept],
        drivers=inputs.drivers[:kept],
    )
    short = SamplerSpec(draws=500, tune=500, target_accept=spec.sampler.target_accept)
    idata = sample(
        build(past, spec), past, short, seed=child_seed(seed, "holdout"), emit=emit, stage="holdout"
    )
    mean = decompose(idata, inputs, spec, fitted_on=past).mean[:, kept:]
    scale = float(past.target.max())
    seen = forecast(idata, mean, scale, spec, seed=child_seed(seed, "holdout noise"))
    actual = inputs.target[kept:]
    return HoldoutFit(
        window=Window(start=inputs.dates[kept].date(), end=inputs.dates[-1].date()),
        mape=seen.mape(actual),
        coverage=seen.coverage(actual),
        hdi_prob=HDI_PROB,
        naive_mape=_naive_mape(inputs.target, kept, PERIODS_PER_YEAR[spec.frequency]),
    )


def _naive_mape(target: FloatArray, kept: int, season: int) -> float:
    """The error of repeating last year's values, or the last value where there is no last year."""
    actual = target[kept:]
    if kept >= season:
        guess = target[kept - season : kept - season + actual.size]
    else:
        guess = np.full(actual.size, target[kept - 1])
    known = actual != 0
    return float(np.mean(np.abs(actual - guess)[known] / np.abs(actual[known])))

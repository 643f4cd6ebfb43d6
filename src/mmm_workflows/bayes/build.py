"""From the written choice to a PyMC-Marketing model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from pymc_extras.prior import Prior
from pymc_marketing.mmm import (
    MMM,
    DelayedAdstock,
    GeometricAdstock,
    LogisticSaturation,
    MichaelisMentenSaturation,
)

from mmm_workflows.bayes.inputs import DATE, Inputs
from mmm_workflows.mmm.spec import Adstock, Likelihood, ModelSpec, Saturation


def build(inputs: Inputs, spec: ModelSpec) -> MMM:
    """A built model: always a new one, because an old one would keep the data of before."""
    mmm = MMM(
        date_column=DATE,
        channel_columns=list(inputs.channel_columns),
        control_columns=list(inputs.driver_columns),
        target_column=inputs.target_column,
        adstock=make_adstock(spec, inputs.channel_columns),
        saturation=make_saturation(spec, inputs.channel_columns),
        yearly_seasonality=spec.yearly_seasonality or None,
        model_config=_model_config(inputs, spec),
    )
    with warnings.catch_warnings():
        # PyMC-Marketing 1.3 asks pandas 3 for the day of the year by its old name.
        warnings.filterwarnings("ignore", "DatetimeIndex.dayofyear is deprecated")
        mmm.build_model(inputs.table(), inputs.target_series())
    return mmm


def make_adstock(spec: ModelSpec, columns: Sequence[str]) -> GeometricAdstock | DelayedAdstock:
    """The carry-over with its priors per column; weights are normalised."""
    alpha = Prior(
        "Beta",
        alpha=_per_channel(columns, [c.alpha_prior[0] for c in spec.channels]),
        beta=_per_channel(columns, [c.alpha_prior[1] for c in spec.channels]),
        dims="channel",
    )
    if spec.adstock is Adstock.GEOMETRIC:
        return GeometricAdstock(l_max=spec.l_max, priors={"alpha": alpha})
    theta = Prior("HalfNormal", sigma=spec.l_max / 4, dims="channel")
    return DelayedAdstock(l_max=spec.l_max, priors={"alpha": alpha, "theta": theta})


def make_saturation(
    spec: ModelSpec, columns: Sequence[str]
) -> LogisticSaturation | MichaelisMentenSaturation:
    """The diminishing returns with their priors per column."""
    lam = Prior(
        "Gamma",
        alpha=_per_channel(columns, [c.lam_prior[0] for c in spec.channels]),
        beta=_per_channel(columns, [c.lam_prior[1] for c in spec.channels]),
        dims="channel",
    )
    size = Prior(
        "HalfNormal",
        sigma=_per_channel(columns, [c.effect_scale for c in spec.channels]),
        dims="channel",
    )
    if spec.saturation is Saturation.LOGISTIC:
        return LogisticSaturation(priors={"lam": lam, "beta": size})
    # The library calls the ceiling of this curve alpha.
    return MichaelisMentenSaturation(priors={"lam": lam, "alpha": size})


def size_name(spec: ModelSpec) -> str:
    """The name of the channels' coefficient in the posterior."""
    return "saturation_beta" if spec.saturation is Saturation.LOGISTIC else "saturation_alpha"


def _model_config(inputs: Inputs, spec: ModelSpec) -> dict[str, Any]:
    driver_sd = xr.DataArray(
        inputs.driver_sd, dims="control", coords={"control": list(inputs.driver_columns)}
    )
    noise = Prior("HalfNormal", sigma=0.2)
    likelihood = (
        Prior("Normal", sigma=noise, dims="date")
        if spec.likelihood is Likelihood.NORMAL
        else Prior("StudentT", nu=Prior("Gamma", alpha=2, beta=0.1), sigma=noise, dims="date")
    )
    return {
        "intercept": Prior("Normal", mu=0.5, sigma=0.3),
        "gamma_control": Prior("Normal", mu=0, sigma=driver_sd, dims="control"),
        "gamma_fourier": Prior("Laplace", mu=0, b=0.1, dims="fourier_mode"),
        "likelihood": likelihood,
    }


def _per_channel(columns: Sequence[str], values: list[float]) -> xr.DataArray:
    return xr.DataArray(np.array(values), dims="channel", coords={"channel": list(columns)})

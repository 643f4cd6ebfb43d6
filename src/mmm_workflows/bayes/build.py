"""From the written choice to a PyMC-Marketing model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pymc as pm
import pytensor.tensor as pt
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

# The term of the cited priors in the model's graph.
CITED_RETURN: Final = "cited_return"


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
    _cite(mmm, inputs, spec)
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


def _cite(mmm: MMM, inputs: Inputs, spec: ModelSpec) -> None:
    """Give the return of each channel with a cited prior that prior, instead of its own.

    Given the shape of its response, a return is the coefficient times a constant, so a LogNormal
    on the return is one on the coefficient. The term takes the HalfNormal of the coefficient away
    and puts that LogNormal there: the return then has the cited prior exactly, whatever the
    priors of the shape are, and those stay as they are.

    It is a term of its own, so that PyMC-Marketing can store and rebuild the rest, and it is
    written as an observation, because PyMC 6 does not derive a potential of named dimensions. A
    channel that spent nothing in these periods has no return and keeps its own prior.
    """
    spent = inputs.spend.sum(axis=0)
    cited = [
        (index, channel.return_prior, channel.effect_scale)
        for index, channel in enumerate(spec.channels)
        if channel.return_prior is not None and spent[index] > 0
    ]
    if not cited:
        return
    at = [index for index, _, _ in cited]
    per_spend = float(inputs.target.max()) / spent[at]
    middle = np.log([prior.median for _, prior, _ in cited])
    spread = np.array([prior.spread for _, prior, _ in cited])
    own = np.array([scale for _, _, scale in cited])

    def logp(
        value: pt.TensorVariable, total: pt.TensorVariable, size: pt.TensorVariable
    ) -> pt.TensorVariable:
        """LogNormal of the coefficient, given its response's shape, over its HalfNormal."""
        off = (pt.log(total * per_spend) - middle) / spread
        return -0.5 * off**2 - pt.log(size) + 0.5 * (size / own) ** 2

    with mmm.model as model:
        contribution = model["channel_contribution"].isel(channel=at).sum("date")
        size = model[size_name(spec)].isel(channel=at)
        pm.CustomDist(
            CITED_RETURN, contribution.values, size.values, logp=logp, observed=np.zeros(len(at))
        )


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

"""What-If's numpy maths and PyMC-Marketing's graph are one model, in every form that is offered."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.spec import (
    Adstock,
    ChannelSpec,
    ControlSpec,
    Frequency,
    ModelSpec,
    Saturation,
)

if TYPE_CHECKING:
    from mmm_workflows.bayes.inputs import Inputs
    from mmm_workflows.mmm.dataset import Dataset

# PyMC and its friends import each other by deprecated names.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FORMS = list(product(Adstock, Saturation))
NAMES = ("TV", "Search", "Radio")
PRICE = "Price"
TARGET = "Revenue"
PERIODS = 12
# The logistic curve of PyMC-Marketing cancels near zero; contributions are shares of the target.
NOTHING = 1e-12

type Floats = NDArray[np.float64]


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """PyMC raises the recursion limit when it is imported: not in the middle of an example."""
    import mmm_workflows.bayes.build  # noqa: F401


def make_spec(adstock: Adstock, saturation: Saturation, **more: object) -> ModelSpec:
    """Three channels with different priors, and one control."""
    channels = tuple(
        ChannelSpec(name=name, effect_scale=0.1 * size, lam_prior=(4.0, 2.0 * size))
        for size, name in enumerate(NAMES, start=1)
    )
    values = {
        "target": TARGET, "target_unit": "EUR", "target_is_money": True, "spend_unit": "EUR",
        "frequency": Frequency.WEEKLY, "start": "2023-10-02", "end": "2025-01-27",
        "channels": channels, "controls": (ControlSpec(name=PRICE, centre=10, scale=2),),
        "adstock": adstock, "saturation": saturation,
    }  # fmt: skip
    return ModelSpec.model_validate(values | more)


@cache
def library(adstock: Adstock, saturation: Saturation, l_max: int) -> Callable[..., Floats]:
    """PyMC-Marketing's own contribution of scaled spend, compiled: x, alpha, theta, lam, beta."""
    import pytensor
    from pytensor.xtensor import xtensor

    from mmm_workflows.bayes.build import make_adstock, make_saturation

    spec = make_spec(adstock, saturation, l_max=l_max)
    x = xtensor("x", dims=("date", "channel"), shape=(None, None))
    alpha, theta, lam, beta = (
        xtensor(name, dims=("channel",), shape=(None,))
        for name in ("alpha", "theta", "lam", "beta")
    )
    carried = {"alpha": alpha} | ({"theta": theta} if adstock is Adstock.DELAYED else {})
    size = "beta" if saturation is Saturation.LOGISTIC else "alpha"
    felt = make_adstock(spec, NAMES).function(x, **carried, dim="date")
    out = make_saturation(spec, NAMES).function(felt, **{"lam": lam, size: beta}, dim="date")
    return pytensor.function(
        [x, alpha, theta, lam, beta],
        out.transpose("date", "channel").values,
        on_unused_input="ignore",
        mode="FAST_COMPILE",
    )


def per_channel(low: float, high: float) -> st.SearchStrategy[Floats]:
    return arrays(np.float64, len(NAMES), elements=st.floats(low, high))


@pytest.mark.parametrize("l_max", [1, 4, 8, PERIODS + 3])
@pytest.mark.parametrize(("adstock", "saturation"), FORMS)
@settings(max_examples=20, deadline=None)
@given(
    spend=arrays(np.float64, (PERIODS, len(NAMES)), elements=st.just(0.0) | st.floats(1e-3, 1.0)),
    alpha=per_channel(0.01, 0.99),
    peak=per_channel(0.0, 1.0),
    lam=per_channel(0.05, 15.0),
    beta=per_channel(1e-3, 3.0),
)
def test_our_contribution_is_that_of_pymc_marketing(
    adstock: Adstock,
    saturation: Saturation,
    l_max: int,
    spend: Floats,
    alpha: Floats,
    peak: Floats,
    lam: Floats,
    beta: Floats,
) -> None:
    theta = peak * l_max
    theirs = library(adstock, saturation, l_max)(spend, alpha, theta, lam, beta)
    weights = adstock_weights(adstock, alpha, l_max, theta)
    felt = carry_over(spend.T, weights)
    ours = saturate(saturation, felt, lam[:, None], beta[:, None]).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=NOTHING)


def make_data(spec: ModelSpec, periods: int, freq: str, seed: int) -> Dataset:
    """Spend with pauses, a control and a target of some size."""
    from mmm_workflows.mmm.dataset import Dataset, Role, Sidecar, Variable, long_table

    random = np.random.default_rng(seed)
    dates = pd.date_range(spec.start, periods=periods, freq=freq, name="Period")
    wide = pd.DataFrame(index=dates)
    for size, name in enumerate(NAMES, start=1):
        on = random.random(periods) < 0.6
        wide[name] = np.where(on, random.gamma(2.0, 1000.0 * size, periods), 0.0)
    wide[PRICE] = random.normal(10, 2, periods)
    wide[TARGET] = random.normal(5e5, 5e4, periods)
    roles = dict.fromkeys(NAMES, Role.CHANNEL) | {PRICE: Role.CONTROL, TARGET: Role.TARGET}
    variables = tuple(
        Variable(name=n, role=r, unit="EUR", source="made", is_money=r is not Role.CONTROL)
        for n, r in roles.items()
    )
    sidecar = Sidecar(frequency=spec.frequency, variables=variables, sources=())
    return Dataset(long_table(wide), sidecar)


def make_inputs(spec: ModelSpec, periods: int, freq: str, seed: int) -> Inputs:
    """Made data with weekdays and trend as in a fit."""
    from mmm_workflows.bayes import inputs as room

    return room.make_inputs(make_data(spec, periods, freq, seed), spec)


DAILY = {
    "frequency": Frequency.DAILY, "start": "2024-02-01", "end": "2024-04-30",
    "weekday_levels": True, "l_max": 14,
}  # fmt: skip
PARTS = {
    "all parts": ({}, 70, "7D"),
    "no controls": ({"controls": ()}, 70, "7D"),
    "no season, no bends": ({"yearly_seasonality": 0, "trend_knots": 0}, 70, "7D"),
    "channels and a line alone": ({"controls": (), "yearly_seasonality": 0}, 70, "7D"),
    "daily over a leap day": (DAILY, 90, "D"),
}


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize(("adstock", "saturation"), FORMS)
def test_every_draw_of_the_built_model_is_taken_apart_into_its_own_parts(
    adstock: Adstock, saturation: Saturation, parts: str
) -> None:
    import pymc as pm
    import xarray as xr

    from mmm_workflows.bayes.build import build
    from mmm_workflows.bayes.decompose import decompose

    more, periods, freq = PARTS[parts]
    spec = make_spec(adstock, saturation, **{"l_max": 8, "trend_knots": 1} | more)
    inputs = make_inputs(spec, periods, freq, seed=1)
    model = build(inputs, spec).model
    wanted = [rv.name for rv in model.free_RVs] + ["channel_contribution", "mu"]
    prior = pm.sample_prior_predictive(
        draws=40,
        model=model,
        var_names=wanted,
        random_seed=2,
        compile_kwargs={"mode": "FAST_COMPILE"},
    )["prior"].to_dataset()
    taken = decompose(xr.DataTree.from_dict({"posterior": prior}), inputs, spec)
    scale = inputs.target.max()
    channels = scale * prior["channel_contribution"].to_numpy()[0]
    assert channels.max() > 0
    np.testing.assert_allclose(taken.channels, channels, rtol=1e-6, atol=NOTHING * scale)
    mean = scale * prior["mu"].to_numpy()[0]
    np.testing.assert_allclose(taken.mean, mean, rtol=1e-6, atol=NOTHING * scale)
    expected = {"trend", *(c.name for c in spec.controls)}
    expected |= {"season"} if spec.yearly_seasonality else set()
    expected |= {"weekday"} if spec.weekday_levels else set()
    assert set(taken.drivers) == expected


def later_drivers(past: Inputs, later: pd.DataFrame, spec: ModelSpec) -> Floats:
    """Driver columns of the periods after a fit, made by other means than ``mmm.forecast``'s."""
    width, at = len(later), len(spec.controls)
    drivers = np.zeros((width, past.drivers.shape[1]))
    for k, control in enumerate(spec.controls):
        drivers[:, k] = (later[control.name] - control.centre) / control.scale
    steps = np.arange(1, width + 1)[:, None]
    trend = past.drivers[:, at : at + 1 + spec.trend_knots]
    drivers[:, at : at + 1 + spec.trend_knots] = trend[-1] + steps * (trend[-1] - trend[-2])
    week = past.drivers[-7:, at + 1 + spec.trend_knots :]
    drivers[:, at + 1 + spec.trend_knots :] = np.tile(week, (width // 7 + 1, 1))[:width]
    return drivers


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize(("adstock", "saturation"), FORMS)
def test_a_forecast_from_the_stored_draws_is_the_librarys_out_of_sample_prediction(
    adstock: Adstock, saturation: Saturation, parts: str, tmp_path: Path
) -> None:
    import pymc as pm
    import xarray as xr

    from mmm_workflows.bayes.build import build
    from mmm_workflows.bayes.decompose import baseline_draws, media_draws
    from mmm_workflows.bayes.inputs import make_inputs as fed
    from mmm_workflows.mmm.forecast import forecast
    from mmm_workflows.mmm.model_files import (
        read_baseline,
        read_draws,
        write_baseline,
        write_draws,
    )

    more, periods, freq = PARTS[parts]
    whole = make_spec(adstock, saturation, **{"l_max": 8, "trend_knots": 1} | more)
    frame = make_data(whole, periods, freq, seed=1).national()
    kept = periods - 13
    spec = whole.model_copy(update={"end": frame.index[kept - 1].date()})
    past, later = fed(make_data(whole, periods, freq, seed=1), spec), frame.iloc[kept:]
    mmm = build(past, spec)
    prior = pm.sample_prior_predictive(
        draws=40,
        model=mmm.model,
        var_names=[rv.name for rv in mmm.model.free_RVs],
        random_seed=2,
        compile_kwargs={"mode": "FAST_COMPILE"},
    )["prior"].to_dataset()
    idata = xr.DataTree.from_dict({"posterior": prior})
    mmm.idata = idata
    mmm.idata["/fit_data"] = mmm.create_fit_data(past.table(), past.target_series())
    mmm.set_idata_attrs(mmm.idata)
    mmm.is_fitted_ = True
    fed_later = pd.DataFrame(
        np.hstack([later[list(NAMES)], later_drivers(past, later, spec)]),
        columns=past.columns[:-1],
    )
    fed_later.insert(0, "date", later.index)
    theirs = mmm.sample_posterior_predictive(
        fed_later,
        include_last_observations=True,
        extend_idata=False,
        combined=False,
        var_names=["mu"],
        progressbar=False,
        compile_kwargs={"mode": "FAST_COMPILE"},
    )["mu"].to_numpy()

    controls = frame.iloc[:kept][[c.name for c in spec.controls]].to_numpy()
    write_draws(tmp_path / "draws.npz", media_draws(idata, past, spec))
    write_baseline(tmp_path / "baseline.npz", baseline_draws(idata, past, spec, controls))
    ours = forecast(
        spec,
        read_draws(tmp_path / "draws.npz"),
        read_baseline(tmp_path / "baseline.npz"),
        later,
        seed=1,
    )
    scale = past.target.max()
    np.testing.assert_allclose(ours.mean, scale * theirs[0], rtol=1e-6, atol=NOTHING * scale)

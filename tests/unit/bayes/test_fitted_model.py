"""What a fit writes down, held against PyMC-Marketing's own reading of the same posterior."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmm_workflows.mmm.dataset import Role, Variable
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FitVerdict, hdi
from mmm_workflows.ports import FitProgress
from mmm_workflows.records import Depth

if TYPE_CHECKING:
    from mmm_workflows.bayes.decompose import Decomposition
    from mmm_workflows.bayes.inputs import Inputs

pytestmark = [
    pytest.mark.slow,
    # PyMC and its friends import each other by deprecated names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

HOLDOUT_WEEKS = 13
MONEY = Variable(name="Revenue", role=Role.TARGET, unit="EUR", is_money=True, source="made")

type Floats = NDArray[np.float64]


@pytest.fixture(params=["money_fit", "counted_fit"])
def fit(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def taken_apart(fit: Any) -> Decomposition:
    from mmm_workflows.bayes.decompose import decompose

    return decompose(fit.mmm.idata, fit.inputs, fit.job.spec)


def in_graph(fit: Any, name: str) -> Floats:
    """A quantity of the loaded model at every draw, chains end to end, in target units."""
    import pymc as pm

    posterior = fit.mmm.idata["posterior"].to_dataset()
    values = pm.compute_deterministics(
        posterior,
        model=fit.mmm.model,
        var_names=[name],
        progressbar=False,
        compile_kwargs={"mode": "FAST_COMPILE"},
    )[name].to_numpy()
    return fit.inputs.target.max() * values.reshape(-1, *values.shape[2:])


def from_draws(draws: Draws, spend: Floats) -> Floats:
    """Contributions ``(S, T, C)`` of some spend by the stored draws alone."""
    weights = adstock_weights(draws.adstock, draws.alpha, draws.l_max, draws.theta)
    felt = carry_over((spend / draws.channel_scale).T, weights)
    shape = saturate(draws.saturation, felt, draws.lam[..., None], draws.beta[..., None])
    return draws.target_scale * shape.swapaxes(1, 2)


def by_channel(values: Any) -> Floats:
    """The library's (chain, draw, channel) with chains end to end."""
    array = values.transpose("chain", "draw", ..., "channel").to_numpy()
    return array.reshape(-1, array.shape[-1])


def first(inputs: Inputs, periods: int) -> Inputs:
    """The inputs as they were after some periods; the trend keeps its course."""
    return replace(
        inputs,
        dates=inputs.dates[:periods],
        target=inputs.target[:periods],
        spend=inputs.spend[:periods],
        drivers=inputs.drivers[:periods],
    )


def test_the_parts_add_up_to_the_fitted_mean_in_every_draw(fit: Any) -> None:
    parts = taken_apart(fit)
    added = parts.baseline[:, None] + parts.channels.sum(axis=2) + sum(parts.drivers.values())
    np.testing.assert_allclose(added, in_graph(fit, "mu"), rtol=1e-6)
    contributions = in_graph(fit, "channel_contribution")
    np.testing.assert_allclose(parts.channels, contributions, rtol=1e-6, atol=1e-9)


def test_the_stored_draws_give_the_contributions_of_the_fit(fit: Any) -> None:
    draws = fit.folder.draws()
    assert draws.count == 400
    np.testing.assert_allclose(
        from_draws(draws, draws.spend), taken_apart(fit).channels, rtol=1e-12, atol=1e-9
    )
    np.testing.assert_array_equal(draws.spend, fit.inputs.spend)


def test_incrementality_over_all_periods_is_our_contribution_and_return(
    fit: Any,
) -> None:
    """Both end with the last period: what carries over past it is in neither."""
    parts, spend = taken_apart(fit).channels.sum(axis=1), fit.inputs.spend.sum(axis=0)
    theirs = fit.mmm.incrementality
    increment = by_channel(theirs.compute_incremental_contribution(frequency="all_time"))
    np.testing.assert_allclose(parts, increment, rtol=1e-6)
    returned = by_channel(theirs.contribution_over_spend(frequency="all_time"))
    np.testing.assert_allclose(parts / spend, returned, rtol=1e-6)
    for c, result in enumerate(fit.folder.results().channels):
        assert result.spend.value == pytest.approx(spend[c])
        assert result.contribution.mean == pytest.approx(increment[:, c].mean(), rel=1e-6)
        ends = (result.contribution.hdi_low, result.contribution.hdi_high)
        assert ends == pytest.approx(hdi(increment[:, c]), rel=1e-6)


def test_incrementality_of_a_window_counts_the_carry_over_behind_it(
    money_fit: Any,
) -> None:
    """With its carry-over, a window's increment is all that its spend brings, then and after."""
    draws, window = money_fit.folder.draws(), slice(30, 42)
    without = draws.spend.copy()
    without[window] = 0.0
    ours = (from_draws(draws, draws.spend) - from_draws(draws, without)).sum(axis=1)
    dates = money_fit.inputs.dates[window]
    theirs = money_fit.mmm.incrementality.compute_incremental_contribution(
        frequency="all_time", start_date=dates[0], end_date=dates[-1], include_carryover=True
    )
    np.testing.assert_allclose(ours, by_channel(theirs), rtol=1e-6, atol=1e-6)


def test_the_marginal_return_is_the_librarys_for_a_hair_of_more_spend(
    fit: Any,
) -> None:
    from mmm_workflows.bayes.attribute import marginal_return

    theirs = by_channel(
        fit.mmm.incrementality.marginal_contribution_over_spend(
            frequency="all_time", spend_increase_pct=1e-5
        )
    )
    draws = fit.folder.draws()
    for c, result in enumerate(fit.folder.results().channels):
        np.testing.assert_allclose(marginal_return(draws, c), theirs[:, c], rtol=1e-4)
        assert result.mroas is not None
        assert result.mroas.mean == pytest.approx(theirs[:, c].mean(), rel=1e-4)


def test_money_gives_a_return_per_draw_and_no_cost(money_fit: Any) -> None:
    parts, spend = taken_apart(money_fit), money_fit.inputs.spend.sum(axis=0)
    whole = parts.mean.sum(axis=1)
    for c, result in enumerate(money_fit.folder.results().channels):
        brought = parts.channels[:, :, c].sum(axis=1)
        assert result.roas is not None
        assert result.roi is not None
        assert result.roas.unit == "EUR per EUR"
        assert (result.roas.hdi_low, result.roas.hdi_high) == pytest.approx(hdi(brought / spend[c]))
        assert result.roas.median == pytest.approx(np.median(brought) / spend[c])
        assert result.roi.mean == pytest.approx(0.4 * result.roas.mean - 1)
        assert result.share.mean == pytest.approx((brought / whole).mean())
        assert result.cost_per_contribution is None
        assert result.reasons["cost_per_contribution"]


def test_a_counted_target_gives_a_cost_per_draw_and_says_why_no_return(
    counted_fit: Any,
) -> None:
    parts, spend = taken_apart(counted_fit), counted_fit.inputs.spend.sum(axis=0)
    for c, result in enumerate(counted_fit.folder.results().channels):
        cost = spend[c] / parts.channels[:, :, c].sum(axis=1)
        assert result.roas is None
        assert "orders" in result.reasons["roas"]
        assert result.roi is None
        assert "margin" in result.reasons["roi"]
        assert result.cost_per_contribution is not None
        assert result.cost_per_contribution.unit == "EUR per orders"
        assert result.cost_per_contribution.mean == pytest.approx(cost.mean())
        # Divided last, it would be another number.
        assert result.cost_per_contribution.mean > 1.01 * spend[c] / result.contribution.mean
        ends = (result.cost_per_contribution.hdi_low, result.cost_per_contribution.hdi_high)
        assert ends == pytest.approx(hdi(cost))


def test_every_form_of_model_moves_and_its_chains_meet(fit: Any) -> None:
    results = fit.folder.results()
    assert results.diagnostics.chains == 2
    assert results.diagnostics.draws == 400
    assert results.diagnostics.divergences <= 20
    # 200 draws are few: the chains must be near each other, not pass every check.
    assert results.diagnostics.rhat_max < 1.1
    posterior = fit.mmm.idata["posterior"].to_dataset()
    free = [rv.name for rv in fit.mmm.model.free_RVs]
    assert set(free) == set(posterior.data_vars)
    for name in free:
        values = posterior[name]
        assert np.isfinite(values).all()
        assert (values.std(dim=("chain", "draw")) > 0).all(), name


def test_a_full_fit_forecasts_a_quarter_it_has_not_seen(money_fit: Any) -> None:
    results, inputs = money_fit.folder.results(), money_fit.inputs
    held = results.fit.holdout
    assert held is not None
    assert held.window.start == inputs.dates[-HOLDOUT_WEEKS].date()
    assert held.window.end == inputs.dates[-1].date()
    assert 0 < held.mape < 0.1
    assert 0.5 <= held.coverage <= 1
    actual = inputs.target[-HOLDOUT_WEEKS:]
    last_year = inputs.target[-HOLDOUT_WEEKS - 52 : -52]
    assert held.naive_mape == pytest.approx(np.mean(np.abs(actual - last_year) / actual))
    assert results.diagnostics.not_run == ()
    assert {p.stage for p in money_fit.said} >= {"model: sampling", "holdout: sampling"}


def test_a_full_fit_checks_residuals_baseline_and_each_channels_learning(
    money_fit: Any,
) -> None:
    results = money_fit.folder.results()
    checks = {check.name: check for check in results.diagnostics.checks}
    channels = {f"prior to posterior: {c.name}" for c in money_fit.job.spec.channels}
    assert {"R-hat", "bulk ESS", "tail ESS", "divergences", "negative baseline"} < set(checks)
    assert channels < set(checks)
    residual = money_fit.inputs.target - taken_apart(money_fit).mean.mean(axis=0)
    neighbours = np.corrcoef(residual[1:], residual[:-1])[0, 1]
    assert checks["residual autocorrelation"].value == pytest.approx(neighbours, abs=0.05)
    order = [FitVerdict.PASS, FitVerdict.WARN, FitVerdict.FAIL]
    assert order.index(results.fit_verdict) == max(order.index(c.verdict) for c in checks.values())


def test_a_quick_fit_names_each_check_that_it_left_out(counted_fit: Any) -> None:
    results = counted_fit.folder.results()
    assert results.fit.holdout is None
    assert "quick" in results.fit.reasons["holdout"]
    assert set(results.diagnostics.not_run) == {
        "residual autocorrelation",
        "negative baseline",
        "prior to posterior",
        "holdout",
    }
    run = {check.name for check in results.diagnostics.checks}
    assert run == {"R-hat", "bulk ESS", "tail ESS", "divergences"}
    assert not any(p.stage.startswith("holdout") for p in counted_fit.said)


def test_the_intervals_of_the_fit_hold_most_of_what_was_observed(fit: Any) -> None:
    fitted = fit.folder.results().fit
    assert 0.8 <= fitted.coverage <= 1
    assert 0 < fitted.mape < 0.1
    assert fitted.r2.hdi_low < fitted.r2.mean < 1


def test_a_channel_launched_in_the_held_out_quarter_does_not_spoil_the_forecast(
    make_fit: Any,
) -> None:
    fit = make_fit(MONEY, depth=Depth.FULL, late="Search")
    held = fit.folder.results().fit.holdout
    assert held is not None
    assert 0 < held.mape < 0.15
    assert 0 < held.coverage <= 1


@pytest.mark.parametrize("why", ["short", "nothing sold"])
def test_nothing_is_held_out_of_short_data_or_where_nothing_was_sold(
    money_fit: Any, why: str
) -> None:
    """Of 42 weeks 29 would be left to fit; relative to a quarter of zeros there is no error."""
    from mmm_workflows.bayes.predict import hold_out

    inputs = money_fit.inputs
    if why == "short":
        inputs = first(inputs, 42)
    else:
        sold = inputs.target.copy()
        sold[-HOLDOUT_WEEKS:] = 0.0
        inputs = replace(inputs, target=sold)
    said: list[FitProgress] = []
    assert hold_out(inputs, money_fit.job.spec, seed=1, emit=said.append) is None
    assert said == [], "it was fitted all the same"


def test_a_fit_on_the_past_forecasts_as_the_library_does(money_fit: Any) -> None:
    """The mean of the weeks after the fit: its scales, its last spends carried in."""
    import xarray as xr

    from mmm_workflows.bayes.build import build
    from mmm_workflows.bayes.decompose import decompose

    inputs, spec = money_fit.inputs, money_fit.job.spec
    kept = len(inputs.dates) - HOLDOUT_WEEKS
    past = first(inputs, kept)
    assert (past.spend.max(axis=0) < inputs.spend.max(axis=0)).any(), "no scale differs"
    mmm = build(past, spec)
    posterior = money_fit.mmm.idata["posterior"].to_dataset()
    mmm.idata = xr.DataTree.from_dict({"posterior": posterior})
    mmm.idata["/fit_data"] = mmm.create_fit_data(past.table(), past.target_series())
    mmm.set_idata_attrs(mmm.idata)
    mmm.is_fitted_ = True
    theirs = mmm.sample_posterior_predictive(
        inputs.table().iloc[kept:],
        include_last_observations=True,
        extend_idata=False,
        combined=False,
        var_names=["mu"],
        progressbar=False,
    )["mu"].to_numpy()
    ours = decompose(mmm.idata, inputs, spec, fitted_on=past).mean[:, kept:]
    np.testing.assert_allclose(
        ours, past.target.max() * theirs.reshape(-1, HOLDOUT_WEEKS), rtol=1e-6
    )


@pytest.mark.parametrize("nu", [None, 3.0])
def test_the_scatter_of_a_forecast_is_that_of_its_likelihood(
    money_fit: Any, nu: float | None
) -> None:
    """94 % of new observations lie in an interval of 94 %, also with heavy tails."""
    import xarray as xr

    from mmm_workflows.bayes.predict import forecast
    from mmm_workflows.mmm.spec import Likelihood

    random = np.random.default_rng(8)
    sigma, scale, periods, draws = 0.05, 1e6, 1500, 2000
    values = {"y_sigma": np.full((2, draws // 2), sigma)}
    noise = random.standard_normal(periods)
    if nu is not None:
        values["y_nu"] = np.full((2, draws // 2), nu)
        noise = random.standard_t(nu, periods)
    posterior = xr.Dataset({name: (("chain", "draw"), v) for name, v in values.items()})
    spec = money_fit.job.spec.model_copy(
        update={"likelihood": Likelihood.NORMAL if nu is None else Likelihood.STUDENT_T}
    )
    mean = np.full((draws, periods), 2e6)
    seen = forecast(xr.DataTree.from_dict({"posterior": posterior}), mean, scale, spec, seed=1)
    actual = 2e6 + sigma * scale * noise
    assert seen.coverage(actual) == pytest.approx(0.94, abs=0.02)
    assert seen.mape(actual) == pytest.approx(np.mean(np.abs(actual - 2e6) / actual))

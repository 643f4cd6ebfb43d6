"""What differs between two fits, how far a channel moved beyond noise, and what that comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_draws
from test_specs import make_dataset

from mmm_workflows.mmm.dataset import Dataset, long_table
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.plan import PlannedPrior, ResearchPlan
from mmm_workflows.mmm.refresh import Fitted, compare_channels, returns, shared_window
from mmm_workflows.mmm.refresh_causes import find_causes
from mmm_workflows.mmm.refresh_data import compare_data
from mmm_workflows.mmm.refresh_spec import compare_specs, on_data
from mmm_workflows.mmm.refresh_values import NOISE, Cause, DataChange, Restated, Span
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.side_by_side import ROUNDING
from mmm_workflows.mmm.spec import Adstock, ModelSpec, Saturation
from mmm_workflows.mmm.spec_builder import propose_spec

CHAINS = 4
NAMES = ("Revenue", "TV_Spend", "Search_Spend", "Price")


def spec_of(dataset: Dataset | None = None, **wishes: Any) -> ModelSpec:
    return propose_spec(dataset or make_dataset(), ResearchPlan(), wishes).spec


def changed(dataset: Dataset, change: dict[str, dict[int, float]]) -> Dataset:
    """The data with other values: variable -> period by its number -> value."""
    wide = dataset.national()
    for name, cells in change.items():
        for at, value in cells.items():
            wide.iloc[at, wide.columns.get_loc(name)] = value
    return replace(dataset, frame=long_table(wide))


def cut(dataset: Dataset, start: int, end: int) -> Dataset:
    return replace(dataset, frame=long_table(dataset.national().iloc[start:end]))


# Data ---------------------------------------------------------------------------------------------


def test_equal_data_differs_in_nothing() -> None:
    assert compare_data(make_dataset(), make_dataset(), NAMES) == DataChange()


def test_added_and_dropped_periods_are_counted_with_their_ends() -> None:
    dataset = make_dataset()
    found = compare_data(cut(dataset, 0, 100), cut(dataset, 3, 104), NAMES)
    assert found == DataChange(
        added=Span(count=4, start=date(2024, 12, 2), end=date(2024, 12, 23)),
        dropped=Span(count=3, start=date(2023, 1, 2), end=date(2023, 1, 16)),
    )


def test_restated_history_is_told_per_variable_by_share_and_sum() -> None:
    before = make_dataset()
    spend = before.national()["TV_Spend"]
    extra = 0.5 * float(spend.sum())
    after = changed(before, {"TV_Spend": {4: float(spend.iloc[4]) + extra}})
    (found,) = compare_data(before, after, NAMES).restated
    assert (found.variable, found.cells, found.changed) == ("TV_Spend", 104, 1)
    assert found.share == 1 / 104
    assert found.sum_change == pytest.approx(0.5)


@pytest.mark.parametrize(("by", "is_restated"), [(ROUNDING / 2, False), (2 * ROUNDING, True)])
def test_history_is_restated_beyond_the_rounding_of_all_comparisons(
    by: float, is_restated: bool
) -> None:
    before = make_dataset()
    price = float(before.national()["Price"].iloc[4])
    after = changed(before, {"Price": {4: price * (1 + by)}})
    assert bool(compare_data(before, after, NAMES).restated) is is_restated


def test_a_value_that_is_gone_or_comes_late_is_restated() -> None:
    before = changed(make_dataset(), {"Price": {7: np.nan}})
    for one, other in ((before, make_dataset()), (make_dataset(), before)):
        (found,) = compare_data(one, other, NAMES).restated
        assert (found.variable, found.changed) == ("Price", 1)


def test_a_variable_that_nobody_models_is_not_looked_at() -> None:
    after = changed(make_dataset(), {"Price": {0: 99.0}})
    assert compare_data(make_dataset(), after, ("Revenue", "TV_Spend")) == DataChange()


def test_what_writing_a_number_does_to_it_is_no_restatement() -> None:
    before = make_dataset()
    wide = before.national() * (1 + 1e-12)
    assert compare_data(before, replace(before, frame=long_table(wide)), NAMES) == DataChange()


def test_a_geography_that_is_new_is_restated_history() -> None:
    before = make_dataset()
    more = before.frame.assign(Geography="North")
    after = replace(before, frame=pd.concat([before.frame, more]))
    found = compare_data(before, after, NAMES).restated
    # The price is a mean, which the same price in another place leaves as it was.
    assert {r.variable for r in found} == set(NAMES) - {"Price"}
    assert {round(r.sum_change or 0, 9) for r in found} == {1.0}


def test_a_national_series_that_comes_by_geographies_is_the_same_history() -> None:
    before = make_dataset()
    added = before.frame["VariableName"] != "Price"
    halves = [before.frame.assign(Geography=place) for place in ("North", "South")]
    for half in halves:
        half.loc[added, "VariableValue"] /= 2
    after = replace(before, frame=pd.concat(halves, ignore_index=True))
    assert compare_data(before, after, NAMES) == DataChange()
    assert compare_data(after, before, NAMES) == DataChange()


# Specs --------------------------------------------------------------------------------------------


def test_values_that_follow_from_the_data_are_no_changed_spec() -> None:
    assert compare_specs(spec_of(), spec_of(make_dataset(weeks=100), trend_knots=2)) == ()
    assert compare_specs(spec_of(), spec_of().model_copy(update={"margin": 0.4})) == ()


def test_changed_choices_are_named_with_what_they_were() -> None:
    after = spec_of(l_max=4, controls={"Price": "log"})
    found = {c.field: (c.before, c.after) for c in compare_specs(spec_of(), after)}
    assert found == {"l_max": ("8", "4"), "controls.Price.transform": ("none", "log")}
    sampler = spec_of().sampler.model_copy(update={"target_accept": 0.99})
    after = spec_of().model_copy(update={"sampler": sampler})
    assert [c.field for c in compare_specs(spec_of(), after)] == ["sampler.target_accept"]


def test_the_prior_that_goes_with_a_shape_is_no_change_of_its_own() -> None:
    after = spec_of(saturation="michaelis_menten")
    assert [c.field for c in compare_specs(spec_of(), after)] == ["saturation"]


def test_a_channel_that_comes_or_goes_is_one_change() -> None:
    more = spec_of(make_dataset(Mail_Spend=np.full(104, 7.0)))
    (found,) = compare_specs(spec_of(), more)
    assert (found.field, found.before) == ("channels.Mail_Spend", "-")
    (found,) = compare_specs(more, spec_of())
    assert (found.field, found.after) == ("channels.Mail_Spend", "-")


def test_a_cited_prior_is_a_change_but_not_what_new_sums_make_of_its_elasticity() -> None:
    prior = PlannedPrior(
        channel="TV_Spend", quantity="elasticity", median=0.1, spread=0.5, claims=("C-1",),
        why="w", accepted=True,
    )  # fmt: skip
    plan = ResearchPlan(priors=(prior,))
    one, other = (
        propose_spec(make_dataset(weeks=weeks), plan, {"trend_knots": 1}).spec
        for weeks in (104, 90)
    )
    assert one.channels[0].return_prior != other.channels[0].return_prior
    assert compare_specs(one, other) == ()
    assert [c.field for c in compare_specs(spec_of(trend_knots=1), one)] == [
        "channels.TV_Spend.return_prior"
    ]


@pytest.mark.parametrize("wishes", [{}, {"saturation": "michaelis_menten", "l_max": 3}])
def test_the_choices_on_other_data_are_what_the_builder_makes_of_them(wishes: Any) -> None:
    wishes = {**wishes, "trend_knots": 1, "controls": {"Price": "log"}}
    other = make_dataset(weeks=90, money=3.0)
    assert on_data(spec_of(**wishes), other) == spec_of(other, **wishes)


# Channels -----------------------------------------------------------------------------------------


def with_periods(draws: Draws, periods: int) -> Draws:
    return replace(draws, dates=draws.dates[:periods], spend=draws.spend[:periods])


def fitted(draws: Draws) -> Fitted:
    return Fitted(draws, CHAINS)


def shifted(draws: Draws, by: float, random: np.random.Generator) -> Draws:
    """Another sampling of the first channel's size: the same posterior, its mean moved by ``by``."""
    beta = draws.beta.copy()
    beta[:, 0] = random.permutation(random.normal(0.1 + by, 0.01, draws.count))
    return replace(draws, beta=beta)


def flat(count: int = 400, periods: int = 10) -> Draws:
    """Draws whose return is the coefficient times a constant."""
    draws = make_draws(count=count, periods=periods, channels=("TV", "Search"))
    still = {name: np.full_like(getattr(draws, name), 0.5) for name in ("alpha", "lam")}
    return replace(draws, **still)


@pytest.mark.parametrize("adstock", list(Adstock))
@pytest.mark.parametrize("saturation", list(Saturation))
def test_the_return_over_all_periods_is_contribution_over_spend(
    adstock: Adstock, saturation: Saturation
) -> None:
    draws = make_draws(count=20, adstock=adstock, saturation=saturation)
    whole = Window(start=draws.dates[0].item(), end=draws.dates[-1].item())
    theta = None if draws.theta is None else draws.theta[:, 1]
    weights = adstock_weights(adstock, draws.alpha[:, 1], draws.l_max, theta)
    scaled = np.tile(draws.spend[:, 1] / draws.channel_scale[1], (draws.count, 1))
    felt = carry_over(scaled, weights)
    shape = saturate(saturation, felt, draws.lam[:, [1]], draws.beta[:, [1]])
    expected = draws.target_scale * shape.sum(axis=1) / draws.spend[:, 1].sum()
    assert returns(draws, draws.channels[1], whole) == pytest.approx(expected)


def test_on_a_part_of_the_periods_a_fit_is_read_as_one_that_saw_no_others() -> None:
    draws = make_draws(count=20)
    short = with_periods(draws, 100)
    window = shared_window(short, draws)
    assert window == Window(start=date(2023, 1, 2), end=draws.dates[99].item())
    for channel in draws.channels:
        assert returns(draws, channel, window) == pytest.approx(returns(short, channel, window))


def test_fits_that_share_no_periods_or_not_all_between_share_no_window() -> None:
    draws = make_draws(count=20)
    late = replace(draws, dates=draws.dates + np.timedelta64(7 * 156, "D"))
    assert shared_window(draws, late) is None
    keep = np.arange(156) != 80
    holed = replace(draws, dates=draws.dates[keep], spend=draws.spend[keep])
    assert shared_window(draws, holed) is None


def test_two_samplings_of_one_posterior_differ_by_noise_and_no_more_often_than_it_says() -> None:
    random = np.random.default_rng(5)
    draws = flat()
    window = shared_window(draws, draws)
    assert window is not None
    apart = []
    for _ in range(300):
        one, other = (fitted(shifted(draws, 0.0, random)) for _ in range(2))
        tv = compare_channels(one, other, window, ())[0][0].common
        assert tv.within_noise == (abs(tv.change_in_mcse) <= NOISE)
        apart.append(tv.change_in_mcse)
    assert np.std(apart) == pytest.approx(1.0, abs=0.2)
    assert np.mean(np.abs(apart) <= NOISE) > 0.99


def test_a_posterior_that_moved_is_not_called_noise() -> None:
    random = np.random.default_rng(6)
    draws = flat()
    window = shared_window(draws, draws)
    assert window is not None
    one, other = fitted(shifted(draws, 0.0, random)), fitted(shifted(draws, 0.01, random))
    tv, search = (c.common for c in compare_channels(one, other, window, ())[0])
    # A move of one standard deviation, against two errors of it over the root of 400 draws.
    assert tv.change_in_mcse == pytest.approx(np.sqrt(400 / 2), rel=0.25)
    assert not tv.within_noise
    assert search.change == 0 and search.within_noise


def test_new_periods_move_a_right_model_by_what_the_variances_say() -> None:
    """A known truth: the mean of normal data with a normal prior, first on 50 values, then on 80."""
    random = np.random.default_rng(7)
    draws = flat(2000, 3)
    window = shared_window(draws, draws)
    assert window is not None
    ratios = []
    for _ in range(150):
        truth = random.normal(0.1, 0.05)
        values = random.normal(truth, 0.2, 80)
        means, sizes = [], []
        for count in (50, 80):
            precision = 1 / 0.05**2 + count / 0.2**2
            means.append((0.1 / 0.05**2 + values[:count].sum() / 0.2**2) / precision)
            sizes.append(np.sqrt(1 / precision))
        pair = []
        for mean, size in zip(means, sizes, strict=True):
            beta = draws.beta.copy()
            beta[:, 0] = random.normal(mean, size, draws.count)
            pair.append(fitted(replace(draws, beta=beta)))
        tv = compare_channels(pair[0], pair[1], window, (Cause.ADDED,))[0][0]
        assert tv.expected_change is not None
        ratios.append(tv.common.change / np.hypot(tv.expected_change, tv.common.mcse))
    assert np.std(ratios) == pytest.approx(1.0, abs=0.2)
    assert np.mean(ratios) == pytest.approx(0.0, abs=0.25)


def test_what_new_periods_should_do_is_not_told_where_they_are_not_all_that_is_new() -> None:
    random = np.random.default_rng(8)
    draws = flat()
    window = shared_window(draws, draws)
    assert window is not None
    one, other = (fitted(shifted(draws, 0.0, random)) for _ in range(2))
    for causes in ((), (Cause.SPEC,), (Cause.ADDED, Cause.SPEC), (Cause.ADDED,)):
        # With equal variances new periods have told nothing, so nothing can be expected of them.
        tv = compare_channels(one, other, window, causes)[0][0]
        assert tv.expected_change is None and tv.reasons["expected_change"]


def test_a_channel_of_one_fit_alone_is_left_out_with_its_reason() -> None:
    draws = make_draws(count=40, channels=("TV", "Search"))
    other = replace(draws, channels=("TV", "Mail"))
    window = shared_window(draws, other)
    assert window is not None
    channels, left_out = compare_channels(fitted(draws), fitted(other), window, ())
    assert [c.channel for c in channels] == ["TV"]
    assert set(left_out) == {"Search", "Mail"}
    silent = draws.spend.copy()
    silent[:, 0] = 0
    channels, left_out = compare_channels(
        fitted(draws), fitted(replace(draws, spend=silent)), window, ()
    )
    assert "no spend" in left_out["TV"]


# Causes -------------------------------------------------------------------------------------------


def test_every_difference_is_a_cause_and_lost_data_is_one_that_says_no_more() -> None:
    span = Span(count=1, start=date(2024, 1, 1), end=date(2024, 1, 1))
    restated = Restated(variable="v", cells=9, changed=1, share=1 / 9, sum_change=None)
    everything = DataChange(added=span, dropped=span, restated=(restated,))
    spec = compare_specs(spec_of(), spec_of(l_max=2))
    assert find_causes(everything, same_file=False, spec=spec, software=spec) == (
        Cause.SOFTWARE, Cause.DROPPED, Cause.RESTATED, Cause.ADDED, Cause.SPEC,
    )  # fmt: skip
    assert find_causes(DataChange(), same_file=False, spec=(), software=()) == ()
    assert find_causes(None, same_file=False, spec=(), software=()) == (Cause.DATA,)

"""Synthetic worlds: the truth is what the table was made of, and the shipped files are theirs."""

import io
import json
import runpy
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation
from mmm_workflows.mmm.synthetic import World, make_world, recovery_seeds, recovery_worlds
from mmm_workflows.mmm.worlds import SALES, SAMPLE_SEED, WEEKLY_SAMPLE, WorldPlan

ROOT = Path(__file__).parents[3]
STEMS = ("examples/data/weekly_sample", "data/sales")


@pytest.fixture(scope="module")
def shipped() -> dict[str, bytes]:
    return runpy.run_path(str(ROOT / "scripts" / "make_sample_data.py"))["files"]()


def plan_of(frequency: Frequency, geographies: int = 0, periods: int = 60) -> WorldPlan:
    changed = {"frequency": frequency, "geographies": geographies, "periods": periods}
    return WEEKLY_SAMPLE.model_copy(update=changed)


def contribution(world: World, name: str, spend: np.ndarray) -> np.ndarray:
    """A national channel's contribution per period, from its spend and the truth alone."""
    truth = world.truth.channels[name]
    weights = adstock_weights(Adstock.GEOMETRIC, truth.alpha, world.truth.l_max)
    felt = carry_over(spend / truth.channel_scale, weights)
    return saturate(Saturation.LOGISTIC, felt, truth.lam, truth.beta)


def test_the_shipped_files_are_what_the_generator_makes(shipped: dict[str, bytes]) -> None:
    assert set(shipped) == {f"{stem}{end}" for stem in STEMS for end in (".csv", ".truth.json")}
    assert {name: (ROOT / name).read_bytes() for name in shipped} == shipped


@pytest.mark.parametrize("stem", STEMS)
def test_the_shipped_truth_follows_from_the_shipped_table(
    shipped: dict[str, bytes], stem: str
) -> None:
    table = pd.read_csv(io.BytesIO(shipped[f"{stem}.csv"]))
    truth = json.loads(shipped[f"{stem}.truth.json"])
    for name, channel in truth["channels"].items():
        weights = adstock_weights(Adstock.GEOMETRIC, channel["alpha"], truth["l_max"])
        felt = carry_over(table[name].to_numpy() / channel["channel_scale"], weights)
        made = saturate(Saturation.LOGISTIC, felt, channel["lam"], channel["beta"]).sum()
        assert channel["contribution"] == pytest.approx(made, rel=1e-5)
        assert channel["spend"] == pytest.approx(table[name].sum(), abs=0.01)
        assert channel["roas"] == pytest.approx(made / table[name].sum(), rel=1e-5)


def test_the_weekly_sample_is_as_it_is_described(shipped: dict[str, bytes]) -> None:
    table = pd.read_csv(io.BytesIO(shipped["examples/data/weekly_sample.csv"]))
    truth = json.loads(shipped["examples/data/weekly_sample.truth.json"])
    dates = pd.to_datetime(table["Date"])
    assert len(table) == 156
    assert set(dates.diff().dropna().dt.days) == {7}
    channels = [c for c in table if c.endswith("_Spend")]
    assert list(truth["channels"]) == channels
    assert list(table) == ["Date", "Revenue", *channels, "Price", "Promotion"]
    spend = table[channels].sum()
    assert (spend / spend.sum()).min() > 0.02
    assert all(0.5 <= c["roas"] <= 4 for c in truth["channels"].values())
    assert (table["TV_Spend"] == 0).mean() > 0.3
    assert (table["Search_Spend"] > 0).all()
    assert table["Revenue"].min() > 0


def test_the_sales_table_has_the_columns_of_the_guide(shipped: dict[str, bytes]) -> None:
    table = pd.read_csv(io.BytesIO(shipped["data/sales.csv"]))
    assert list(table) == ["Date", "Sales", "TV_Spend", "Digital_Spend"]
    assert len(table) == 104
    assert not table.isna().any(axis=None)


def test_equal_seeds_make_equal_bytes_and_other_seeds_another_truth() -> None:
    one, same, other = (make_world(SALES, seed) for seed in (1, 1, 2))
    assert (one.csv(), one.truth_json()) == (same.csv(), same.truth_json())
    for name, truth in one.truth.channels.items():
        drawn = other.truth.channels[name]
        assert truth.roas != drawn.roas
        assert truth.alpha != drawn.alpha
        assert truth.lam != drawn.lam
    assert not np.array_equal(one.frame["TV_Spend"], other.frame["TV_Spend"])


def test_recovery_worlds_have_seeds_of_their_own() -> None:
    seeds = recovery_seeds(20)
    assert len({*seeds, SAMPLE_SEED}) == 21
    assert recovery_seeds(5) == seeds[:5]
    worlds = list(recovery_worlds(SALES, 3))
    assert [world.seed for world in worlds] == list(seeds[:3])
    assert len({world.truth.channels["TV_Spend"].roas for world in worlds}) == 3


def test_a_channel_more_does_not_change_the_others() -> None:
    fewer = WEEKLY_SAMPLE.model_copy(update={"channels": WEEKLY_SAMPLE.channels[:3]})
    whole, part = make_world(WEEKLY_SAMPLE, 7), make_world(fewer, 7)
    for column in ("TV_Spend", "OOH_Spend", "Price", "Promotion"):
        assert np.array_equal(whole.frame[column], part.frame[column])
    one, other = (w.truth.channels["TV_Spend"] for w in (whole, part))
    assert (one.contribution, one.roas, one.mroas) == (other.contribution, other.roas, other.mroas)


def test_mroas_is_the_slope_of_a_small_proportional_rise() -> None:
    world = make_world(WEEKLY_SAMPLE, 3)
    for name, truth in world.truth.channels.items():
        spend = world.frame[name].to_numpy()
        up, down = (contribution(world, name, spend * (1 + h)).sum() for h in (1e-4, -1e-4))
        assert truth.mroas == pytest.approx((up - down) / (2e-4 * spend.sum()), rel=1e-4)
        assert truth.mroas < truth.roas


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frequency=st.sampled_from(Frequency),
    geographies=st.sampled_from([0, 1, 4]),
    periods=st.integers(8, 120),
)
def test_the_parts_of_any_world_add_up_to_its_target(
    seed: int, frequency: Frequency, geographies: int, periods: int
) -> None:
    world = make_world(plan_of(frequency, geographies, periods), seed)
    keys = ["Date", "Geography"] if geographies else ["Date"]
    assert len(world.frame) == periods * max(geographies, 1)
    assert not world.frame.duplicated(keys).any()
    assert list(world.parts[keys[0]]) == list(world.frame[keys[0]])
    made = world.parts.drop(columns=keys).sum(axis=1)
    assert np.abs(made - world.frame["Revenue"]).max() <= 0.0051
    numbers = world.frame.drop(columns=keys)
    assert np.isfinite(numbers).all(axis=None)
    assert (numbers >= 0).all(axis=None)
    assert (world.frame["Revenue"] > 0).all()
    for name, truth in world.truth.channels.items():
        assert truth.spend == pytest.approx(world.frame[name].sum(), abs=0.01)
        assert truth.contribution == pytest.approx(world.parts[name].sum(), abs=0.01)
        assert 0.59 <= truth.roas <= 3.81
        assert 0 <= truth.alpha < 1


def test_daily_and_monthly_worlds_have_their_own_dates_and_carry_over() -> None:
    daily, weekly, monthly = (make_world(plan_of(f), 5) for f in Frequency)
    assert set(daily.frame["Date"].diff().dropna().dt.days) == {1}
    assert set(monthly.frame["Date"].dt.day) == {1}
    assert monthly.truth.window.start == date(2023, 2, 1)
    alphas = [w.truth.channels["TV_Spend"].alpha for w in (daily, weekly, monthly)]
    assert alphas[0] == pytest.approx(alphas[1] ** (1 / 7), abs=1e-5)
    assert alphas[0] > alphas[1] > alphas[2]
    assert [w.truth.l_max for w in (daily, weekly, monthly)] == [28, 8, 3]
    year = monthly.parts["baseline"].sum() / 5
    assert year == pytest.approx(WEEKLY_SAMPLE.base * 365.25 / 7, rel=1e-6)


def test_geographies_differ_in_size_and_answer() -> None:
    world = make_world(plan_of(Frequency.WEEKLY, geographies=4), 11)
    sums = world.frame.groupby("Geography")[["Revenue", "TV_Spend"]].sum()
    assert sums["Revenue"].nunique() == 4
    made = world.parts.groupby("Geography")["TV_Spend"].sum()
    assert (made / sums["TV_Spend"]).std() > 0.01


def test_a_plan_with_a_column_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        WorldPlan.model_validate({**SALES.model_dump(), "target": "TV_Spend"})

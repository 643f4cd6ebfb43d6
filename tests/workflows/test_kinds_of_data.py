"""Daily, monthly, geographic and non-money data go through all four workflows to an answer."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from mmm_workflows.config import Settings
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import ChannelPlan, Flighting, WorldPlan
from mmm_workflows.records import Depth, Json
from mmm_workflows.workflows.contracts import PipelineRequest
from mmm_workflows.workflows.runner import open_runner

pytestmark = pytest.mark.slow
CHANNELS = (
    ChannelPlan(name="TV", flighting=Flighting.BURSTS, weekly_spend=30_000),
    ChannelPlan(name="Search", flighting=Flighting.ALWAYS_ON, weekly_spend=20_000),
)


def _plan(name: str, frequency: Frequency, periods: int, **more: object) -> WorldPlan:
    return WorldPlan(
        name=name, frequency=frequency, periods=periods, start=date(2021, 1, 4 if periods != 48 else 1),
        base=400_000, channels=CHANNELS, promotion_column=None, **more,  # type: ignore[arg-type]
    )  # fmt: skip


SATURDAY = 40_000.0

KINDS = {
    "daily": (_plan("daily", Frequency.DAILY, 240), "next 14 days", "EUR"),
    "monthly": (_plan("monthly", Frequency.MONTHLY, 48), "next 3 months", "EUR"),
    "geo": (_plan("geo", Frequency.WEEKLY, 104, geographies=3), "next 8 weeks", "EUR"),
    "counted": (_plan("counted", Frequency.WEEKLY, 104), "next 8 weeks", "units"),
}


async def _answer(plan: WorldPlan, window: str, unit: str, settings: Settings, at: Path) -> Json:
    source = at / f"{plan.name}.csv"
    table = pd.read_csv(io.BytesIO(make_world(plan, 5).csv()), parse_dates=["Date"])
    if plan.frequency is Frequency.DAILY:
        table["Revenue"] += SATURDAY * (table["Date"].dt.day_of_week == 5)
    table.to_csv(source, index=False)
    request = PipelineRequest(
        query="Build MMM for a retailer",
        user_query=f"What if we increase TV spend by 20% in the {window}?",
        data_sources=(str(source),),
        target_variable="Revenue",
        media_channels=("TV", "Search"),
        geography_column="Geography" if plan.geographies else None,
        target_unit=unit,
        currency="EUR",
        feature_transformations={"l_max": 6},
    )
    async with open_runner(settings) as runner:
        return await runner.start("pipeline", request, depth=Depth.QUICK)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_data_gets_an_answer_with_intervals(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    plan, window, unit = KINDS[kind]
    result = await _answer(plan, window, unit, settings, tmp_path)
    modeling = result["modeling"]
    assert modeling["fit_verdict"] in ("pass", "warn"), modeling["diagnostics"]
    assert modeling["model_spec"]["frequency"] == plan.frequency
    world = make_world(plan, 5)
    for channel in modeling["channels"]:
        # The file's spend, every geography and period of it, is what the model divides by.
        assert channel["spend"]["value"] == pytest.approx(
            world.truth.channels[channel["channel"]].spend, rel=1e-9
        )
        shown, absent = "roas", "cost_per_contribution"
        if unit == "units":
            shown, absent = absent, shown
        assert channel[shown]["hdi_low"] < channel[shown]["mean"] < channel[shown]["hdi_high"]
        assert channel[absent] is None
        assert channel["reasons"][absent]
    scenario = result["whatif"]["scenario_results"][0]
    assert scenario["totals"]["TV"] == pytest.approx(1.2 * scenario["reference_totals"]["TV"])
    assert scenario["totals"]["Search"] == scenario["reference_totals"]["Search"]
    delta = scenario["outcome"]["delta"]
    assert 0 <= delta["hdi_low"] < delta["mean"]
    better = scenario["outcome"]["probability_better"]
    assert better is None if unit == "units" else 0 <= better <= 1
    # A level of its own for Saturdays, or what they bring is noise that hides the media.
    drivers = {d["name"] for d in modeling["drivers"]}
    assert ("weekday" in drivers) == (kind == "daily")
    if kind == "daily":
        assert modeling["fit"]["r2"]["mean"] > 0.8, modeling["fit"]
    if plan.geographies:
        assert "geographies_added_up" in {f["code"] for f in modeling["findings"]}


async def test_a_pipeline_that_must_ask_waits_and_goes_on_with_the_answer(
    settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "sales.csv"
    source.write_bytes(make_world(KINDS["counted"][0], 5).csv())
    request = PipelineRequest(
        query="Build MMM for a retailer",
        user_query="What if we spend more on TV?",
        data_sources=(str(source),),
        target_variable="Revenue",
        media_channels=("TV", "Search"),
    )
    async with open_runner(settings) as runner:
        asked = await runner.start("pipeline", request, depth=Depth.QUICK, workflow_id="p1")
        assert asked["status"] == "waiting"
        assert asked["questions"]
        assert asked["modeling"]["channels"], "what is known already is shown while it asks"
        still = await runner.decide("p1", "a lot")
        assert still["status"] == "waiting"
        done = await runner.decide("p1", "What if we increase TV spend by 10%?")
        assert done["status"] == "succeeded"
        assert done["whatif"]["scenario_results"][0]["outcome"]["delta"]["mean"] > 0
        assert (await runner.resume("p1")) == done
        assert (await runner.delete("p1")).runs == 5

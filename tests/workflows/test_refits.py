"""A later fit of a project starts from the one that worked, and says how it differs and why."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from mmm_workflows.config import Settings
from mmm_workflows.mmm.knowledge import EdgeKind, NodeKind
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import ChannelPlan, Flighting, WorldPlan
from mmm_workflows.records import Depth, Json
from mmm_workflows.workflows.contracts import EdaRequest, ModelingRequest
from mmm_workflows.workflows.runner import Runner, open_runner

pytestmark = pytest.mark.slow
WEEKS = 70
WORLD = WorldPlan(
    name="refreshed", frequency=Frequency.WEEKLY, periods=WEEKS + 8, start=date(2023, 1, 2),
    base=400_000, promotion_column=None, price_column=None,
    channels=(
        ChannelPlan(name="TV", flighting=Flighting.BURSTS, weekly_spend=30_000),
        ChannelPlan(name="Search", flighting=Flighting.ALWAYS_ON, weekly_spend=20_000),
    ),
)  # fmt: skip
# A choice that the rules would not make; it also makes the fits of these tests short.
WISHES: Json = {"l_max": 3, "trend_knots": 0}


async def fit(
    runner: Runner, source: Path, weeks: int, name: str, *, wishes: Json | None = None,
    depth: Depth = Depth.QUICK, seed: int = 1, start_from: str = "earlier",
    restate: Callable[[pd.DataFrame], object] = lambda table: None,
) -> Json:  # fmt: skip
    """The result of Modeling on the first weeks of the world, as EDA reads them."""
    table = pd.read_csv(io.BytesIO(make_world(WORLD, 5).csv())).head(weeks)
    restate(table)
    path = source / f"{name}.csv"
    table.to_csv(path, index=False)
    eda = EdaRequest(
        data_sources=(str(path),), target_variable=WORLD.target, media_channels=("TV", "Search"),
        target_unit="EUR", currency="EUR",
    )  # fmt: skip
    mff = (await runner.start("eda", eda))["mff_data_path"]
    request = ModelingRequest(
        mff_data_path=mff, feature_transformations=wishes, start_from=start_from  # type: ignore[arg-type]
    )
    return await runner.start("modeling", request, workflow_id=name, depth=depth, seed=seed)


def restated(table: pd.DataFrame) -> None:
    table.loc[table.index[5:12], "Search"] *= 1.5


async def test_a_refresh_starts_from_the_spec_that_worked_and_names_its_new_weeks(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_runner(settings) as runner:
        first = await fit(runner, tmp_path, WEEKS, "first", wishes=WISHES)
        assert first["fit_verdict"] != "fail"
        assert first["refresh"] is None and first["reasons"]["refresh"]
        ruled = await fit(runner, tmp_path, WEEKS, "ruled", wishes=WISHES, start_from="rules")
        assert not any("as in run" in d["reason"] for d in ruled["decisions"])
        again = await fit(runner, tmp_path, WEEKS, "again")
        assert any("as in run ruled" in d["reason"] for d in again["decisions"])
        assert again["reused"], "the choices that worked were not taken, or not all of them"
        assert again["refresh"] is None, "an equal fit is no refresh"

        later = await fit(runner, tmp_path, WEEKS + 4, "later")
        spec = later["model_spec"]
        assert (spec["l_max"], spec["trend_knots"]) == (3, 0)
        carried = {d["question"]: d for d in later["decisions"]}
        chosen = carried["How many periods may media carry over?"]
        assert chosen["choice"] == "3" and "run again" in chosen["reason"]
        assert "the rules would choose 8" in chosen["evidence"]

        refresh = later["refresh"]
        assert refresh["causes"] == ["new_periods"]
        assert refresh["data"]["added"] == {
            "count": 4, "start": "2024-05-06", "end": "2024-05-27",
        }  # fmt: skip
        assert refresh["data"]["restated"] == [] and refresh["spec"] == []
        assert "4 new weeks (2024-05-06 to 2024-05-27)" in later["summary"]
        for channel in refresh["channels"]:
            name = channel["channel"]
            before = next(c for c in first["channels"] if c["channel"] == name)["roas"]
            # What both share is all that the first has seen: the same figure in two ways.
            assert channel["common"]["before"]["mean"] == pytest.approx(before["mean"])
        for history in later["history"]:
            assert [p["workflow_id"] for p in history["fits"]] == ["first", "later"]
            assert history["fits"][-1]["ended_at"] is None

        nodes, edges = await (await runner.memory.bring_in("default")).everything("default")
        models = {node.node_id for node in nodes if node.kind is NodeKind.MODEL}
        (edge,) = (e for e in edges if e.kind is EdgeKind.SUPERSEDES and e.source in models)
        assert edge.evidence == refresh["note"]
        by_id = {node.node_id: node.properties.get("path") for node in nodes}
        assert by_id[edge.source] == later["model_artifact_path"]
        assert by_id[edge.target] == first["model_artifact_path"]

        shutil.rmtree(first["model_artifact_path"])
        alone = await fit(runner, tmp_path, WEEKS + 4, "alone")
        assert alone["reused"] and alone["refresh"] is None
        assert "no model folder" in alone["reasons"]["refresh"]
        assert [p["workflow_id"] for p in alone["history"][0]["fits"]] == ["first", "alone"]


@pytest.mark.proof
async def test_another_seed_moves_no_channel_beyond_noise_and_refits_tell_causes_apart(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_runner(settings) as runner:
        await fit(runner, tmp_path, WEEKS, "first", wishes=WISHES)
        other = await fit(runner, tmp_path, WEEKS, "other", seed=2)
        assert not other["reused"]
        assert other["refresh"]["causes"] == []
        moves = [c["common"] for c in other["refresh"]["channels"]]
        assert len(moves) == 2
        assert all(m["within_noise"] and m["change"] != 0 for m in moves), moves

        changed = await fit(
            runner, tmp_path, WEEKS + 4, "changed", depth=Depth.FULL, restate=restated
        )
        refresh = changed["refresh"]
        assert refresh["causes"] == ["restated_history", "new_periods"]
        (search,) = refresh["data"]["restated"]
        assert (search["variable"], search["changed"], search["cells"]) == ("Search", 7, WEEKS)
        assert refresh["not_run"] == []
        first_rung, second_rung = refresh["ladder"]
        assert (first_rung["cause"], second_rung["cause"]) == tuple(refresh["causes"])
        assert first_rung["model_path"] not in (
            other["model_artifact_path"], changed["model_artifact_path"],
        )  # fmt: skip
        assert second_rung["model_path"] == changed["model_artifact_path"]
        for channel, *rungs in zip(
            refresh["channels"], first_rung["moves"], second_rung["moves"], strict=True
        ):
            whole = channel["common"]["change"]
            assert sum(move["change"] for move in rungs) == pytest.approx(whole)
        models = {a["path"] for a in changed["artifacts"] if a["kind"] == "model"}
        assert first_rung["model_path"] in models, "a deleted run would leave its refit behind"

"""What runs left behind is found again, leads back to its sources, and can be forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from contracts.outbox.conftest import child

from mmm_workflows.config import Settings
from mmm_workflows.db import draining
from mmm_workflows.mmm.chain import lines
from mmm_workflows.mmm.knowledge import EdgeKind, NodeKind
from mmm_workflows.mmm.recall import Way
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

ROOT = Path(__file__).parents[2]
SALES = ROOT / "data" / "sales.csv"
QUERY = "Build MMM for beverage brand"


async def research(runner: Runner, **options: Any) -> None:
    asked = {"query": QUERY, "replay": str(ROOT / "examples" / "replay")}
    await runner.start("research", read_request("research", asked), **options)


async def eda(runner: Runner, **options: Any) -> None:
    asked = {
        "data_sources": [str(SALES)], "target_variable": "Sales",
        "media_channels": ["TV_Spend", "Digital_Spend"],
    }  # fmt: skip
    await runner.start("eda", read_request("eda", asked), **options)


async def test_a_claim_of_an_earlier_run_is_found_by_a_question(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await research(runner, workflow_id="r")
        recall = await runner.memory.recall(
            "How much does television return?", project="default", k=5
        )
    assert recall.missing == (), "a way of finding was not used"
    assert {use.way for use in recall.ways} == set(Way)
    texts = [found.passage.text for found in recall.found]
    assert any("Television returned a ROAS of 1.8" in text for text in texts), texts
    assert all(found.passage.workflow_id == "r" for found in recall.found)


async def test_what_was_not_known_by_a_day_is_not_recalled_as_of_it(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await research(runner, workflow_id="r")
        ended = (await runner.get("r")).updated_at
        for at, is_known in ((ended, True), (ended - timedelta(days=1), False)):
            found = await runner.memory.recall("television", project="default", k=5, at=at)
            assert (found.found != ()) == is_known


async def test_what_is_asked_twice_is_written_once(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await eda(runner, workflow_id="e")
        first = await runner.memory.recall("target", project="default", k=50)
        memory = await runner.services.open_memory()
        before = await memory.everything("default")
        again = await runner.memory.recall("target", project="default", k=50)
        assert await memory.everything("default") == before
    assert first.found == again.found


async def test_projects_do_not_see_each_other_and_a_deleted_run_is_forgotten(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await research(runner, workflow_id="mine", project="mine")
        await eda(runner, workflow_id="yours", project="yours")
        for project, run in (("mine", "mine"), ("yours", "yours")):
            found = (await runner.memory.recall("sales by TV", project=project, k=9)).found
            assert found and {f.passage.workflow_id for f in found} == {run}
        await runner.delete("mine")
        assert (await runner.memory.recall("sales by TV", project="mine", k=9)).found == ()
        assert (await runner.memory.recall("sales by TV", project="yours", k=9)).found
        memory = await runner.services.open_memory()
        nodes, edges = await memory.everything("mine")
        assert nodes == [] and edges == []


async def test_a_graph_opens_in_other_tools(settings: Settings, tmp_path: Path) -> None:
    async with open_runner(settings) as runner:
        await eda(runner)
        (tmp_path / "g.graphml").write_bytes(await runner.memory.export("default"))
    graph = nx.read_graphml(tmp_path / "g.graphml")
    assert graph.number_of_nodes() > 3
    assert {"Analysis", "Dataset", "Decision"} <= {
        data["kind"] for _, data in graph.nodes(data=True)
    }


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a run waits for the stores however slow this machine is."""
    monkeypatch.setattr(draining, "SETTLE_S", 300.0)


@pytest.mark.usefixtures("patient")
async def test_a_run_that_ends_while_memory_is_open_is_kept_at_its_end(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await runner.services.open_memory()
        await asyncio.gather(*(eda(runner, workflow_id=name) for name in ("a", "b")))
        for name in ("a", "b"):
            messages = [e.message for e in await runner.services.runs.events(name)]
            assert not [m for m in messages if m.startswith("memory")]
        assert await runner.memory.standing(["a", "b"]) == {"a": "kept", "b": "kept"}
        memory = await runner.services.open_memory()
        assert (await memory.holdings("default")).workflow_ids == {"a", "b"}


@pytest.mark.usefixtures("patient")
async def test_a_run_beside_the_owner_of_the_stores_succeeds_and_says_what_is_delayed(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        with child("hold", settings) as owner:
            assert await asyncio.to_thread(owner.stdout.readline) == "open\n"
            await runner.services.open_memory()
            await eda(runner, workflow_id="e")
            assert (await runner.get("e")).status is RunStatus.SUCCEEDED
            *_, told, last = await runner.services.runs.events("e")
            assert told.message.startswith("memory delayed: vectors: ")
            assert f"process {owner.pid}" in told.message
            assert last.status is RunStatus.SUCCEEDED
            assert await runner.memory.standing(["e"]) == {
                "e": told.message.removeprefix("memory ")
            }
        await runner.memory.drain()
        assert await runner.memory.standing(["e"]) == {"e": "kept"}
        found = await runner.memory.lineage("e", project="default")
        assert found.graph is None
        assert any(SALES.name in line for line in lines(found.chain))


async def test_a_run_that_ends_while_memory_is_elsewhere_is_brought_in_later(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await eda(runner, workflow_id="e")
        assert not runner.services.has_memory()
    async with open_runner(settings) as runner:
        found = (await runner.memory.recall("Sales", project="default", k=3)).found
    assert found and found[0].passage.workflow_id == "e"


async def test_a_newer_plan_of_the_category_takes_the_place_of_the_earlier_one(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await research(runner, workflow_id="first")
        await research(runner, workflow_id="second")
        result = (await runner.get("second")).result or {}
        assert result["earlier_runs"] == ["first"]
        memory = await runner.memory.bring_in("default")
        nodes, edges = await memory.everything("default")
    analysis = {n.node_id: n.workflow_id for n in nodes if n.kind == "Analysis"}
    replaces = [e for e in edges if e.kind == "SUPERSEDES"]
    assert [(analysis[e.source], analysis[e.target]) for e in replaces] == [("second", "first")]
    for edge in edges:
        assert edge.evidence, "an edge does not say what it rests on"
        if edge.kind == "ABOUT" and edge.source in analysis:
            ended = edge.expired_at is not None
            assert ended == (analysis[edge.source] == "first"), edge


async def test_an_experiment_that_research_proposes_is_kept_found_and_still_open_in_the_next_run(
    settings: Settings,
) -> None:
    asked = {
        "query": "Build MMM for beverage brand", "media_channels": ["TV", "Paid Search"],
        "target_variable": "Sales", "replay": str(ROOT / "examples" / "replay"),
    }  # fmt: skip
    async with open_runner(settings) as runner:
        for name in ("first", "second"):
            result = await runner.start(
                "research", read_request("research", asked), workflow_id=name
            )
            opened = [(e["channel"], e["workflow_id"]) for e in result["experiments"]]
            assert opened == ([] if name == "first" else [("Paid Search", "first")])
        (experiment,) = result["experiments"]
        assert experiment["said"] == (
            "An experiment for Paid Search (holdout or geo experiment) was proposed on "
            f"{experiment['proposed_at'][:10]} (run first) and no result is recorded."
        )
        recall = await runner.memory.recall(
            "Which holdout or geo experiment for Paid Search?", project="default", k=5
        )
        found = [f.passage for f in recall.found if f.passage.kind is NodeKind.EXPERIMENT]
        assert any(p.where.startswith("/research_plan/risks/") for p in found)
        nodes, edges = await (await runner.memory.bring_in("default")).everything("default")
        lineage = await runner.memory.lineage(
            "holdout or geo experiment for Paid Search", project="default"
        )
    assert {link.name for link in lineage.chain.rests_on} == {"Channel Paid Search"}
    kind = {node.node_id: node.kind for node in nodes}
    states = {n.node_id: n.properties["state"] for n in nodes if n.kind is NodeKind.EXPERIMENT}
    assert sorted(states.values())[-1] == "proposed" and len(states) > 1
    for node, state in states.items():
        from_it = {(e.kind, kind[e.target]) for e in edges if e.source == node}
        to_it = {(e.kind, kind[e.source]) for e in edges if e.target == node}
        about = (EdgeKind.ABOUT, NodeKind.CHANNEL)
        if state == "proposed":
            assert (from_it, to_it) == ({about}, {(EdgeKind.PRODUCED, NodeKind.ANALYSIS)})
        else:
            based = (EdgeKind.BASED_ON, NodeKind.CLAIM), (EdgeKind.CITES, NodeKind.DOCUMENT)
            assert (from_it, to_it) == ({about, *based}, set())

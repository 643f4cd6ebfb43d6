"""What runs left behind is found again, leads back to its sources, and can be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import RunError
from mmm_workflows.mmm.recall import Way
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


async def test_what_is_asked_twice_is_written_once(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await eda(runner, workflow_id="e")
        first = await runner.memory.recall("target", project="default", k=50)
        memory = await runner.services.open_memory()
        before = await memory.everything("default")
        again = await runner.memory.recall("target", project="default", k=50)
        assert await memory.everything("default") == before
    assert first.found == again.found


async def test_a_lineage_leads_from_a_run_down_to_the_file_and_the_page(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await research(runner, workflow_id="r")
        await eda(runner, workflow_id="e")
        down_to_file = await runner.memory.lineage("e")
        down_to_page = await runner.memory.lineage("r")
        with pytest.raises(RunError):
            await runner.memory.lineage("nothing")
    assert down_to_file[0] == "Analysis eda e"
    assert any(line.strip() == f"Document {SALES}" for line in down_to_file)
    claim = next(i for i, line in enumerate(down_to_page) if line.strip().startswith("Claim"))
    assert any(line.strip().startswith("Document") for line in down_to_page[claim:])


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


async def test_a_run_that_ends_while_memory_is_elsewhere_is_brought_in_later(
    settings: Settings,
) -> None:
    """The run database is the outbox: nothing but the run itself has to be kept."""
    async with open_runner(settings) as runner:
        await eda(runner, workflow_id="e")
        assert not runner.services.has_memory()
    async with open_runner(settings) as runner:
        found = (await runner.memory.recall("Sales", project="default", k=3)).found
    assert found and found[0].passage.workflow_id == "e"

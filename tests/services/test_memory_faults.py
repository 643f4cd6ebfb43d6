"""Servers of memory that stop or are killed: the run goes on, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.outbox.conftest import child, served
from contracts.outbox.test_drain import agree, standing
from contracts.outbox.values import succeed
from processes import rest_of

from mmm_workflows.config import Settings
from mmm_workflows.mmm.recall import Way
from mmm_workflows.records import Event, RunStatus
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

from .private import PrivateServer, private_server

pytestmark = [pytest.mark.services, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
QUERY = {
    "query": "Build MMM for beverage brand",
    "replay": str(ROOT / "examples" / "replay"),
}

type Servers = dict[str, PrivateServer]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folders = [tmp_path_factory.mktemp(name) for name in ("neo4j", "chroma")]
    with (
        private_server("neo4j", folders[0]) as neo4j,
        private_server("chroma", folders[1]) as chroma,
    ):
        yield {"neo4j": neo4j, "chroma": chroma}


@pytest.fixture
def on_servers(settings: Settings, servers: Servers) -> Settings:
    for server in servers.values():
        server.start_again()
    return served(settings, **servers["neo4j"].state, **servers["chroma"].state)


async def drained(runner: Runner) -> None:
    """Take what waits, again where a server that has just come back is slow at first."""
    async with asyncio.timeout(240):
        await runner.memory.drain()
        while (await runner.services.outbox.backlog()).waiting:
            await runner.memory.drain()


@pytest.mark.parametrize(("service", "way"), [("neo4j", Way.GRAPH), ("chroma", Way.VECTORS)])
async def test_a_run_goes_on_when_a_server_stops_and_says_so_until_it_is_back(
    on_servers: Settings, servers: Servers, service: str, way: Way
) -> None:
    project, events = f"stopped-{service}", list[Event]()

    def stop_at_the_start(event: Event) -> None:
        if not events:
            servers[service].kill()
        events.append(event)

    async with open_runner(on_servers) as runner:
        result = await runner.start(
            "research", read_request("research", QUERY),
            workflow_id=service, project=project, on_event=stop_at_the_start,
        )  # fmt: skip
        assert result["status"] == "succeeded"
        said = [e.message for e in events if e.message.startswith("memory delayed: ")]
        # A busy machine may not have learnt yet which store it is.
        assert len(said) == 1 and (f"{way}: " in said[0] or "not answered" in said[0])
        assert events[-1].status is RunStatus.SUCCEEDED
        assert events[-2].message == said[0]
        await runner.memory.drain()
        assert f"delayed: {way}: " in (await standing(runner, service) or "")
        recall = await runner.memory.recall("television", project=project, k=3)
        assert recall.found and [use.way for use in recall.missing] == [way]
        await succeed(runner, f"{service}-deleted", project)
        await runner.memory.drain()
        await runner.delete(f"{service}-deleted")
        assert str(way) in (await runner.memory.still_to_forget(project) or "")

        servers[service].start_again()
        await drained(runner)
        assert await standing(runner, service) == "kept"
        assert await runner.memory.still_to_forget(project) is None
        recall = await runner.memory.recall("television", project=project, k=3)
        assert recall.found and recall.missing == ()
        memory = await runner.services.open_memory()
        assert (await memory.holdings(project)).workflow_ids == {service}
        repaired = await runner.memory.repair(project, rebuild=False)
        assert (repaired.linked, repaired.forgotten, repaired.without_node) == (0, 0, ())
        assert (repaired.indexed, repaired.dropped) == (0, 0)


@pytest.mark.parametrize("service", ["neo4j", "chroma"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_server_that_is_killed_while_memory_is_written_loses_nothing(
    on_servers: Settings, servers: Servers, service: str, seed: int
) -> None:
    project, chance = f"killed-{service}-{seed}", random.Random(seed)
    with child("write", on_servers, project=project, name=project) as writer:
        said = [await asyncio.to_thread(writer.stdout.readline) for _ in range(4)]
        await asyncio.sleep(chance.uniform(0, 0.5))
        servers[service].kill()
        # It goes on with the server away.
        said += [await asyncio.to_thread(writer.stdout.readline) for _ in range(4)]
        assert all(said)
        writer.kill()
        said += rest_of(writer)[0].splitlines()
    servers[service].start_again()
    succeeded = {line.split()[1] for line in said if line.startswith("succeeded ")}
    async with open_runner(on_servers) as runner:
        done = await runner.services.runs.list(project=project, limit=None)
        names = {run.workflow_id for run in done if run.result is not None}
        assert succeeded <= names
        await drained(runner)
        await agree(runner, project, names)
        repaired = await runner.memory.repair(project, rebuild=False)
        assert (repaired.linked, repaired.indexed, repaired.dropped) == (0, 0, 0)

"""What only a server brings: other clients, its refusals, silence, and secrets."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from neo4j import AsyncGraphDatabase
from services.neo4j_state import neo4j_state

from mmm_workflows.db.neo4j_client import Neo4jGraph, Neo4jLimits, open_neo4j
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.mmm.knowledge import NodeKind

from .conftest import connect_neo4j
from .values import edge, node

SHORT = Neo4jLimits(connect_timeout_s=1, query_timeout_s=1, retry_s=0.5, connections=3)
SECRET = f"secret-{uuid4().hex}"
TESTS = Path(__file__).parents[2]


@asynccontextmanager
async def connected(
    limits: Neo4jLimits | None = None, port: int | None = None, **changed: str
) -> AsyncIterator[Neo4jGraph]:
    state = neo4j_state()
    uri = f"bolt://127.0.0.1:{port}" if port else state["NEO4J_URI"]
    given = {"user": state["NEO4J_USER"], "password": state["NEO4J_PASSWORD"], **changed}
    graph = await open_neo4j(uri, limits=limits, **given)
    try:
        yield graph
    finally:
        await graph.aclose()


class Relay:
    """A loopback port that passes bytes to the server until it is told to stop or to cut."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers += [writer, there_writer]
        pumps = (self.pump(reader, there_writer), self.pump(there_reader, writer))
        await asyncio.gather(*pumps, return_exceptions=True)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@asynccontextmanager
async def relay() -> AsyncIterator[tuple[Relay, int]]:
    passing = Relay(int(neo4j_state()["NEO4J_URI"].rsplit(":", 1)[1]))
    server = await asyncio.start_server(passing.serve, "127.0.0.1", 0)
    try:
        yield passing, server.sockets[0].getsockname()[1]
    finally:
        passing.flowing.set()
        passing.cut()
        server.close()
        await asyncio.sleep(0.05)


@pytest.mark.services
async def test_two_clients_that_write_at_once_lose_nothing(
    neo4j_graph: Neo4jGraph, project: str
) -> None:
    async with connected() as other:
        await asyncio.gather(
            *(
                (neo4j_graph, other)[n % 2].add(
                    [
                        # Each writes the shared nodes in another order.
                        *(
                            node(project, f"hub{(n + k) % 3}", workflow_id=f"w{n}")
                            for k in range(3)
                        ),
                        node(project, f"n{n:02}", workflow_id=f"w{n}"),
                    ],
                    [edge(project, f"n{n:02}", f"hub{k}", workflow_id=f"w{n}") for k in range(3)],
                )
                for n in range(50)
            )
        )
        assert await other.everything(project) == await neo4j_graph.everything(project)
        nodes, edges = await other.everything(project)
        assert (len(nodes), len(edges)) == (53, 150)
        for n in range(50):
            gone = await (neo4j_graph, other)[n % 2].forget(project, workflow_id=f"w{n}")
            assert gone == (4 if n == 49 else 1)


@pytest.mark.services
async def test_two_clients_that_write_the_same_make_one_of_each(
    neo4j_graph: Neo4jGraph, project: str
) -> None:
    nodes = [node(project, f"n{n}") for n in range(20)]
    edges = [edge(project, f"n{n}", f"n{(n * 7) % 20}") for n in range(20)]
    async with connected() as other:
        writers = [neo4j_graph, other] * 10
        await asyncio.gather(*(each.add(nodes[::-1], edges[::-1]) for each in writers))
        found, joined = await other.everything(project)
    assert (len(found), len(joined)) == (20, 20)


@pytest.mark.services
@pytest.mark.slow
async def test_what_one_client_writes_survives_another_that_forgets(
    neo4j_graph: Neo4jGraph, project: str
) -> None:
    async with connected() as other:
        for turn in range(40):
            await other.add([node(project, "shared", workflow_id="old")], [])
            mine = node(project, f"n{turn}", workflow_id="new")
            await asyncio.gather(
                other.forget(project, workflow_id="old"),
                neo4j_graph.add(
                    [mine, node(project, "shared", workflow_id="new")],
                    [edge(project, mine.node_id, "shared", workflow_id="new")],
                ),
            )
            nodes, edges = await other.everything(project)
            found = {n.node_id: n.workflow_id for n in nodes}
            assert found == {mine.node_id: "new", "shared": "new"}
            assert len(edges) == 1
            assert await other.forget(project, workflow_id="new") == 2


@pytest.mark.services
async def test_nodes_have_their_kind_as_a_label_and_no_other(
    neo4j_graph: Neo4jGraph, project: str
) -> None:
    await neo4j_graph.add([node(project, str(kind), kind=kind) for kind in NodeKind], [])
    # The first kind stays, as a label too.
    await neo4j_graph.add([node(project, "Model", kind=NodeKind.CLAIM)], [])
    state = neo4j_state()
    auth = (state["NEO4J_USER"], state["NEO4J_PASSWORD"])
    async with AsyncGraphDatabase.driver(state["NEO4J_URI"], auth=auth) as driver:
        records, _, _ = await driver.execute_query(
            "MATCH (n:Entity {project: $project}) RETURN n.node_id AS id, labels(n) AS labels",
            {"project": project},
        )
        indexes, _, _ = await driver.execute_query("SHOW INDEXES YIELD name, state")
        constraints, _, _ = await driver.execute_query("SHOW CONSTRAINTS YIELD name")
    assert {r["id"]: set(r["labels"]) for r in records} == {
        str(kind): {"Entity", str(kind)} for kind in NodeKind
    }
    assert {"mmm_entity_project", "mmm_link_project"} <= {r["name"] for r in indexes}
    assert {r["state"] for r in indexes} == {"ONLINE"}
    assert {"mmm_entity_key", "mmm_link_edge_id"} == {r["name"] for r in constraints}


@pytest.mark.services
@pytest.mark.slow
async def test_four_processes_prepare_an_empty_server_at_once() -> None:
    state = neo4j_state()
    auth = (state["NEO4J_USER"], state["NEO4J_PASSWORD"])
    async with AsyncGraphDatabase.driver(state["NEO4J_URI"], auth=auth) as driver:
        for statement in (
            "DROP CONSTRAINT mmm_entity_key IF EXISTS",
            "DROP CONSTRAINT mmm_link_edge_id IF EXISTS",
            "DROP INDEX mmm_entity_project IF EXISTS",
            "DROP INDEX mmm_link_project IF EXISTS",
        ):
            await driver.execute_query(statement)
    code = (
        "import asyncio\n"
        "from contracts.graph.conftest import connect_neo4j\n"
        "async def main():\n"
        "    graph = await connect_neo4j()\n"
        "    await asyncio.gather(*(graph.prepare() for _ in range(2)))\n"
        "    await graph.aclose()\n"
        "asyncio.run(main())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [await asyncio.to_thread(process.communicate) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    async with AsyncGraphDatabase.driver(state["NEO4J_URI"], auth=auth) as driver:
        indexes, _, _ = await driver.execute_query("SHOW INDEXES YIELD name, state")
    assert {
        r["name"]: r["state"] for r in indexes if r["name"].startswith("mmm_")
    } == dict.fromkeys(
        ("mmm_entity_key", "mmm_entity_project", "mmm_link_edge_id", "mmm_link_project"), "ONLINE"
    )


@pytest.mark.services
async def test_a_wrong_password_is_told_and_appears_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ServiceUnavailable, match="refuses the user") as caught:
        async with connected(password=SECRET):
            pass
    assert SECRET not in caught.value.message + caplog.text


@pytest.mark.services
async def test_the_password_is_never_logged(caplog: pytest.LogCaptureFixture, project: str) -> None:
    caplog.set_level(logging.DEBUG)
    async with connected() as graph:
        await graph.prepare()
        await graph.add([node(project, "a")], [])
        await graph.forget(project)
        assert neo4j_state()["NEO4J_PASSWORD"] not in repr(vars(graph))
    assert "neo4j" in {record.name.split(".")[0] for record in caplog.records}
    assert neo4j_state()["NEO4J_PASSWORD"] not in caplog.text


@pytest.mark.services
async def test_an_unknown_database_is_told() -> None:
    with pytest.raises(ServiceUnavailable, match=r"'nobody'.*DatabaseNotFound"):
        async with connected(database="nobody"):
            pass


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:7474",
        "127.0.0.1:7687",
        "bolt://",
        "bolt://127.0.0.1:port",
        f"bolt://neo4j:{SECRET}@127.0.0.1:7687",
        f"neo4j://{SECRET}@127.0.0.1",
        "",
    ],
)
async def test_an_address_that_neo4j_does_not_have_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="NEO4J_URI") as caught:
        await open_neo4j(uri, user="neo4j", password=SECRET)
    assert SECRET not in caught.value.message


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: refused
        port = taken.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{port}") as caught:
            await open_neo4j(f"bolt://127.0.0.1:{port}", user="neo4j", password=SECRET)
        assert time.monotonic() - begun < 20
        assert SECRET not in caught.value.message


async def test_a_server_that_takes_the_connection_and_is_silent_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            await open_neo4j(
                f"bolt://127.0.0.1:{silent.getsockname()[1]}",
                user="neo4j",
                password=SECRET,
                limits=SHORT,
            )
        assert time.monotonic() - begun < SHORT.whole_s + 30


@pytest.mark.services
@pytest.mark.slow
async def test_a_server_that_falls_silent_is_given_up_and_used_again(project: str) -> None:
    limits = Neo4jLimits(connect_timeout_s=3, query_timeout_s=5, retry_s=0.5, connections=3)
    async with relay() as (passing, port), connected(limits, port) as graph:
        await graph.prepare()
        await graph.add([node(project, "a")], [])
        passing.flowing.clear()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: graph.add([node(project, "b")], []),
            lambda: graph.nodes(project),
        ]
        for call in calls:
            begun = time.monotonic()
            with pytest.raises(ServiceUnavailable, match="cannot be used"):
                await call()
            assert time.monotonic() - begun < limits.whole_s + 30
        passing.flowing.set()
        await graph.add([node(project, "b")], [])
        assert [n.node_id for n in await graph.nodes(project)] == ["a", "b"]
        await graph.forget(project)


@pytest.mark.services
async def test_a_lost_connection_is_made_again(project: str) -> None:
    async with relay() as (passing, port), connected(Neo4jLimits(), port) as graph:
        await graph.prepare()
        for turn in range(3):
            await graph.add([node(project, f"n{turn}")], [])
            passing.cut()
        assert len(await graph.nodes(project)) == 3
        await graph.forget(project)


@pytest.mark.services
async def test_a_transaction_that_waits_too_long_is_ended_on_the_server(
    neo4j_graph: Neo4jGraph, project: str
) -> None:
    await neo4j_graph.add([node(project, "held")], [])
    state = neo4j_state()
    auth = (state["NEO4J_USER"], state["NEO4J_PASSWORD"])
    # The server looks for overdue transactions every two seconds.
    limits = Neo4jLimits(query_timeout_s=1, retry_s=0)
    async with (
        AsyncGraphDatabase.driver(state["NEO4J_URI"], auth=auth) as driver,
        driver.session() as session,
        await session.begin_transaction() as holder,
        connected(limits) as graph,
    ):
        await holder.run("MATCH (n:Entity {project: $p}) SET n.name = n.name", {"p": project})
        with pytest.raises(
            ServiceUnavailable, match=r"Transaction\.(LockClientStopped|TransactionTimedOut)"
        ):
            await graph.add([node(project, "held", workflow_id="w"), node(project, "new")], [])
    assert [n.node_id for n in await neo4j_graph.nodes(project)] == ["held"]


async def test_limits_must_be_above_zero() -> None:
    for wrong in ({"connect_timeout_s": 0}, {"query_timeout_s": -1}, {"connections": 0}):
        with pytest.raises(ValueError, match="greater than"):
            Neo4jLimits(**wrong)


@pytest.mark.services
async def test_a_closed_client_is_told_apart_from_a_server_that_is_away() -> None:
    graph = await connect_neo4j()
    await graph.aclose()
    with pytest.raises(ServiceUnavailable):
        await graph.nodes("p")

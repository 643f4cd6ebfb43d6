"""Watchers of one process: nothing is missed or doubled, nobody slow or gone is carried along."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from api.sockets import connect
from websockets.exceptions import ConnectionClosed

from mmm_workflows.api import ws
from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.db.reading import Reader
from mmm_workflows.records import Run, RunStatus
from mmm_workflows.tools.progress import LocalProgress
from mmm_workflows.workflows.runner import Runner

WRITERS, EACH, WATCHERS = 6, 20, 12


@dataclass(frozen=True)
class Served:
    """A server in this process, and the runner inside of it."""

    address: str
    runner: Runner

    async def begin(self, workflow_id: str) -> None:
        run = Run(
            workflow_id=workflow_id, workflow="research", status=RunStatus.RUNNING, seed=1,
            graph_version="1", request={},
        )  # fmt: skip
        await self.runner.services.runs.create(run)

    async def tell(
        self, workflow_id: str, status: RunStatus = RunStatus.RUNNING, size: int = 1
    ) -> None:
        services = self.runner.services
        event = await services.runs.append_event(
            workflow_id, status=status, step=None, progress=0.5, message="x" * size
        )
        if status.is_final:
            await services.runs.update(workflow_id, status=status)
        await services.progress.publish(event)

    @property
    def followed(self) -> int:
        progress = self.runner.services.progress
        assert isinstance(progress, LocalProgress)
        return progress.followed


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[Served]:
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    opened = await app.state.opening.house()
    try:
        yield Served(f"127.0.0.1:{port}", opened.runner)
    finally:
        server.should_exit = True
        await serving


async def _read(address: str, workflow_id: str, after: int) -> tuple[list[int], int]:
    seen = []
    async with connect(f"ws://{address}/ws/{workflow_id}?after={after}") as socket:
        try:
            while True:
                seen.append(json.loads(await asyncio.wait_for(socket.recv(), 60))["seq"])
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return seen, closed.rcvd.code


async def _until_followed(house: Served, count: int) -> None:
    for _ in range(3000):
        if house.followed == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{house.followed} runs are followed")


async def test_no_watcher_misses_or_repeats_an_event_of_writers_at_once(house: Served) -> None:
    await house.begin("busy")

    async def write() -> None:
        for _ in range(EACH):
            await house.tell("busy")

    async def watch(number: int) -> list[int]:
        # Some come before the first event, some in the middle, some look back.
        await asyncio.sleep(0.03 * number)
        seen, code = await _read(house.address, "busy", after=5 * (number % 3))
        assert code == 1000
        return seen

    watching = [asyncio.create_task(watch(n)) for n in range(WATCHERS)]
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    await house.tell("busy", RunStatus.SUCCEEDED)
    for number, seen in enumerate(await asyncio.gather(*watching)):
        assert seen == list(range(5 * (number % 3) + 1, WRITERS * EACH + 2))


@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_client_that_leaves_frees_its_subscription_at_once(
    house: Served, abruptly: bool
) -> None:
    sockets = []
    for number in range(4):
        await house.begin(f"run-{number}")
        await house.tell(f"run-{number}")
        sockets.append(await connect(f"ws://{house.address}/ws/run-{number}"))
        await sockets[-1].recv()
    await _until_followed(house, 4)
    for socket in sockets:
        if abruptly:
            socket.transport.abort()
        else:
            await socket.close()
    # No event comes after these, which would end it too.
    await _until_followed(house, 0)


async def test_a_stream_that_is_left_frees_its_subscription_too(house: Served) -> None:
    await house.begin("streamed")
    await house.tell("streamed")
    url, headers = f"http://{house.address}/workflow/streamed/events", {
        "Accept": "text/event-stream"
    }
    async with httpx.AsyncClient() as client, client.stream("GET", url, headers=headers) as stream:
        async for line in stream.aiter_lines():
            assert line == "id: 1"
            break
        assert house.followed == 1
    await _until_followed(house, 0)


async def test_a_slow_reader_is_dropped_and_comes_back_without_a_gap(
    house: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws, "SLOW_S", 0.2)
    await house.begin("long")
    for _ in range(60):
        await house.tell("long", size=300_000)
    seen = []
    async with connect(f"ws://{house.address}/ws/long", max_queue=1, compression=None) as socket:
        await _until_followed(house, 1)
        await _until_followed(house, 0)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                seen.append(json.loads(await asyncio.wait_for(socket.recv(), 60))["seq"])
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4408, "reader_too_slow")
    assert 0 < len(seen) < 60
    await house.tell("long", RunStatus.SUCCEEDED)
    # It takes what it is sent now, however slow the machine is.
    monkeypatch.setattr(ws, "SLOW_S", 60.0)
    rest, code = await _read(house.address, "long", after=seen[-1])
    assert code == 1000
    assert seen + rest == list(range(1, 62))


async def test_a_stream_that_nobody_reads_is_let_go_of_when_its_reader_leaves(
    house: Served,
) -> None:
    await house.begin("long")
    for _ in range(60):
        await house.tell("long", size=300_000)
    host, _, port = house.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1)
    writer.write(
        b"GET /workflow/long/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    )
    await _until_followed(house, 1)
    # By now it waits in the middle of a part.
    await asyncio.sleep(1)
    writer.transport.abort()
    await _until_followed(house, 0)


async def test_an_event_that_cannot_be_read_is_logged_and_ends_the_socket_with_a_code(
    house: Served, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await house.begin("newer")
    await house.tell("newer")
    with sqlite3.connect(settings.home / "runs.db") as database:
        database.execute("UPDATE events SET schema_version = 99")
    async with connect(f"ws://{house.address}/ws/newer") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 60)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "store_schema")
    [said] = [record for record in caplog.records if record.name == ws.__name__]
    assert "newer" in said.getMessage() and said.exc_info is not None
    assert "schema_version 99" in str(said.exc_info[1])


async def test_a_watch_that_times_out_is_no_slow_reader(
    house: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def late(self: Reader, statement: object) -> list[object]:
        raise TimeoutError("a read took too long")

    await house.begin("late")
    async with connect(f"ws://{house.address}/ws/late") as socket:
        await _until_followed(house, 1)
        monkeypatch.setattr(Reader, "rows", late)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 60)
        monkeypatch.undo()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "internal")
    assert [record.name for record in caplog.records].count(ws.__name__) == 1


async def test_who_does_not_ask_for_the_result_is_answered_without_reading_it(
    house: Served, settings: Settings
) -> None:
    await house.begin("large")
    await house.tell("large", RunStatus.SUCCEEDED)
    with sqlite3.connect(settings.home / "runs.db") as database:
        database.execute("UPDATE runs SET result = '{this is no JSON'")
    async with httpx.AsyncClient(base_url=f"http://{house.address}") as client:
        [run] = (await client.get("/workflows")).json()["runs"]
        assert (run["workflow_id"], run["result"]) == ("large", None)
        for what in ("events", "artifacts", "decisions"):
            answer = await client.get(f"/workflow/large/{what}")
            assert answer.status_code == 200, what
        stream = {"Accept": "text/event-stream"}
        streamed = await client.get("/workflow/large/events", headers=stream)
        assert (streamed.status_code, streamed.text.count("id: ")) == (200, 1)
    assert await _read(house.address, "large", after=0) == ([1], 1000)

"""A PostgreSQL that goes away in the middle of a run: the run waits, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mmm_workflows.api.main import create_app
from mmm_workflows.bootstrap import examine_services
from mmm_workflows.config import Settings
from mmm_workflows.db import draining
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.records import Depth, Event
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

from .cable import a_cable
from .postgres_server import OwnPostgres, own_postgres
from .postgres_state import for_asyncpg, fresh_database, tell

pytestmark = pytest.mark.services
DATA = Path(__file__).parents[2] / "data" / "sales.csv"
EDA: dict[str, Any] = {
    "data_sources": [str(DATA)],
    "target_variable": "Sales",
    "media_channels": ["TV_Spend", "Digital_Spend"],
}
AWAY_S = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnPostgres]:
    with own_postgres(tmp_path) as own:
        yield own


def on(server: OwnPostgres, settings: Settings, **more: object) -> Settings:
    return settings.model_copy(
        update={"database_url": SecretStr(server.url), "database_patience_s": 240.0, **more}
    )


def told(events: list[Event]) -> Counter[tuple[str | None, str]]:
    """What a run said of its work, by step and words."""
    return Counter((e.step, e.message) for e in events if "records were delayed" not in e.message)


async def whole_records(runner: Runner, name: str) -> list[Event]:
    """The events of a run, once they are seen to have no gap and its decisions to be one chain."""
    events = list(await runner.events(name))
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert {report.broken for report in await runner.audit()} == {None}
    return events


async def decisions(runner: Runner, name: str) -> list[tuple[str, str]]:
    return [(d.question, d.choice) for d in await runner.services.runs.decisions(name)]


@pytest.mark.parametrize("how", ["fast", "immediate", "kill -9"])
async def test_a_run_goes_on_over_a_server_that_is_stopped_or_killed(
    server: OwnPostgres, settings: Settings, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = read_request("eda", EDA)
    async with open_runner(on(server, settings)) as runner:
        # In a project of its own: a second run would treat the file as the first did.
        await runner.start("eda", request, workflow_id="calm", project="calm")
        heard: list[Event] = []
        returning: list[asyncio.Task[None]] = []

        async def take_away(event: Event) -> None:
            heard.append(event)
            if event.seq == 4:
                await (server.kill() if how == "kill -9" else server.stop(how))  # type: ignore[arg-type]
                returning.append(asyncio.create_task(return_later()))

        async def return_later() -> None:
            await asyncio.sleep(AWAY_S)
            with pytest.raises(ServiceUnavailable):
                await asyncio.wait_for(runner.get("away"), 30)
            said = (await examine_services(on(server, settings)))["DATABASE_URL"]
            assert "cannot be used" in said
            await server.start()

        with caplog.at_level(logging.WARNING):
            result = await runner.start("eda", request, workflow_id="away", on_event=take_away)
        await returning[0]
        assert result["status"] == "succeeded"
        events = await whole_records(runner, "away")
        calm = await whole_records(runner, "calm")
        assert heard == events
        assert told(events) == told(calm)
        assert await decisions(runner, "away") == await decisions(runner, "calm")
        (delay,) = [e for e in events if "records were delayed" in e.message]
        assert delay.data is not None
        assert delay.data["delayed_s"] >= AWAY_S - 1
        waits = [r for r in caplog.records if "waits up to" in r.message]
        assert len(waits) == 1
        count = "SELECT count(*), count(DISTINCT checkpoint_id) FROM checkpoints WHERE thread_id LIKE '%:{}'"
        same = [await tell(server.url, count.format(name)) for name in ("calm", "away")]
        assert same[0] == same[1]
        assert same[0][0][0] == same[0][0][1]


async def test_a_run_whose_server_stays_away_ends_in_time_and_can_be_resumed(
    server: OwnPostgres, settings: Settings
) -> None:
    request = read_request("eda", EDA)
    async with open_runner(on(server, settings, database_patience_s=2.0)) as runner:

        async def take_away(event: Event) -> None:
            if event.seq == 4:
                await server.stop("immediate")

        with pytest.raises(ServiceUnavailable, match="`mmm-workflows resume r1`") as caught:
            await asyncio.wait_for(
                runner.start("eda", request, workflow_id="r1", on_event=take_away), 200
            )
        assert "pass@" not in caught.value.message
        with pytest.raises(ServiceUnavailable):
            await asyncio.wait_for(runner.resume("r1"), 30)  # a start says so at once
        await server.start()
        assert (await runner.resume("r1"))["status"] == "succeeded"
        await whole_records(runner, "r1")


async def test_a_run_that_is_told_to_stop_while_its_server_is_away_stops_soon(
    server: OwnPostgres, settings: Settings
) -> None:
    request = read_request("eda", EDA)
    is_away = asyncio.Event()
    async with open_runner(on(server, settings, database_patience_s=300.0)) as runner:

        async def take_away(event: Event) -> None:
            if event.seq == 4:
                await server.stop("immediate")
                is_away.set()

        run = asyncio.create_task(
            runner.start("eda", request, workflow_id="r1", on_event=take_away)
        )
        await is_away.wait()
        await asyncio.sleep(2)  # what it writes waits by now
        run.cancel()
        done, _ = await asyncio.wait({run}, timeout=120)
        assert done, "it waits for a server that is away"
        await server.start()
        assert (await runner.resume("r1"))["status"] == "succeeded"
        await whole_records(runner, "r1")


WRITE = """
import asyncio, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.patience import Patience
from mmm_workflows.db.runs import RunStore
from mmm_workflows.records import Decision, RunStatus

async def main():
    store = RunStore(await open_database(sys.argv[1]), patience=Patience(240, workflow_id="r1"))
    for number in range(10**6):
        name = f"{sys.argv[2]} {number}"
        await store.append_event(
            "r1", status=RunStatus.RUNNING, step=None, progress=0, message=name)
        await store.add_decisions(
            "r1", [Decision(question=name, options=(), choice="a", reason="b")])
        print(number, flush=True)

asyncio.run(main())
"""


async def test_a_server_killed_under_two_writers_keeps_each_write_once(
    server: OwnPostgres, settings: Settings
) -> None:
    async with open_runner(on(server, settings)) as runner:
        await runner.submit("eda", read_request("eda", EDA), workflow_id="r1")
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITE, for_asyncpg(server.url), name],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            for name in ("one", "two")
        ]  # fmt: skip
        try:
            for _ in range(3):
                await asyncio.gather(*(read_lines(writer, 20) for writer in writers))
                await server.kill()
                await server.start()
            await asyncio.gather(*(read_lines(writer, 20) for writer in writers))
        finally:
            for writer in writers:
                writer.kill()
        rests = [(await asyncio.to_thread(writer.communicate))[0] for writer in writers]
        events = await whole_records(runner, "r1")
        questions = [question for question, _ in await decisions(runner, "r1")]
        for name, rest in zip(("one", "two"), rests, strict=True):
            for kept in ([e.message for e in events], questions):
                mine = [int(words.split()[1]) for words in kept if words.startswith(name)]
                assert mine == list(range(len(mine))), "lost, doubled or out of order"
                assert len(mine) >= 80
                if rest.strip():
                    assert len(mine) > int(rest.split()[-1])


async def read_lines(writer: subprocess.Popen[bytes], count: int) -> None:
    assert writer.stdout is not None
    for _ in range(count):
        assert await asyncio.to_thread(writer.stdout.readline)


@pytest.mark.slow
async def test_a_fit_goes_on_sampling_while_the_server_is_away(
    server: OwnPostgres, settings: Settings
) -> None:
    asked = {
        "query": "Build MMM for beverage brand",
        "user_query": "What if we increase TV spend by 20%?",
    }
    request = read_request("pipeline", {**EDA, **asked})
    async with open_runner(on(server, settings)) as runner:
        heard: list[Event] = []
        returning: list[asyncio.Task[None]] = []

        async def return_later() -> None:
            await asyncio.sleep(AWAY_S)
            await server.start()

        async def take_away(event: Event) -> None:
            heard.append(event)
            if not returning and sum((event.data or {}).get("draws_done", ())) > 0:
                await server.kill()
                returning.append(asyncio.create_task(return_later()))

        result = await runner.start(
            "pipeline", request, workflow_id="p", depth=Depth.QUICK, on_event=take_away
        )
        await returning[0]
        assert result["status"] == "succeeded"
        assert result["modeling"]["reused"] is False
        whole = await whole_records(runner, "p")
        assert sorted((e.seq, e.message) for e in heard) == [(e.seq, e.message) for e in whole]
        for name in ("p", "p.modeling"):
            events = await whole_records(runner, name)
            assert any(e.message.startswith("records were delayed") for e in events), name
        done: dict[str, list[int]] = {}
        for said in (e.data for e in events if e.data and "draws_done" in e.data):
            done.setdefault(said["stage"], []).append(sum(said["draws_done"]))
        assert max(map(max, done.values())) > 0
        for stage, draws in done.items():
            assert draws == sorted(draws), f"{stage} began anew"


async def test_a_run_ends_well_though_it_cannot_be_asked_whether_memory_took_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "SETTLE_S", 120.0)  # however slow this machine is
    async with fresh_database() as url, a_cable(url) as (cable, through):
        near = settings.model_copy(update={"database_url": SecretStr(through)})
        async with open_runner(near) as runner:
            await runner.services.open_memory()
            cable.snap_at(b"memory_outbox.workflow_id IN", "before")
            request = read_request("research", {"query": "Build MMM for beverage brand"})
            result = await runner.start("research", request, workflow_id="r")
            assert (cable.snapped, result["status"]) == (1, "succeeded")
            events = await whole_records(runner, "r")
            assert events[-1].message == "succeeded"
            assert events[-2].message.startswith("memory delayed: PostgreSQL at ")


async def test_who_watches_is_told_to_come_back_while_the_server_is_away(
    server: OwnPostgres, settings: Settings, tmp_path: Path
) -> None:
    app = create_app(on(server, settings, workers=0))
    async with serving(app) as address:
        body = {"query": "Build MMM for beverage brand", "workflow_id": "w"}
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
            assert (await client.post("/research/start", json=body)).status_code == 202
            async with connect(f"ws://{address}/ws/w") as watching:
                events = {"accept": "text/event-stream"}
                async with client.stream("GET", "/workflow/w/events", headers=events) as told:
                    await server.stop("immediate")
                    lines = [line async for line in told.aiter_lines()]
                    assert ": the records cannot be read" in lines
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(watching.recv(), 120)
                assert watching.close_code == 1013
            async with connect(f"ws://{address}/ws/w") as coming:
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(coming.recv(), 120)
                assert (coming.close_code, coming.close_reason) == (1013, "service_unavailable")
            await server.start()
            answer = await client.post("/workflow/w/cancel")
            assert answer.status_code == 202, answer.text
            async with connect(f"ws://{address}/ws/w") as again:
                assert json.loads(await again.recv())["data"]["status"] == "cancelled"


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The address of an application that is served in this process."""
    served = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    task = asyncio.create_task(served.serve())
    try:
        while not served.started:
            await asyncio.sleep(0.05)
        host, port = served.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        served.should_exit = True
        await task

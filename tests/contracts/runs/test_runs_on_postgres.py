"""Whole runs on a real PostgreSQL: what is set is used, what fails is said, what stopped goes on."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from services.cable import a_cable
from services.postgres_server import own_postgres
from services.postgres_state import END_ALL, for_asyncpg, tell

from mmm_workflows.api.main import create_app
from mmm_workflows.bootstrap import examine_services
from mmm_workflows.errors import RunError, ServiceUnavailable
from mmm_workflows.records import Event
from mmm_workflows.workflows.contracts import ResearchRequest
from mmm_workflows.workflows.runner import open_runner

from .conftest import SettingsOf

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
SECRET = "MARKERBRAND"
REVIEWED = ResearchRequest(query=f"Build MMM for {SECRET}", review=True)
SERVICES = pytest.mark.services


@SERVICES
async def test_a_run_on_postgres_leaves_no_database_file(
    url: str, settings_of: SettingsOf, tmp_path: Path
) -> None:
    async with open_runner(settings_of(url)) as runner:
        result = await runner.start("research", QUESTION, workflow_id="r1")
        events = await runner.events("r1")
    assert result["status"] == "succeeded"
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert list(tmp_path.rglob("*.db*")) == []
    assert await tell(url, "SELECT status FROM runs") == [("succeeded",)]
    ((threads,),) = await tell(url, "SELECT count(DISTINCT thread_id) FROM checkpoints")
    assert threads == 1


@SERVICES
async def test_another_process_goes_on_with_a_run_that_waits(
    url: str, settings_of: SettingsOf, tmp_path: Path
) -> None:
    outputs = {"output_dir": tmp_path / "outputs"}
    async with open_runner(settings_of(url, "one", **outputs)) as runner:
        await runner.start("research", REVIEWED, workflow_id="r1")
    async with open_runner(settings_of(url, "two", **outputs)) as runner:
        done = await runner.decide("r1", "revenue by TV and search")
        assert done["status"] == "succeeded"
        assert (await runner.delete("r1")).runs == 1
    assert await tell(url, "SELECT * FROM checkpoints") == []
    assert await tell(url, "SELECT * FROM checkpoint_blobs") == []


@SERVICES
async def test_a_run_is_worked_on_by_one_process_of_all(url: str, settings_of: SettingsOf) -> None:
    first, second = settings_of(url, "one"), settings_of(url, "two")
    async with open_runner(first) as one, open_runner(second) as two:
        assert one.services is not two.services
        await one.submit("research", QUESTION, workflow_id="r1")
        ends = await asyncio.gather(
            *(runner.execute("r1") for runner in (one, two, one, two)), return_exceptions=True
        )
    refused = [end for end in ends if isinstance(end, RunError)]
    assert {error.code for error in refused} == {"run_busy"}
    assert len(refused) == 3
    ((threads, starts),) = await tell(
        url,
        "SELECT count(DISTINCT workflow_id), count(*) FROM events WHERE message LIKE '%started'",
    )
    assert (threads, starts) == (1, 1)


@SERVICES
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace(":pass@", ":hunter2@"), "password authentication failed"),
        (lambda url: re.sub(r"/test_\w+$", "/nowhere", url), '"nowhere" does not exist'),
    ],
    ids=["wrong password", "no such database"],
)
async def test_a_server_that_refuses_is_told_at_the_start(
    url: str, settings_of: SettingsOf, change: Callable[[str], str], said: str
) -> None:
    place = re.search(r"@([\d.]+:\d+)/", url)
    assert place is not None
    with pytest.raises(ServiceUnavailable, match=said) as caught:
        async with open_runner(settings_of(change(url))):
            pytest.fail("it was opened")
    assert place[1] in caught.value.message
    assert "hunter2" not in caught.value.message
    assert "pass@" not in caught.value.message


@SERVICES
async def test_a_user_who_may_make_no_tables_is_told_so(url: str, settings_of: SettingsOf) -> None:
    name = f"reader_{secrets.token_hex(4)}"
    await tell(url, f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
    try:
        with pytest.raises(
            ServiceUnavailable, match=r"permission denied.*may make tables"
        ) as caught:
            async with open_runner(settings_of(url.replace("//user:pass@", f"//{name}:hunter2@"))):
                pytest.fail("it was opened")
    finally:
        await tell(url, f"DROP ROLE {name}")
    assert "hunter2" not in caught.value.message


async def test_a_server_that_is_not_there_is_told_at_the_start(settings_of: SettingsOf) -> None:
    settings = settings_of("postgresql://user:hunter2@127.0.0.1:9/mmm")
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9, database mmm") as caught:
        async with open_runner(settings):
            pytest.fail("it was opened")
    assert "hunter2" not in caught.value.message


@SERVICES
async def test_who_asks_while_the_server_is_away_is_told_soon_and_health_says_so(
    url: str, settings_of: SettingsOf
) -> None:
    async with AsyncExitStack() as stack:
        cable, through = await stack.enter_async_context(a_cable(url))
        app = create_app(settings_of(through))
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        )
        assert (await client.get("/health")).json()["records"] == "ok"
        cable.cut()
        health = await asyncio.wait_for(client.get("/health"), 60)
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert "cannot be used" in health.json()["records"]
        assert "pass@" not in health.text
        for path in ("/workflows", "/workflow/r1"):
            refused = await asyncio.wait_for(client.get(path), 60)
            assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
        await cable.plug_in()
        assert (await client.get("/health")).json()["status"] == "ok"


LATE = [pytest.param(at, marks=pytest.mark.slow) for at in (3, 5)]


@SERVICES
@pytest.mark.parametrize("at", [1, *LATE])
async def test_a_run_whose_server_stays_away_fails_clearly_and_goes_on_when_it_is_back(
    url: str, settings_of: SettingsOf, at: int
) -> None:
    async with AsyncExitStack() as stack:
        cable, through = await stack.enter_async_context(a_cable(url))
        settings = settings_of(through, database_patience_s=1.0)
        runner = await stack.enter_async_context(open_runner(settings))

        def cut(event: Event) -> None:
            if event.seq == at:
                cable.cut()

        with pytest.raises(ServiceUnavailable, match=rf"127\.0\.0\.1:{cable.port}|was lost"):
            await asyncio.wait_for(
                runner.start("research", QUESTION, workflow_id="r1", on_event=cut), 40
            )
        await cable.plug_in()
        result = await runner.resume("r1")
        assert result["status"] == "succeeded"
        events = await runner.events("r1")
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert (await runner.audit())[0].broken is None


@SERVICES
@pytest.mark.parametrize("at", [1, 3, 5])
async def test_a_run_whose_sessions_are_ended_by_the_server_goes_on(
    url: str, settings_of: SettingsOf, at: int
) -> None:
    async with open_runner(settings_of(url)) as runner:

        async def end_sessions(event: Event) -> None:
            if event.seq == at:
                await tell(url, END_ALL)

        result = await runner.start("research", QUESTION, workflow_id="r1", on_event=end_sessions)
        assert result["status"] == "succeeded"
        events = await runner.events("r1")
        assert [e.seq for e in events] == list(range(1, len(events) + 1))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[str]:
    """The address of a server that a test may kill."""
    with own_postgres(tmp_path) as server:
        yield server.url


@SERVICES
async def test_a_server_that_is_killed_in_mid_run_loses_nothing_that_was_told(
    own_server: str, settings_of: SettingsOf
) -> None:
    told: list[Event] = []
    async with open_runner(settings_of(own_server)) as runner:

        async def kill(event: Event) -> None:
            told.append(event)
            if event.seq == 4:
                # A killed session makes PostgreSQL end all of them and recover from its log.
                ((pid,),) = await tell(
                    own_server,
                    "SELECT pid FROM pg_stat_activity WHERE datname = 'mmm' "
                    "AND pid <> pg_backend_pid() LIMIT 1",
                )
                os.kill(int(str(pid)), signal.SIGKILL)

        result = await runner.start("research", QUESTION, workflow_id="r1", on_event=kill)
        assert result["status"] == "succeeded"
        events = await runner.events("r1")
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert events == told
        assert (await runner.audit())[0].broken is None


WRITE = """
import asyncio, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.runs import RunStore
from mmm_workflows.records import Decision, RunStatus

async def main():
    store = RunStore(await open_database(sys.argv[1]))
    while True:
        event = await store.append_event(
            "r1", status=RunStatus.RUNNING, step=None, progress=0, message="m")
        choice = Decision(question=str(event.seq), options=(), choice="a", reason="b")
        await store.add_decisions("r1", [choice])
        print(event.seq, flush=True)

asyncio.run(main())
"""


@SERVICES
async def test_a_process_killed_while_it_writes_loses_nothing_that_it_was_told_is_kept(
    url: str, settings_of: SettingsOf
) -> None:
    async with open_runner(settings_of(url)) as runner:
        await runner.submit("research", QUESTION, workflow_id="r1")
        for _ in range(2):
            child = subprocess.Popen(
                [sys.executable, "-c", WRITE, for_asyncpg(url)], stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            lines = [await asyncio.to_thread(child.stdout.readline) for _ in range(20)]
            child.kill()
            rest, _ = await asyncio.to_thread(child.communicate)
            last = int((b"".join(lines) + rest).split()[-1])
            events = await runner.events("r1")
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
            assert len(events) >= last
            (chain,) = await runner.audit()
            assert (chain.broken, chain.decisions >= last) == (None, True)


@SERVICES
async def test_doctor_says_which_server_is_used_or_why_it_cannot_be(
    url: str, settings_of: SettingsOf
) -> None:
    said = (await examine_services(settings_of(url)))["DATABASE_URL"]
    assert re.fullmatch(r"PostgreSQL at 127\.0\.0\.1:\d+, database test_\w+", said)
    said = (await examine_services(settings_of(url.replace(":pass@", ":hunter2@"))))["DATABASE_URL"]
    assert "password authentication failed" in said
    assert "hunter2" not in said

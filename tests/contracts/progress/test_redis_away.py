"""Redis that is not there: said at the start, and in mid-run no reason to stop or to wait."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from services.private_redis import Server
from services.redis_state import redis_url

from mmm_workflows.config import Settings
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.records import Event, RunStatus
from mmm_workflows.tools.redis_progress import RedisProgress, open_redis_progress, redis_place
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import open_runner

LOG = "mmm_workflows.tools.redis_progress"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    redis_url()
    private = Server(tmp_path / "redis.env")
    yield private
    private.down()


def event(seq: int, status: RunStatus = RunStatus.RUNNING) -> Event:
    return Event(workflow_id="a", seq=seq, status=status, progress=0, message=str(seq))


async def _until(reached: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():
            await asyncio.sleep(0.02)


def _said(caplog: pytest.LogCaptureFixture, word: str) -> int:
    said = [r.getMessage().split(" is ")[1] for r in caplog.records if r.name == LOG]
    return sum(sentence.startswith(word) for sentence in said)


@pytest.mark.services
async def test_redis_that_dies_stops_nobody_is_said_once_and_is_used_again_when_it_is_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOG)
    async with (
        open_redis_progress(server.url) as teller,
        open_redis_progress(server.url) as listener,
    ):
        here, elsewhere = teller.follow("a"), listener.follow("a")
        os.kill(server.pid, signal.SIGKILL)
        for seq in range(1, 6):
            await asyncio.wait_for(teller.publish(event(seq)), 1)
            assert (await asyncio.wait_for(anext(here), 1)).seq == seq
        await _until(lambda: _said(caplog, "away") == 2)
        server.down()
        server.up(server.port)
        await _until(lambda: _said(caplog, "back") == 2)
        await teller.publish(event(6, RunStatus.SUCCEEDED))
        assert [e.seq async for e in here] == [6]
        async with asyncio.timeout(30):
            assert [e.seq async for e in elsewhere][-1] == 6
    assert _said(caplog, "away") == 2, "each process says it once"


@pytest.mark.services
async def test_redis_that_hangs_is_not_waited_for(server: Server) -> None:
    async with open_redis_progress(server.url, queue_length=8) as teller:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for seq in range(1, 100):
                await asyncio.wait_for(teller.publish(event(seq)), 1)
        finally:
            os.kill(server.pid, signal.SIGCONT)


@pytest.mark.services
async def test_a_run_ends_and_its_watcher_in_another_process_reads_the_log_without_redis(
    server: Server, settings: Settings
) -> None:
    here = settings.model_copy(update={"redis_url": SecretStr(server.url)})
    # Other settings for the same home: services of their own, as in another process.
    there = here.model_copy(update={"requests_per_minute": 1})
    async with open_runner(here) as runner, open_runner(there) as other:
        assert isinstance(runner.services.progress, RedisProgress)
        assert runner.services.progress is not other.services.progress
        run = await runner.submit("research", read_request("research", {"query": "Build MMM"}))

        async def watched() -> list[int]:
            return [e.seq async for e in other.watch(run.workflow_id)]

        watching = asyncio.create_task(watched())
        os.kill(server.pid, signal.SIGKILL)
        await runner.execute(run.workflow_id)
        seqs = await asyncio.wait_for(watching, 30)
        assert seqs == [e.seq for e in await runner.events(run.workflow_id)]


@pytest.mark.services
async def test_what_is_no_event_of_ours_is_passed_over() -> None:
    async with (
        open_redis_progress(redis_url()) as teller,
        open_redis_progress(redis_url()) as listener,
    ):
        reader = listener.follow("a")
        for junk in (b"", b"\xff\x00", b"{}", b'{"origin": "x", "event": {"seq": "no"}}'):
            await teller._client.publish(f"{teller.channels}a", junk)
        await teller.publish(event(1, RunStatus.SUCCEEDED))
        assert [e.seq async for e in reader] == [1]


@pytest.mark.services
async def test_another_database_of_the_same_redis_is_another_house() -> None:
    async with (
        open_redis_progress(f"{redis_url()}/1") as teller,
        open_redis_progress(f"{redis_url()}/1") as listener,
        open_redis_progress(f"{redis_url()}/2") as stranger,
    ):
        reader, other = listener.follow("a"), stranger.follow("a")
        await teller.publish(event(1, RunStatus.SUCCEEDED))
        assert [e.seq async for e in reader] == [1]
        await stranger.publish(event(2, RunStatus.SUCCEEDED))
        assert [e.seq async for e in other] == [2]


@pytest.mark.services
async def test_doctor_says_which_redis_it_is_without_its_password() -> None:
    where = redis_url().removeprefix("redis://")
    assert re.fullmatch(rf"Redis \d+\.\S+ at {where}", await redis_place(redis_url()))


async def test_an_unreachable_redis_is_said_at_the_start_without_its_password(
    settings: Settings,
) -> None:
    set_to = SecretStr("redis://me:hunter2@127.0.0.1:1/0")
    with pytest.raises(ServiceUnavailable, match="REDIS_URL") as caught:
        async with open_runner(settings.model_copy(update={"redis_url": set_to})):
            pass
    assert "127.0.0.1:1" in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    ["http://localhost:6379", "redis://", "localhost:6379", "redis://h:no/0", "redis://h/name",
     "redis://me:hunt/er2@h", ""],
)  # fmt: skip
async def test_an_address_that_is_none_of_a_redis_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL") as caught:
        async with open_redis_progress(url):
            pass
    assert "er2" not in caught.value.message

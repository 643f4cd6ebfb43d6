"""Watchers of runs: each event once and in order, and one reading of the log for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from sqlalchemy import Engine
from sqlalchemy import event as hook

from mmm_workflows.config import Settings
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError
from mmm_workflows.records import Run, RunStatus
from mmm_workflows.tools.progress import LocalProgress
from mmm_workflows.workflows import watching
from mmm_workflows.workflows.runner import Runner, open_runner


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def _begin(runner: Runner, workflow_id: str = "r1") -> None:
    run = Run(workflow_id=workflow_id, workflow="eda", seed=1, graph_version="1", request={})
    await runner.services.runs.create(run)


async def _say(
    runner: Runner, number: int = 1, *, status: RunStatus = RunStatus.RUNNING, publish: bool = True
) -> None:
    runs = runner.services.runs
    for _ in range(number):
        await runs.update("r1", status=status)
        event = await runs.append_event("r1", status=status, step=None, progress=0, message="m")
        if publish:
            await runner.services.progress.publish(event)


async def _seqs(runner: Runner, after: int = 0) -> list[int]:
    return [event.seq async for event in runner.watch("r1", after=after)]


async def _until(condition: object, seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("publish", [True, False], ids=["channel", "log alone"])
async def test_watchers_that_come_at_any_time_each_see_every_event_once(
    runner: Runner, publish: bool
) -> None:
    await _begin(runner)
    watchers = [asyncio.create_task(_seqs(runner)) for _ in range(20)]
    for _ in range(10):
        await _say(runner, 3, publish=publish)
        watchers.append(asyncio.create_task(_seqs(runner)))
        await asyncio.sleep(0)
    await _say(runner, status=RunStatus.SUCCEEDED, publish=publish)
    for seen in await asyncio.wait_for(asyncio.gather(*watchers), 120):
        assert seen == list(range(1, 32))
    assert runner.watching.watched == 0


async def test_many_watchers_cost_as_many_queries_as_one(runner: Runner) -> None:
    await _begin(runner)
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    looks = []
    for watchers in (1, 100):
        tasks = [asyncio.create_task(_seqs(runner)) for _ in range(watchers)]
        await _until(lambda: runner.watching.watched == 1)
        await asyncio.sleep(0.3)
        before = len(await runner.services.runs.events("r1"))
        hook.listen(Engine, "before_cursor_execute", count)
        asked, begun = 0, time.monotonic()
        await asyncio.sleep(1)
        while not asked:  # a machine that stands still has not looked yet
            await asyncio.sleep(0.01)
        looks.append((asked, time.monotonic() - begun))
        hook.remove(Engine, "before_cursor_execute", count)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert before == 0
    # One query a look and one look a pause, however many watch.
    assert all(0 < found <= took / watching.POLL_S + 2 for found, took in looks), looks


async def test_a_watcher_from_beyond_the_log_costs_the_others_nothing(runner: Runner) -> None:
    await _begin(runner)
    await _say(runner, 3)
    looks, reads = 0, 0

    def count(*call: object) -> None:
        nonlocal looks, reads
        statement = str(call[2])
        # A look at where the run stands joins the log; a read of the log does not.
        looks += "JOIN events" in statement
        reads += "FROM events" in statement

    async def watch(seen: list[int]) -> None:
        async for event in runner.watch("r1"):
            seen.append(event.seq)

    beyond = asyncio.create_task(_seqs(runner, after=2**31 - 1))
    await _until(lambda: runner.watching.watched == 1)
    logs = [list[int]() for _ in range(20)]
    others = [asyncio.create_task(watch(seen)) for seen in logs]
    await _until(lambda: all(seen == [1, 2, 3] for seen in logs))
    hook.listen(Engine, "before_cursor_execute", count)
    await _until(lambda: looks >= 5)
    hook.remove(Engine, "before_cursor_execute", count)
    await _say(runner, status=RunStatus.SUCCEEDED)
    await asyncio.wait_for(asyncio.gather(*others), 120)
    assert all(seen == [1, 2, 3, 4] for seen in logs)
    assert await asyncio.wait_for(beyond, 120) == []
    assert reads == 0


async def test_a_watcher_that_leaves_frees_its_subscription_at_once(runner: Runner) -> None:
    await _begin(runner)
    await _say(runner)
    progress = runner.services.progress
    assert isinstance(progress, LocalProgress)
    async with aclosing(runner.watch("r1")) as first, aclosing(runner.watch("r1")) as second:
        assert (await anext(first)).seq == (await anext(second)).seq == 1
        assert (runner.watching.watched, progress.followed) == (1, 1)
    assert (runner.watching.watched, progress.followed) == (0, 0)


async def test_a_status_that_no_event_tells_yet_does_not_end_a_watcher(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "UNTOLD_S", 3600.0)
    await _begin(runner)
    await _say(runner)
    watcher = asyncio.create_task(_seqs(runner))
    await runner.services.runs.update("r1", status=RunStatus.SUCCEEDED)
    await asyncio.sleep(0.3)
    await _say(runner, status=RunStatus.SUCCEEDED)
    assert await asyncio.wait_for(watcher, 120) == [1, 2]


async def test_a_run_that_is_cancelled_in_the_queue_ends_its_watchers(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "UNTOLD_S", 0.3)
    await _begin(runner)
    watcher = asyncio.create_task(_seqs(runner))
    await runner.cancel("r1")
    assert await asyncio.wait_for(watcher, 120) == [1]


async def test_who_comes_after_an_answer_is_not_told_of_the_question(runner: Runner) -> None:
    await _begin(runner)
    await _say(runner, status=RunStatus.WAITING)
    async with aclosing(runner.watch("r1")) as idle:
        await anext(idle)  # its tail stays, and has read that the run waits
        await runner.services.runs.update("r1", status=RunStatus.QUEUED)
        late = asyncio.create_task(_seqs(runner, after=1))
        await asyncio.sleep(0.3)
        assert not late.done()
        await _say(runner, status=RunStatus.SUCCEEDED)
        assert await asyncio.wait_for(late, 120) == [2]


async def test_a_run_that_is_deleted_is_said_to_be_gone_to_all_its_watchers(
    runner: Runner,
) -> None:
    await _begin(runner)
    watchers = [asyncio.create_task(_seqs(runner)) for _ in range(3)]
    await _until(lambda: runner.watching.watched == 1)
    await runner.services.runs.delete("r1")
    for told in await asyncio.gather(*watchers, return_exceptions=True):
        assert isinstance(told, RunError) and told.code == "run_not_found"
    with pytest.raises(RunError):
        await _seqs(runner)
    assert runner.watching.watched == 0


async def test_what_is_kept_no_more_is_read_from_the_log(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "EVENTS_KEPT", 3)
    await _begin(runner)
    async with aclosing(runner.watch("r1")) as slow:
        await _say(runner, 2)
        assert [(await anext(slow)).seq for _ in range(2)] == [1, 2]
        for _ in range(6):
            await _say(runner, 3)
            await asyncio.sleep(0.15)
        late = asyncio.create_task(_seqs(runner, after=1))
        await _say(runner, status=RunStatus.SUCCEEDED)
        assert await asyncio.wait_for(late, 120) == list(range(2, 22))
        assert [event.seq async for event in slow] == list(range(3, 22))


async def test_another_processs_events_arrive_by_the_log(
    runner: Runner, settings: Settings
) -> None:
    await _begin(runner)
    engine = await open_database(f"sqlite+aiosqlite:///{settings.home / 'runs.db'}")
    other = RunStore(engine)
    watcher = asyncio.create_task(_seqs(runner))
    for status in (RunStatus.RUNNING, RunStatus.FAILED):
        await other.update("r1", status=status)
        await other.append_event("r1", status=status, step=None, progress=0, message="m")
    assert await asyncio.wait_for(watcher, 120) == [1, 2]
    await engine.dispose()


def test_the_database_is_asked_no_more_often_the_more_runs_are_watched() -> None:
    for runs in (1, 10, 100, 1000):
        assert runs / watching.pause_s(runs) <= watching.POLLS_PER_S

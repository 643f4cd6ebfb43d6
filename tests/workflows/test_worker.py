"""The queue and its worker, shown on Research: it needs no data and no fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.db.artifacts import ArtifactStore
from mmm_workflows.db.claims import Claim, Claims
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunBusy, RunError
from mmm_workflows.records import Event, Run, RunStatus
from mmm_workflows.workflows.contracts import EdaRequest, PipelineRequest, ResearchRequest
from mmm_workflows.workflows.queue import Queue
from mmm_workflows.workflows.runner import Runner, open_runner
from mmm_workflows.workflows.worker import Worker

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
REVIEWED = ResearchRequest(query="Build MMM for beverage brand", review=True)
WHOLE = PipelineRequest(
    query="Build MMM", user_query="What if we increase TV by 20%?", data_sources=("sales.csv",)
)
BROKEN = EdaRequest(data_sources=("no/such/file.csv",), target_variable="Sales")


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


def a_worker(runner: Runner) -> Worker:
    return Worker(runner, at_once=2, drain_s=5)


async def status_after(runner: Runner, workflow_id: str) -> RunStatus:
    """Where a run stands once it is neither queued nor running."""
    for _ in range(600):
        status = (await runner.get(workflow_id)).status
        if status not in (RunStatus.QUEUED, RunStatus.RUNNING):
            return status
        await asyncio.sleep(0.05)
    pytest.fail(f"{workflow_id} is still {status}")


async def test_what_is_accepted_is_done_by_a_worker_that_comes_later(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        assert (
            await Queue(runner).accept("research", QUESTION, workflow_id="r1")
        ).status == "queued"
    async with open_runner(settings) as runner:
        await runner.submit("research", QUESTION, workflow_id="mine")
        async with a_worker(runner):
            assert await status_after(runner, "r1") is RunStatus.SUCCEEDED
        assert (await runner.get("mine")).status is RunStatus.QUEUED, "nobody left it to workers"


async def test_accepting_twice_is_one_run_and_resuming_twice_is_refused(runner: Runner) -> None:
    queue = Queue(runner)
    for _ in range(2):
        await queue.accept("research", QUESTION, workflow_id="r1")
    with pytest.raises(RunBusy) as caught:
        await queue.enqueue("r1")
    assert caught.value.code == "run_busy"
    async with a_worker(runner):
        await status_after(runner, "r1")
    assert (await queue.enqueue("r1")).status is RunStatus.SUCCEEDED
    events = await runner.events("r1")
    assert [e.message for e in events].count("research started") == 1


async def test_an_answer_is_taken_in_by_whoever_comes_next(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await runner.start("research", REVIEWED, workflow_id="r1")
        run = await Queue(runner).answer("r1", "revenue by TV and search")
        assert run.status is RunStatus.QUEUED
        with pytest.raises(RunError, match="queued") as caught:
            await Queue(runner).answer("r1", "no")
        assert caught.value.code == "run_state"
    async with open_runner(settings) as runner, a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED
        result = (await runner.get("r1")).result
    assert result is not None
    assert [c["name"] for c in result["research_plan"]["channels"]] == ["TV", "Search"]


async def test_an_answer_that_was_taken_in_is_not_given_to_the_next_question(
    runner: Runner,
) -> None:
    await runner.start("research", REVIEWED, workflow_id="r1")
    before = await runner.services.claims.answer("r1")
    asked = await question_of(runner, "r1")
    assert (await runner.decide("r1", "hm"))["status"] == "waiting"
    # The process died when the next question stood in the checkpoint and not yet in the record.
    await runner.services.runs.update(
        "r1", status=RunStatus.RUNNING, answer="revenue by TV", asked=asked
    )
    again = await runner.resume("r1")
    assert before is None
    assert again["status"] == "waiting"
    assert "'hm'" in again["questions"][0]
    assert await question_of(runner, "r1") != asked
    assert (await runner.decide("r1", "yes"))["status"] == "succeeded"


async def question_of(runner: Runner, workflow_id: str) -> str | None:
    async with runner.services.claims.hold(workflow_id) as claim:
        await runner.services.claims.note_answer(claim, workflow_id, "x", on_queue=False)
    noted = await runner.services.claims.answer(workflow_id)
    await runner.services.runs.update(workflow_id, status=RunStatus.WAITING, answer=None)
    assert noted is not None
    return noted.asked


async def test_a_queued_and_a_waiting_run_are_cancelled_at_once_and_say_so(runner: Runner) -> None:
    await Queue(runner).accept("research", QUESTION, workflow_id="queued")
    await runner.start("research", REVIEWED, workflow_id="waiting")
    for name in ("queued", "waiting"):
        assert (await runner.cancel(name)).status is RunStatus.CANCELLED
        assert (await runner.events(name))[-1].status is RunStatus.CANCELLED
    async with a_worker(runner):
        await Queue(runner).accept("research", QUESTION, workflow_id="next")
        await status_after(runner, "next")
    assert (await runner.get("queued")).status is RunStatus.CANCELLED


async def test_a_run_that_was_to_be_cancelled_when_its_worker_died_is_not_gone_on_with(
    runner: Runner,
) -> None:
    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    await runner.services.runs.request_cancel("r1")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.CANCELLED
    assert [e.message for e in await runner.events("r1")] == ["cancelled"]
    await Queue(runner).enqueue("r1")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED


async def test_the_parts_of_a_run_end_with_it_where_nobody_works_on_them(runner: Runner) -> None:
    await Queue(runner).accept("pipeline", WHOLE, workflow_id="p")
    await runner.start("research", REVIEWED, workflow_id="p.research")
    await runner.start("research", QUESTION, workflow_id="p.other")
    done = await runner.start("research", REVIEWED, workflow_id="p-2.research")
    await runner.cancel("p")
    for name in ("p", "p.research"):
        events = await runner.events(name)
        assert [e.status for e in events].count(RunStatus.CANCELLED) == 1
        assert events[-1].status is (await runner.get(name)).status is RunStatus.CANCELLED
    assert (await runner.get("p.other")).status is RunStatus.SUCCEEDED
    assert (await runner.get("p-2.research")).result == done, "another run's part"


async def test_a_request_to_cancel_that_comes_as_the_run_begins_to_wait_is_heeded(
    runner: Runner,
) -> None:
    async def late(event: Event) -> None:
        if event.status is RunStatus.WAITING:
            await runner.services.runs.request_cancel("r1")

    await runner.start("research", REVIEWED, workflow_id="r1", on_event=late)
    assert (await runner.get("r1")).status is RunStatus.CANCELLED
    assert (await runner.events("r1"))[-1].status is RunStatus.CANCELLED
    assert (await runner.resume("r1"))["status"] == "waiting"


async def test_who_hears_the_question_may_answer_it_at_once(runner: Runner) -> None:
    heard: list[str] = []

    async def reply(event: Event) -> None:
        if event.status is RunStatus.WAITING:
            heard.append((await Queue(runner).answer("r1", "yes")).status)

    await runner.start("research", REVIEWED, workflow_id="r1", on_event=reply)
    assert heard == ["queued"]
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED


async def test_a_run_that_fails_does_not_stop_the_worker(runner: Runner) -> None:
    await Queue(runner).accept("eda", BROKEN, workflow_id="e1")
    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED
        assert await status_after(runner, "e1") is RunStatus.FAILED


async def test_a_run_of_another_version_fails_once_with_that_word(runner: Runner) -> None:
    run = await runner.submit("research", QUESTION, workflow_id="r1")
    await runner.services.runs.delete("r1")
    await runner.services.runs.create(run.model_copy(update={"graph_version": "000000000000"}))
    await runner.services.claims.enqueue("r1")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.FAILED
    found = await runner.get("r1")
    assert found.error is not None
    assert found.error.code == "run_graph_changed"


async def test_a_run_that_ends_its_workers_is_failed_and_a_person_may_resume_it(
    settings: Settings, runner: Runner
) -> None:
    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    engine = await open_database(f"sqlite+aiosqlite:///{settings.home / 'runs.db'}")
    dead = Claims(engine, lease_s=0.0)
    dead._holder = replace(dead._holder, machine="another")
    for _ in range(3):
        assert await dead.take_next() is not None
    await engine.dispose()
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.FAILED
    found = await runner.get("r1")
    assert found.error is not None
    assert found.error.code == "run_crashed"
    assert "3 processes" in found.error.message
    await Queue(runner).enqueue("r1")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED


async def test_a_worker_that_ends_puts_back_what_it_cannot_end(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An artifact that takes for ever stands for a long step."""
    reached = asyncio.Event()

    async def slow(*_arguments: object, **_named: object) -> None:
        reached.set()
        await asyncio.sleep(60)

    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    with monkeypatch.context() as patched:
        patched.setattr(ArtifactStore, "put_file", slow)
        async with Worker(runner, at_once=1, drain_s=0.1):
            await asyncio.wait_for(reached.wait(), 120)
    run = await runner.get("r1")
    assert (run.status, run.error) == (RunStatus.QUEUED, None)
    assert (await runner.events("r1"))[-1].message.startswith("put back")
    async with a_worker(runner):
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED
    events = await runner.events("r1")
    assert [e.seq for e in events] == list(range(1, len(events) + 1))


async def test_a_worker_that_takes_none_leaves_the_queue_alone(runner: Runner) -> None:
    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    async with Worker(runner, at_once=0, drain_s=0) as worker:
        worker.wake()
        await asyncio.sleep(0.2)
    assert (await runner.get("r1")).status is RunStatus.QUEUED


async def test_a_worker_that_meets_a_fault_of_ours_says_so_and_takes_runs_again(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take_next, times = Claims.take_next, iter(range(2))

    async def broken_at_first(claims: Claims) -> Claim | None:
        if next(times, None) is not None:
            raise KeyError("a fault of ours")
        return await take_next(claims)

    monkeypatch.setattr(Claims, "take_next", broken_at_first)
    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    async with a_worker(runner) as worker:
        worker.wake()
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED
    assert caplog.text.count("no run can be taken from the queue") == 1
    assert "a fault of ours" in caplog.text


async def test_a_run_that_its_worker_cannot_even_begin_does_not_end_the_worker(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    get, times = RunStore.get, iter(range(1))

    async def broken_at_first(runs: RunStore, workflow_id: str) -> Run:
        if next(times, None) is not None:
            raise KeyError("a fault of ours")
        return await get(runs, workflow_id)

    await Queue(runner).accept("research", QUESTION, workflow_id="r1")
    monkeypatch.setattr(RunStore, "get", broken_at_first)
    async with a_worker(runner):
        async with asyncio.timeout(120):
            while "r1 was left by its worker" not in caplog.text:
                await asyncio.sleep(0.02)
        assert await status_after(runner, "r1") is RunStatus.SUCCEEDED

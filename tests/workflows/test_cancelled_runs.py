"""A run that somebody cancels while it is worked on: what ends it, and what its caller hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer

from mmm_workflows.cli.session import run_command
from mmm_workflows.config import Settings
from mmm_workflows.db.claims import Claim
from mmm_workflows.errors import RunCancelled
from mmm_workflows.records import Event, Json, RunStatus
from mmm_workflows.workflows.batch import Batch, Brand, run_batch
from mmm_workflows.workflows.contracts import PipelineRequest, ResearchRequest
from mmm_workflows.workflows.execution import POLL_S, OnEvent
from mmm_workflows.workflows.queue import Queue
from mmm_workflows.workflows.runner import Runner, open_runner
from mmm_workflows.workflows.worker import Worker

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
WHOLE = PipelineRequest(
    query="Build MMM", user_query="What if we increase TV by 20%?", data_sources=("sales.csv",)
)
WITHIN_S = 120
TABLE = "Date,Sales,TV\n2024-01-01,1,2\n2024-01-08,2,3\n"


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


class Held:
    """Hears the events of a run, and holds it in its first step until it is cancelled.

    Args:
        of: What the first message begins with that it is held at.
        ends_in_s: How long the step takes to end then.
    """

    def __init__(self, of: str = "", *, ends_in_s: float = 0.0) -> None:
        self._of = of
        self._ends_in_s = ends_in_s
        self.reached = asyncio.Event()
        self.has_ended = False

    async def hear(self, event: Event) -> None:
        is_in_step = event.step is not None and event.status is RunStatus.RUNNING
        if not is_in_step or not event.message.startswith(self._of):
            return
        # A part that has just started is not at work yet; of the end of one its whole is told.
        if self.reached.is_set() or event.message.endswith("started"):
            return
        self.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self._ends_in_s)
            self.has_ended = True


async def test_its_caller_hears_that_and_the_run_may_be_gone_on_with(runner: Runner) -> None:
    held = Held()
    working = asyncio.create_task(
        runner.start("research", QUESTION, workflow_id="r1", on_event=held.hear)
    )
    async with asyncio.timeout(WITHIN_S):
        await held.reached.wait()
        await runner.cancel("r1")
        with pytest.raises(RunCancelled) as caught:
            await working
    assert caught.value.code == "run_cancelled" and "resume r1" in caught.value.message
    run = await runner.get("r1")
    assert (run.status, run.error) == (RunStatus.CANCELLED, None)
    assert [e.status for e in await runner.events("r1")].count(RunStatus.CANCELLED) == 1
    assert (await runner.resume("r1"))["status"] == "succeeded"


async def test_a_caller_that_is_itself_told_to_stop_hears_nothing_else(runner: Runner) -> None:
    held = Held()
    working = asyncio.create_task(
        runner.start("research", QUESTION, workflow_id="r1", on_event=held.hear)
    )
    async with asyncio.timeout(WITHIN_S):
        await held.reached.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert (await runner.get("r1")).status is RunStatus.CANCELLED


async def test_what_takes_its_time_to_end_is_waited_for(runner: Runner) -> None:
    held = Held(ends_in_s=5 * POLL_S)
    working = asyncio.create_task(
        runner.start("research", QUESTION, workflow_id="r1", on_event=held.hear)
    )
    async with asyncio.timeout(WITHIN_S):
        await held.reached.wait()
        await runner.cancel("r1")
        with pytest.raises(RunCancelled):
            await working
    assert held.has_ended, "it was left while it was ending"


async def test_a_part_that_is_cancelled_takes_its_whole_along(runner: Runner) -> None:
    held = Held("research: ")
    working = asyncio.create_task(
        runner.start("pipeline", WHOLE, workflow_id="p", on_event=held.hear)
    )
    async with asyncio.timeout(WITHIN_S):
        await held.reached.wait()
        await runner.cancel("p.research")
        with pytest.raises(RunCancelled, match="Run p was cancelled"):
            await working
    for name in ("p", "p.research"):
        run = await runner.get(name)
        assert (run.status, run.error) == (RunStatus.CANCELLED, None)


async def test_a_whole_that_is_cancelled_takes_its_part_along(runner: Runner) -> None:
    held = Held("research: ")
    working = asyncio.create_task(
        runner.start("pipeline", WHOLE, workflow_id="p", on_event=held.hear)
    )
    async with asyncio.timeout(WITHIN_S):
        await held.reached.wait()
        await runner.cancel("p")
        with pytest.raises(RunCancelled, match="Run p was cancelled"):
            await working
    for name in ("p", "p.research"):
        assert (await runner.get(name)).status is RunStatus.CANCELLED


class Holding(Runner):
    """Holds the runs of project b in their first step."""

    held: Held

    async def work(self, claim: Claim, workflow_id: str, on_event: OnEvent | None = None) -> Json:
        is_held = (await self.get(workflow_id)).project == "b"
        return await super().work(claim, workflow_id, self.held.hear if is_held else on_event)


async def test_a_brand_that_is_cancelled_stands_in_its_row_beside_the_others(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "b.csv").write_text(TABLE)
    brands = [Brand(brand=name, data=[str(tmp_path / f"{name}.csv")]) for name in ("a", "b")]
    batch = Batch(name="spring", brands=brands)
    async with open_runner(settings) as opened, asyncio.timeout(WITHIN_S):
        runner = Holding(opened.services)
        runner.held = Held()
        working = asyncio.create_task(
            run_batch(runner, batch, at_once=2, on_event=lambda event: None)
        )
        await runner.held.reached.wait()
        (running,) = await runner.list(project="b")
        await opened.cancel(running.workflow_id)
        result = await working
    assert [(r.brand, r.status, r.error and r.error.code) for r in result.rows] == [
        ("a", "failed", "dataset_not_found"), ("b", "cancelled", "run_cancelled"),
    ]  # fmt: skip
    assert result.failed == 2


async def test_a_worker_goes_on_with_the_next_run_and_has_nothing_to_say(
    runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    holding = Holding(runner.services)
    holding.held = Held()
    await Queue(runner).accept("research", QUESTION, workflow_id="first", project="b")
    async with asyncio.timeout(WITHIN_S), Worker(holding, at_once=1, drain_s=5):
        await holding.held.reached.wait()
        await Queue(runner).accept("research", QUESTION, workflow_id="second")
        await runner.cancel("first")
        while (await runner.get("second")).status is not RunStatus.SUCCEEDED:
            await asyncio.sleep(0.05)
    assert (await runner.get("first")).status is RunStatus.CANCELLED
    assert not [r for r in caplog.records if r.name == "mmm_workflows.workflows.worker"]


def test_a_command_whose_run_is_cancelled_says_so_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def work(runner: Runner, on_event: object) -> Json:
        held = Held()

        async def cancel() -> None:
            await held.reached.wait()
            await runner.cancel("r1")

        cancelling = asyncio.create_task(cancel())
        try:
            async with asyncio.timeout(WITHIN_S):
                return await runner.start(
                    "research", QUESTION, workflow_id="r1", on_event=held.hear
                )
        finally:
            await cancelling

    with pytest.raises(typer.Exit) as caught:
        run_command(work, as_json=True, show=lambda result: None)
    assert caught.value.exit_code == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["code"]) == ("error", "run_cancelled")

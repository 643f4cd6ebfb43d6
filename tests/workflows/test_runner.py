"""The runner, shown on Research: it needs no data and no fit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError, RunError, UserError
from mmm_workflows.records import Depth, Event, RunStatus
from mmm_workflows.workflows.contracts import EdaRequest, ResearchRequest
from mmm_workflows.workflows.runner import Runner, open_runner

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
REVIEWED = ResearchRequest(query="Build MMM for beverage brand", review=True)
BROKEN = EdaRequest(data_sources=("no/such/file.csv",), target_variable="Sales")


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def test_a_run_emits_events_without_a_gap_and_ends_at_one(runner: Runner) -> None:
    events: list[Event] = []
    result = await runner.start("research", QUESTION, workflow_id="r1", on_event=events.append)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert events[-1].status is RunStatus.SUCCEEDED
    assert events[-1].progress == 1.0
    progress = [e.progress for e in events]
    assert progress == sorted(progress)
    steps = list(dict.fromkeys(e.step for e in events if e.step))
    assert steps == [
        "initialize",
        "web_search",
        "generate_plan",
        "collect_feedback",
        "finalize",
    ]
    assert result["status"] == "succeeded"
    assert result["generated_by"] == "rules"
    assert result["decisions"]
    assert {a["kind"] for a in result["artifacts"]} == {
        "earlier_plans", "research_plan", "evidence", "evidence_report", "research_result",
    }  # fmt: skip


async def test_a_finished_run_is_read_not_repeated(runner: Runner) -> None:
    first = await runner.start("research", QUESTION, workflow_id="r1")
    events: list[Event] = []
    again = await runner.start("research", QUESTION, workflow_id="r1", on_event=events.append)
    assert again == first
    assert events == []


@pytest.mark.parametrize(
    "changed",
    [
        {"request": ResearchRequest(query="something else")},
        {"seed": 7},
        {"depth": Depth.FULL},
        {"project": "other"},
    ],
)
async def test_an_id_with_other_inputs_is_refused(
    runner: Runner, changed: dict[str, object]
) -> None:
    await runner.start("research", QUESTION, workflow_id="r1")
    arguments: dict[str, object] = {"request": QUESTION, **changed}
    request = arguments.pop("request")
    with pytest.raises(RunError, match=next(iter(changed))) as caught:
        await runner.start("research", request, workflow_id="r1", **arguments)  # type: ignore[arg-type]
    assert caught.value.code == "run_conflict"


@pytest.mark.parametrize("bad", ["../etc", "a b", ".hidden", "x" * 101, "a/b", "ä"])
async def test_an_id_that_could_be_a_path_is_refused(runner: Runner, bad: str) -> None:
    with pytest.raises(RunError) as caught:
        await runner.start("research", QUESTION, workflow_id=bad)
    assert caught.value.code == "workflow_id_invalid"


async def test_a_review_waits_and_goes_on_with_the_answer(runner: Runner) -> None:
    waiting = await runner.start("research", REVIEWED, workflow_id="r1")
    assert waiting["status"] == "waiting"
    assert "Is this plan right?" in waiting["questions"][0]
    assert waiting["research_plan"]["channels"]
    still = await runner.resume("r1")
    assert still["status"] == "waiting"
    unreadable = await runner.decide("r1", "hm")
    assert unreadable["status"] == "waiting"
    assert "'hm'" in unreadable["questions"][0]
    done = await runner.decide("r1", "revenue by TV and search")
    assert done["status"] == "succeeded"
    assert [c["name"] for c in done["research_plan"]["channels"]] == ["TV", "Search"]
    assert [d["choice"] for d in done["decisions"] if d["who"] == "person"] == [
        "hm",
        "revenue by TV and search",
    ]


async def test_only_a_waiting_run_takes_an_answer(runner: Runner) -> None:
    await runner.start("research", QUESTION, workflow_id="r1")
    with pytest.raises(RunError, match="succeeded") as caught:
        await runner.decide("r1", "yes")
    assert caught.value.code == "run_state"


async def test_a_second_executor_of_a_run_is_refused(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1")
    async with runner.services.claims.hold("r1"):
        with pytest.raises(RunError) as caught:
            await runner.execute("r1")
    assert caught.value.code == "run_busy"
    assert (await runner.execute("r1"))["status"] == "succeeded"


async def test_a_failed_run_keeps_its_error_and_can_be_resumed(runner: Runner) -> None:
    with pytest.raises(MMMError) as caught:
        await runner.start("eda", BROKEN, workflow_id="e1")
    run = await runner.get("e1")
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.code == caught.value.code == "dataset_not_found"
    with pytest.raises(MMMError) as again:
        await runner.resume("e1")
    assert again.value.code == "dataset_not_found"
    assert (await runner.services.runs.artifacts("e1")) == []


async def test_an_unknown_run_is_said_to_be_unknown(runner: Runner) -> None:
    for call in (runner.get, runner.resume, runner.cancel, runner.delete):
        with pytest.raises(RunError) as caught:
            await call("nobody")
        assert caught.value.code == "run_not_found"


async def test_a_run_of_another_graph_version_is_refused_by_name(runner: Runner) -> None:
    run = await runner.submit("research", QUESTION, workflow_id="r1")
    await runner.services.runs.delete("r1")
    await runner.services.runs.create(run.model_copy(update={"graph_version": "000000000000"}))
    with pytest.raises(RunError, match="000000000000") as caught:
        await runner.resume("r1")
    assert caught.value.code == "run_graph_changed"


async def test_a_queued_run_is_cancelled_at_once_and_may_be_resumed(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1")
    assert (await runner.cancel("r1")).status is RunStatus.CANCELLED
    with pytest.raises(RunError):
        await runner.cancel("r1")
    assert (await runner.resume("r1"))["status"] == "succeeded"


async def test_a_deleted_run_leaves_no_record_and_no_artifact(runner: Runner) -> None:
    await runner.start("research", QUESTION, workflow_id="r1")
    other = await runner.start("research", QUESTION, workflow_id="r2")
    paths = [runner.services.artifacts.root]
    assert (await runner.delete("r1")).runs == 1
    with pytest.raises(RunError):
        await runner.get("r1")
    # Equal content is stored once, so the other run's artifacts must still be there.
    for artifact in other["artifacts"]:
        await runner.services.artifacts.verify((await runner.services.runs.artifacts("r2"))[0])
        assert artifact["path"]
    assert (await runner.delete("r2")).runs == 1
    left = [p for root in paths for p in root.rglob("*") if p.is_file()]
    assert left == []


async def test_a_deleted_project_takes_its_runs_and_folders_along(runner: Runner) -> None:
    await runner.start("research", QUESTION, workflow_id="r1", project="brand")
    await runner.start("research", QUESTION, workflow_id="r2", project="other")
    assert (await runner.delete("brand")).runs == 1
    assert not (runner.services.artifacts.root / "brand").exists()
    assert (await runner.get("r2")).project == "other"


async def test_a_project_with_a_busy_run_is_refused_whole(runner: Runner) -> None:
    for name in ("r1", "r2", "r3"):
        await runner.start("research", QUESTION, workflow_id=name, project="brand")
    async with runner.services.claims.hold("r1"):
        with pytest.raises(RunError) as caught:
            await runner.delete("brand")
    assert caught.value.code == "run_busy"
    assert {r.workflow_id for r in await runner.list(project="brand")} == {"r1", "r2", "r3"}
    assert (await runner.delete("brand")).runs == 3


async def test_a_watcher_sees_every_event_once_and_then_stops(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1")

    async def watched() -> list[int]:
        return [e.seq async for e in runner.watch("r1")]

    watching = asyncio.create_task(watched())
    await asyncio.sleep(0.05)
    await runner.execute("r1")
    seen = await asyncio.wait_for(watching, 120)
    log = await runner.services.runs.events("r1")
    assert seen == [e.seq for e in log]
    late = [e.seq async for e in runner.watch("r1", after=seen[-2])]
    assert late == seen[-1:]


async def test_services_are_shared_and_closed_by_the_last_user(settings: Settings) -> None:
    async with open_runner(settings) as outer, open_runner(settings) as inner:
        assert outer.services is inner.services
    async with open_runner(settings) as fresh:
        assert fresh.services is not outer.services


async def test_a_run_that_was_killed_before_its_first_step_was_noted_begins_again(
    settings: Settings,
) -> None:
    def fail(event: Event) -> None:
        if event.step is not None:
            raise UserError("the process dies here")

    async with open_runner(settings) as runner:
        with pytest.raises(UserError):
            await runner.start("research", QUESTION, workflow_id="r1", on_event=fail)
    with closing(sqlite3.connect(settings.home / "checkpoints.db")) as kept, kept:
        first = "SELECT min(checkpoint_id) FROM checkpoints"
        kept.execute(f"DELETE FROM checkpoints WHERE checkpoint_id > ({first})")
    async with open_runner(settings) as runner:
        assert (await runner.resume("r1"))["status"] == "succeeded"


@pytest.mark.parametrize("kept_checkpoints", [1, 2, 3, 4])
async def test_a_run_that_was_killed_between_a_step_and_its_checkpoint_goes_on(
    settings: Settings, kept_checkpoints: int
) -> None:
    def fail(event: Event) -> None:
        if event.step == "finalize":
            raise UserError("the process dies here")

    async with open_runner(settings) as runner:
        with pytest.raises(UserError):
            await runner.start("research", QUESTION, workflow_id="r1", on_event=fail)
        before = len(await runner.events("r1"))
    with closing(sqlite3.connect(settings.home / "checkpoints.db")) as kept, kept:
        ids = "SELECT DISTINCT checkpoint_id FROM checkpoints ORDER BY 1 LIMIT ?"
        named = [row[0] for row in kept.execute(ids, (kept_checkpoints,))]
        assert len(named) == kept_checkpoints
        # What the step after the last of these had written stays beside it.
        kept.execute("DELETE FROM checkpoints WHERE checkpoint_id > ?", (named[-1],))
        assert kept.execute("SELECT 1 FROM writes WHERE checkpoint_id = ?", named[-1:]).fetchone()
    async with open_runner(settings) as runner:
        assert (await runner.resume("r1"))["status"] == "succeeded"
        again = {event.step for event in await runner.events("r1", after=before)}
    # It goes on after what was written, and does not begin again.
    assert ("initialize" in again) is (kept_checkpoints == 1)


async def test_a_request_that_was_stored_before_it_had_a_field_is_the_same_request(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        first = await runner.start("research", QUESTION, workflow_id="r1")
    with closing(sqlite3.connect(settings.home / "runs.db")) as kept, kept:
        kept.execute("UPDATE runs SET request = json_remove(request, '$.start_from')")
    async with open_runner(settings) as runner:
        assert await runner.start("research", QUESTION, workflow_id="r1") == first

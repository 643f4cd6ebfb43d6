"""The rows of the outbox on each database: written with the result, taken in order, by one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contracts.runs.conftest import BOTH, database
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.engine import begin
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.outbox import Action, Outbox
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError
from mmm_workflows.mmm.recall import Way
from mmm_workflows.records import Backlog, RunStatus

from .values import queued, result_of

TESTS = Path(__file__).parents[2]


@pytest.fixture(params=BOTH)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with database(request.param, tmp_path) as opened:
        yield opened


async def end(engine: AsyncEngine, workflow_id: str, project: str = "p") -> None:
    runs = RunStore(engine)
    await runs.create(queued(workflow_id, project))
    await runs.update(workflow_id, result=result_of(workflow_id, project, "a text"))


async def rows(engine: AsyncEngine) -> list[tuple[str | None, str]]:
    return [(e.workflow_id, str(e.action)) for e in await Outbox(engine).waiting()]


async def test_a_result_that_succeeded_is_queued_once_and_no_other_is(engine: AsyncEngine) -> None:
    runs = RunStore(engine)
    await runs.create(queued("r"))
    await runs.update("r", status=RunStatus.RUNNING, progress=0.5)
    await runs.update("r", result={"status": "waiting", "questions": ["?"]})
    assert await rows(engine) == []
    for _ in range(2):
        await runs.update("r", result=result_of("r", "p", "a text"))
    assert await rows(engine) == [("r", "remember")]


async def test_a_result_that_is_not_written_is_not_queued(engine: AsyncEngine) -> None:
    with pytest.raises(RunError):
        await RunStore(engine).update("nobody", result=result_of("nobody", "p", "a text"))
    runs = RunStore(engine)
    await runs.create(queued("r"))
    with pytest.raises(ValueError, match="progress"):
        await runs.update("r", result=result_of("r", "p", "a text"), progress=7.0)
    assert (await runs.get("r")).result is None
    assert await rows(engine) == []


async def test_where_a_row_cannot_be_written_the_result_is_not_either(engine: AsyncEngine) -> None:
    """One transaction: with the table away, nothing of the update stays."""
    runs = RunStore(engine)
    await runs.create(queued("r"))
    async with begin(engine) as connection:
        await connection.execute(text("ALTER TABLE memory_outbox RENAME TO hidden"))
    with pytest.raises(Exception, match="memory_outbox"):
        await runs.update("r", result=result_of("r", "p", "a text"))
    assert (await runs.get("r")).result is None
    async with begin(engine) as connection:
        await connection.execute(text("ALTER TABLE hidden RENAME TO memory_outbox"))


async def test_a_deleted_run_leaves_only_its_forgetting_and_then_nothing(
    engine: AsyncEngine,
) -> None:
    outbox = Outbox(engine)
    await end(engine, "r")
    await RunStore(engine).delete("r")
    assert await rows(engine) == [("r", "forget")]
    # The same name again comes after it.
    await end(engine, "r")
    assert await rows(engine) == [("r", "forget"), ("r", "remember")]
    await outbox.finish((await outbox.waiting())[0])
    assert await rows(engine) == [("r", "remember")]
    async with begin(engine) as connection:
        found = await connection.execute(text("SELECT count(*) FROM memory_outbox"))
        assert found.scalar_one() == 1


async def test_a_run_that_left_nothing_is_not_forgotten(engine: AsyncEngine) -> None:
    runs = RunStore(engine)
    await runs.create(queued("failed"))
    await runs.delete("failed")
    assert await rows(engine) == []


async def test_a_forgotten_project_takes_the_rows_of_its_runs_and_stays_as_a_tombstone(
    engine: AsyncEngine,
) -> None:
    outbox = Outbox(engine)
    for name in ("a", "b"):
        await end(engine, name)
    await end(engine, "kept", project="other")
    for name in ("a", "b"):
        await RunStore(engine).delete(name)
    await outbox.forget_project("p", runs=2)
    assert await rows(engine) == [("kept", "remember"), (None, "forget")]
    (last,) = await outbox.waiting("p")
    assert (last.runs, last.standing) == (2, "queued")
    await outbox.delay(last, [Way.GRAPH], "the server is away")
    (last,) = await outbox.waiting("p")
    assert (last.missing, last.standing) == ((Way.GRAPH,), "delayed: the server is away")
    await outbox.finish(last)
    assert await outbox.waiting("p") == []
    (tombstone,) = await outbox.forgotten()
    assert (tombstone.project, tombstone.runs, tombstone.workflow_id) == ("p", 2, None)
    assert tombstone.done_at is not None and tombstone.reason is None


async def test_the_number_of_a_row_that_went_is_never_used_again(engine: AsyncEngine) -> None:
    outbox = Outbox(engine)
    await end(engine, "r")
    await RunStore(engine).delete("r")
    (forgetting,) = await outbox.waiting()
    await outbox.finish(forgetting)
    await end(engine, "next")
    (after,) = await outbox.waiting()
    assert after.position > forgetting.position


async def test_only_one_takes_rows_at_a_time_and_the_next_one_after_it(
    engine: AsyncEngine,
) -> None:
    first, second = Outbox(engine), Outbox(engine)
    async with first.turn(wait_s=0) as is_first, second.turn(wait_s=0.1) as is_second:
        assert is_first and not is_second
    inside, most = 0, 0

    async def work(outbox: Outbox) -> None:
        nonlocal inside, most
        async with outbox.turn(wait_s=30) as is_ours:
            assert is_ours
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(work(Outbox(engine)) for _ in range(5)))
    assert most == 1


HOLDER = """
import asyncio, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.outbox import Outbox

async def main():
    engine = await open_database(sys.argv[1])
    async with Outbox(engine).turn(wait_s=0) as is_ours:
        print(is_ours, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_the_turn_of_a_process_ends_with_it(engine: AsyncEngine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"True\n"
        async with Outbox(engine).turn(wait_s=0) as is_ours:
            assert not is_ours
    finally:
        holder.kill()
        holder.communicate()
    async with Outbox(engine).turn(wait_s=30) as is_ours:
        assert is_ours


async def test_a_row_says_where_it_stands_for_each_run(engine: AsyncEngine) -> None:
    outbox = Outbox(engine)
    for name in ("a", "b", "c"):
        await end(engine, name)
    first, second, _ = await outbox.waiting()
    await outbox.finish(first)
    await outbox.delay(second, second.missing, "away")
    found = await outbox.of_runs(["a", "b", "c", "nobody"])
    assert {name: entry.standing for name, entry in found.items()} == {
        "a": "kept", "b": "delayed: away", "c": "queued",
    }  # fmt: skip
    assert {entry.action for entry in found.values()} == {Action.REMEMBER}
    assert await outbox.backlog() == Backlog(waiting=2, oldest_at=second.queued_at)
    assert await outbox.backlog("p") == await outbox.backlog()
    assert await outbox.backlog("another") == Backlog(waiting=0)


async def test_runs_of_before_the_outbox_are_queued_by_the_migration(engine: AsyncEngine) -> None:
    runs = RunStore(engine)
    for name in ("first", "second"):
        await end(engine, name)
        await runs.update(name, status=RunStatus.SUCCEEDED)
    await runs.create(queued("failed"))
    await runs.update("failed", status=RunStatus.FAILED)
    async with begin(engine) as connection:
        await connection.execute(text("DROP TABLE memory_outbox"))
        # What came after it goes too.
        await connection.execute(text("DROP INDEX ix_runs_on_queue_status"))
        for column in ("on_queue", "claim", "holder", "lease_until", "attempts", "answer", "asked"):
            await connection.execute(text(f"ALTER TABLE runs DROP COLUMN {column}"))
        for column in ("valid_from", "valid_to"):
            await connection.execute(text(f"ALTER TABLE passages DROP COLUMN {column}"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
    await migrate(engine)
    assert await rows(engine) == [("first", "remember"), ("second", "remember")]
    entries = await Outbox(engine).waiting()
    assert {(entry.missing, entry.standing) for entry in entries} == {(tuple(Way), "queued")}
    assert [e.queued_at for e in entries] == [
        (await runs.get(name)).updated_at for name in ("first", "second")
    ]


async def test_a_project_that_got_another_run_meanwhile_is_not_forgotten_whole(
    engine: AsyncEngine,
) -> None:
    await end(engine, "gone")
    await RunStore(engine).delete("gone")
    await end(engine, "new")
    await Outbox(engine).forget_project("p", runs=1)
    assert await rows(engine) == [("gone", "forget"), ("new", "remember")]

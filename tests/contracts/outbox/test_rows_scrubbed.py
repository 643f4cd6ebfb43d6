"""The name of a deleted run is out of the file as soon as its row is, and its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contracts.runs.conftest import BOTH, database
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.outbox import Outbox
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import ServiceUnavailable

from .values import queued, result_of

NAME = "zqgonerun"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with database("sqlite", tmp_path) as opened:
        yield opened


async def end_and_delete(engine: AsyncEngine) -> None:
    runs = RunStore(engine)
    await runs.create(queued(NAME))
    await runs.update(NAME, result=result_of(NAME, "p", "a text"))
    await runs.delete(NAME)


async def found(folder: Path) -> list[str]:
    def look() -> list[str]:
        files = sorted(folder.glob("runs.db*"))
        assert files
        return [file.name for file in files if NAME.encode() in file.read_bytes()]

    return await asyncio.to_thread(look)


async def test_a_deleted_run_is_out_of_the_files_once_every_store_forgot_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    outbox = Outbox(engine)
    await end_and_delete(engine)
    (forgetting,) = await outbox.waiting()
    await outbox.finish(forgetting)
    assert await found(tmp_path) == []


async def test_a_forgotten_project_leaves_no_name_of_its_runs_in_the_files(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await end_and_delete(engine)
    await Outbox(engine).forget_project("p", runs=1)
    assert await found(tmp_path) == []


async def test_a_row_is_done_also_where_the_log_could_not_be_emptied(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def busy(_engine: AsyncEngine) -> None:
        raise ServiceUnavailable("another program reads it")

    outbox = Outbox(engine)
    await end_and_delete(engine)
    (forgetting,) = await outbox.waiting()
    monkeypatch.setattr("mmm_workflows.db.outbox.scrub", busy)
    await outbox.finish(forgetting)
    assert await outbox.waiting() == []
    assert "another program reads it" in caplog.text


async def test_the_log_is_not_emptied_for_what_is_remembered(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_engine: AsyncEngine) -> None:
        raise AssertionError("it costs a wait for every reader")

    monkeypatch.setattr("mmm_workflows.db.outbox.scrub", never)
    runs, outbox = RunStore(engine), Outbox(engine)
    await runs.create(queued(NAME))
    await runs.update(NAME, result=result_of(NAME, "p", "a text"))
    (remembering,) = await outbox.waiting()
    await outbox.finish(remembering)
    assert await outbox.waiting() == []


@pytest.mark.parametrize("kind", BOTH)
async def test_the_last_run_of_a_project_goes_with_its_tombstone_and_another_does_not(
    kind: str, tmp_path: Path
) -> None:
    async with database(kind, tmp_path) as engine:
        runs, outbox = RunStore(engine), Outbox(engine)
        for name in ("first", "last"):
            await runs.create(queued(name))
            await runs.update(name, result=result_of(name, "p", "a text"))
        await runs.delete_last("first", runs=2)
        assert await outbox.forgotten() == []
        await runs.delete_last("last", runs=2)
        (tombstone,) = await outbox.waiting()
        assert (tombstone.workflow_id, tombstone.project, tombstone.runs) == (None, "p", 2)

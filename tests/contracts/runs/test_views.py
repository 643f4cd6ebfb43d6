"""A run as it is shown: what is stored, whole, and as it stands at the moment of the question."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.api.schemas import Links, RunShown
from mmm_workflows.api.view import as_json
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.listing import Listing
from mmm_workflows.db.outbox import Outbox
from mmm_workflows.db.runs import RunStore
from mmm_workflows.db.views import Views
from mmm_workflows.errors import MMMError, RunNotFound
from mmm_workflows.records import Depth, ErrorInfo, Json, Run, RunStatus

from .conftest import database

RESULTS: list[Json | None] = [
    None,
    {},
    {"status": "succeeded", "channels": [{"roas": 1.2345678901234567, "none": None}]},
    {
        "text": 'Zoë said "ja" — \\ 東京 \u2028 </script> \x1f',
        "deep": [[[{"a": [True, -0.0, 1e-7]}]]],
    },
    {"large": 2**53 + 1, "small": 5e-324, "most": 1.7976931348623157e308},
]
FROM_ELSEWHERE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.execute("UPDATE runs SET status = 'cancelled', progress = 0.5 WHERE workflow_id = 'r'")
"""


def made(**more: object) -> Run:
    values = {"workflow_id": "r", "workflow": "eda", "seed": 1, "graph_version": "1", "request": {}}
    return Run.model_validate({**values, **more})


@pytest.mark.parametrize("result", RESULTS)
async def test_the_bytes_say_what_the_schema_of_the_answer_says(
    engine: AsyncEngine, result: Json | None
) -> None:
    store = RunStore(engine)
    error = None if result else ErrorInfo(code="fit_died", message="It died.\nTry “again”.")
    run = made(
        project="brand", depth=Depth.FULL, seed=2**62, step="fit", progress=1 / 3, error=error,
        status=RunStatus.FAILED if error else RunStatus.SUCCEEDED, result=result,
        created_at=datetime(2026, 1, 5, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip
    await store.create(run)
    shown = json.loads(as_json(await Views(engine).run("r")))
    kept = (await store.get("r")).model_dump(include=set(RunShown.model_fields))
    whole = RunShown.model_validate({**kept, "memory": None, "links": Links.of("r")})
    assert shown == whole.model_dump(mode="json")
    assert RunShown.model_validate(shown).updated_at == run.updated_at


async def test_each_change_is_seen_by_the_next_question_also_through_another_door(
    engine: AsyncEngine,
) -> None:
    views = Views(engine)
    async with engine.connect():  # what is held open here keeps nobody from seeing
        other = await open_database(engine.url.render_as_string(hide_password=False))
        try:
            store = RunStore(other)
            await store.create(made())
            assert (await views.run("r")).status is RunStatus.QUEUED
            for number in range(1, 6):
                await store.append_event(
                    "r", status=RunStatus.RUNNING, step=f"s{number}", progress=number / 10,
                    message="on",
                )  # fmt: skip
                view = await views.run("r")
                assert (view.step, view.progress) == (f"s{number}", number / 10)
            for result in ({"n": 1}, {"n": 2}, None):
                await store.update("r", status=RunStatus.WAITING, result=result)
                found = (await views.run("r")).result
                assert (None if found is None else json.loads(found)) == result
            await store.delete("r")
            with pytest.raises(RunNotFound):
                await views.run("r")
            await store.create(made(project="another"))
            assert (await views.run("r")).project == "another"
        finally:
            await other.dispose()


async def test_what_memory_took_of_a_result_is_said(engine: AsyncEngine) -> None:
    store, views, outbox = RunStore(engine), Views(engine), Outbox(engine)
    await store.create(made())
    await store.update("r", result={"status": "waiting"})
    assert (await views.run("r")).memory is None
    await store.update("r", result={"status": "succeeded"})
    assert (await views.run("r")).memory == "queued"
    [entry] = await outbox.waiting()
    await outbox.delay(entry, entry.missing, "the graph is away")
    assert (await views.run("r")).memory == "delayed: the graph is away"
    await outbox.finish(entry)
    assert (await views.run("r")).memory == "kept"
    await store.update("r", result=None)
    assert (await views.run("r")).memory is None


async def test_an_outline_is_the_run_without_its_result(engine: AsyncEngine) -> None:
    store, views = RunStore(engine), Views(engine)
    await store.create(made())
    assert await views.outline("r") == await views.run("r")
    await store.update("r", status=RunStatus.SUCCEEDED, result={"status": "succeeded"})
    whole = await views.run("r")
    assert whole.result is not None and whole.memory == "queued"
    assert await views.outline("r") == replace(whole, result=None)
    with pytest.raises(RunNotFound):
        await views.outline("none")


async def test_a_list_holds_the_outlines_of_what_is_asked_for(engine: AsyncEngine) -> None:
    store, views = RunStore(engine), Views(engine)
    for number, (project, workflow) in enumerate(
        [("a", "eda"), ("a", "whatif"), ("b", "eda"), ("c", "eda")]
    ):
        at = datetime(2026, 1, 5, 3, number // 2, tzinfo=UTC)
        named = f"r{number}"
        await store.create(
            made(workflow_id=named, project=project, workflow=workflow, created_at=at)
        )
        if number % 2:
            await store.update(named, status=RunStatus.SUCCEEDED, result={"status": "succeeded"})

    async def listed(**asked: Unpack[Listing]) -> list[str]:
        found = await views.list(**asked)
        assert found == [await views.outline(view.workflow_id) for view in found]
        # The records are listed by the same rule.
        assert [view.workflow_id for view in found] == [
            run.workflow_id for run in await store.list(**asked)
        ]
        return [view.workflow_id for view in found]

    assert await listed() == ["r3", "r2", "r1", "r0"]
    assert await listed(limit=2) == ["r3", "r2"]
    assert await listed(project="a") == ["r1", "r0"]
    assert await listed(projects=("b", "c"), workflow="eda") == ["r3", "r2"]
    assert await listed(status=RunStatus.SUCCEEDED) == ["r3", "r1"]
    third = await views.outline("r2")
    assert await listed(before=(third.created_at, "r2")) == ["r1", "r0"]
    assert [view.memory for view in await views.list()] == ["queued", None, "queued", None]


async def test_what_another_process_commits_is_seen_at_once(tmp_path: Path) -> None:
    async with database("sqlite", tmp_path) as engine:
        store, views = RunStore(engine), Views(engine)
        await store.create(made())
        assert (await views.run("r")).status is RunStatus.QUEUED
        subprocess.run([sys.executable, "-c", FROM_ELSEWHERE, tmp_path / "runs.db"], check=True)
        view = await views.run("r")
        assert (view.status, view.progress) == (RunStatus.CANCELLED, 0.5)
        assert (await store.get("r")).status is RunStatus.CANCELLED


async def test_what_a_later_version_stored_is_refused_by_name(engine: AsyncEngine) -> None:
    await RunStore(engine).create(made(schema_version=99))
    with pytest.raises(MMMError, match="schema_version 99"):
        await Views(engine).run("r")

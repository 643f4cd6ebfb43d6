"""A deletion that failed or died on the way is finished by another one, and says nothing too early."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError, ServiceUnavailable, UserError
from mmm_workflows.mmm.partial_folders import owner_name
from mmm_workflows.records import Artifact
from mmm_workflows.workflows.contracts import EdaRequest, ResearchRequest
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
TABLE = b"date,sales,tv\n2024-01-01,1,2\n2024-01-08,2,3\n"
KEY = "0123456789abcdef"
NO_TOMBSTONE = (
    "CREATE TRIGGER no_tombstone BEFORE INSERT ON memory_outbox WHEN NEW.workflow_id IS NULL "
    "BEGIN SELECT RAISE(ABORT, 'it dies here'); END"
)


class Died(Exception):
    """In the place of a kill."""


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def submit(runner: Runner, *names: str, project: str = "p") -> None:
    for name in names:
        await runner.submit("research", QUESTION, workflow_id=name, project=project)


async def keep(runner: Runner, *names: str, content: bytes, project: str = "p") -> Artifact:
    """Content that these runs have registered; of none of them, it was kept before a kill."""
    kept = await runner.services.artifacts.put_file(
        project, "note", content, workflow_id="any", name="note.txt"
    )
    for name in names:
        await runner.services.runs.register_artifact(kept.model_copy(update={"workflow_id": name}))
    return kept


async def names(runner: Runner) -> set[str]:
    return {run.workflow_id for run in await runner.list()}


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def shared_by_machines(settings: Settings, store: Path) -> Settings:
    store.mkdir()
    return settings.model_copy(update={"artifacts_url": str(store)})


def dies_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let the removal of a record die, the so many-th of all."""
    left, delete = [call], RunStore.delete

    async def dying(self: RunStore, workflow_id: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Died
        await delete(self, workflow_id)

    monkeypatch.setattr(RunStore, "delete", dying)


async def test_a_run_whose_files_cannot_be_removed_is_there_to_be_deleted_again(
    settings: Settings, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    async with open_runner(shared_by_machines(settings, store)) as runner:
        await submit(runner, "r1", "r2")
        kept = await keep(runner, "r1", content=b"a note")
        store.rename(away)
        with pytest.raises(ServiceUnavailable, match="ARTIFACTS_URL"):
            await runner.delete("r1")
        away.rename(store)
        assert await names(runner) == {"r1", "r2"}
        assert await runner.delete_run("r1", "p") == 1
        assert not Path(kept.path).exists()
        assert files(store) == ["mmm-workflows.json"]


async def test_between_its_files_and_its_record_a_run_says_that_its_file_is_missing(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(runner, "r1")
    kept = await keep(runner, "r1", content=b"a note")
    dies_at(monkeypatch, 1)
    with pytest.raises(Died):
        await runner.delete_run("r1", "p")
    assert await names(runner) == {"r1"}
    with pytest.raises(UserError, match="missing") as caught:
        await runner.services.artifacts.open(kept)
    assert caught.value.code == "artifact_damaged"
    assert await runner.delete_run("r1", "p") == 1


async def test_a_pipeline_that_dies_between_its_parts_is_deleted_by_its_name_again(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"query": "Build MMM", "user_query": "What if", "data_sources": ["a.csv"]}
    await runner.submit("pipeline", read_request("pipeline", asked), workflow_id="w", seed=7)
    await runner.submit("research", QUESTION, workflow_id="w.research", seed=7)
    await runner.submit("eda", EdaRequest(data_sources=("a.csv",)), workflow_id="w.eda", seed=7)
    dies_at(monkeypatch, 2)
    with pytest.raises(Died):
        await runner.delete_run("w", "default")
    assert "w" in await names(runner)
    assert await runner.delete_run("w", "default") == 2
    assert await names(runner) == set()


async def test_what_two_runs_share_goes_with_both_also_when_they_go_at_once(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(runner, "a", "b")
    kept = await keep(runner, "a", "b", content=b"of both")
    delete, both = RunStore.delete, asyncio.Barrier(2)

    async def at_once(self: RunStore, workflow_id: str) -> None:
        await both.wait()
        await delete(self, workflow_id)

    monkeypatch.setattr(RunStore, "delete", at_once)
    await asyncio.gather(*(runner.delete_run(name, "p") for name in ("a", "b")))
    assert not Path(kept.path).exists()


async def test_what_another_run_uses_stays_when_a_run_goes(runner: Runner) -> None:
    await submit(runner, "a", "b")
    kept = await keep(runner, "a", "b", content=b"of both")
    assert await runner.delete_run("a", "p") == 1
    await runner.services.artifacts.verify(kept)


async def test_what_cannot_be_removed_here_is_said_and_the_run_stays(runner: Runner) -> None:
    await submit(runner, "r1")
    kept = await keep(runner, "r1", content=b"a note")
    place = Path(kept.path).parent
    elsewhere = place.rename(place.with_name("elsewhere"))
    # What shutil removes from nobody, whoever asks.
    place.symlink_to(elsewhere)
    with pytest.raises(ServiceUnavailable, match="cannot be removed"):
        await runner.delete_run("r1", "p")
    place.unlink()
    elsewhere.rename(place)
    assert await runner.delete_run("r1", "p") == 1
    assert not place.exists()


async def test_a_model_that_cannot_be_removed_is_said(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    models = runner.services.models
    models.root.mkdir(parents=True, exist_ok=True)
    for place, remove in (
        (models.root / "p", models.remove_project("p")),
        (models.root / "q" / KEY, models.remove(models.root / "q" / KEY)),
    ):
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(tmp_path / "disk")
        with pytest.raises(ServiceUnavailable, match="cannot be removed"):
            await remove
    await models.remove(models.root / "q" / "gone")


async def test_what_a_dead_fit_began_goes_with_its_run_and_a_live_one_s_stays(
    runner: Runner, settings: Settings
) -> None:
    await submit(runner, "r1")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    begun = {}
    for root in (settings.models, settings.outputs):
        for pid in (dead.pid, os.getpid()):
            folder = root / "p" / f".x{pid}.{owner_name(pid)}.partial"
            folder.mkdir(parents=True)
            (folder / "job.json").write_text("the model's choices")
            begun[folder] = pid != dead.pid
    assert await runner.delete_run("r1", "p") == 1
    assert {folder: folder.exists() for folder in begun} == begun


async def test_a_project_that_dies_before_its_tombstone_gets_it_from_the_next_deletion(
    runner: Runner, settings: Settings
) -> None:
    await submit(runner, "r1", "r2")
    with closing(sqlite3.connect(settings.home / "runs.db")) as file:
        file.execute(NO_TOMBSTONE)
        with pytest.raises(Exception, match="it dies here"):
            await runner.delete_project("p")
        file.execute("DROP TRIGGER no_tombstone")
    assert await runner.delete_project("p") == 1
    assert [left.project for left in await runner.memory.forgotten()] == ["p"]
    with pytest.raises(RunError) as caught:
        await runner.delete_project("p")
    assert caught.value.code == "run_not_found"


@pytest.mark.parametrize("runs", [(), ("r1", "r2")])
async def test_a_project_whose_files_lie_there_is_not_said_to_be_forgotten(
    settings: Settings, tmp_path: Path, runs: tuple[str, ...]
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    async with open_runner(shared_by_machines(settings, store)) as runner:
        await submit(runner, *runs)
        await runner.uploads.keep(io.BytesIO(TABLE), name="sales.csv", project="p")
        store.rename(away)
        with pytest.raises(ServiceUnavailable):
            await runner.delete_project("p")
        assert await runner.memory.forgotten() == ()
        away.rename(store)
        await runner.delete_project("p")
        assert [left.project for left in await runner.memory.forgotten()] == ["p"]
        assert files(store) == ["mmm-workflows.json"]

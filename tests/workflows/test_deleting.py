"""What is removed with a run or a project, and what is not: another's, a namesake, a look-alike."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from mmm_workflows.api.main import create_app
from mmm_workflows.cli.follow import delete_named
from mmm_workflows.config import Settings
from mmm_workflows.errors import RunError
from mmm_workflows.records import RunView
from mmm_workflows.workflows.contracts import EdaRequest, ResearchRequest
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

QUESTION = ResearchRequest(query="Build MMM for beverage brand")
TABLE = b"date,sales,tv\n2024-01-01,1,2\n2024-01-08,2,3\n"
PIPELINE = read_request(
    "pipeline", {"query": "Build MMM", "user_query": "What if", "data_sources": ["a.csv"]}
)


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def names(runner: Runner) -> set[str]:
    return {run.workflow_id for run in await runner.list()}


async def upload(runner: Runner, project: str) -> Path:
    kept = await runner.uploads.keep(io.BytesIO(TABLE), name="sales.csv", project=project)
    return Path(kept.path)


async def refused(runner: Runner, name: str, project: str) -> str:
    with pytest.raises(RunError) as caught:
        await runner.delete_run(name, project)
    return caught.value.code


async def test_a_run_that_is_gone_is_not_taken_for_a_project_of_its_name(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1", project="brand")
    assert await refused(runner, "brand", "default") == "run_not_found"
    assert await names(runner) == {"r1"}


async def test_a_run_of_another_project_is_not_removed(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1", project="brand")
    assert await refused(runner, "r1", "default") == "run_not_found"
    assert await names(runner) == {"r1"}
    assert await runner.delete_run("r1", "brand") == 1


async def test_a_project_is_removed_and_a_run_of_its_name_in_another_is_not(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="brand", project="other")
    await runner.submit("research", QUESTION, workflow_id="r1", project="brand")
    assert await runner.delete_project("brand") == 1
    assert await names(runner) == {"brand"}


async def test_the_last_run_of_a_project_of_its_name_leaves_the_uploads(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="brand", project="brand")
    kept = await upload(runner, "brand")
    assert await runner.delete_run("brand", "brand") == 1
    assert kept.exists()


async def test_the_command_line_decides_once_between_a_run_and_a_project(runner: Runner) -> None:
    await runner.submit("research", QUESTION, workflow_id="brand", project="other")
    await runner.submit("research", QUESTION, workflow_id="r1", project="brand")
    for left in ({"r1"}, set[str]()):
        assert (await delete_named(runner, "brand"))["deleted"] == 1
        assert await names(runner) == left
    with pytest.raises(RunError) as caught:
        await delete_named(runner, "brand")
    assert caught.value.code == "run_not_found"


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as opened,
    ):  # fmt: skip
        yield opened


async def test_over_rest_a_run_that_goes_meanwhile_takes_no_project_along(
    client: httpx.AsyncClient, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runner.submit("research", QUESTION, workflow_id="kept", project="twin")
    await runner.submit("research", QUESTION, workflow_id="twin", project="default")
    look = Runner.outline

    async def look_and_lose(self: Runner, workflow_id: str) -> RunView:
        run = await look(self, workflow_id)
        await self.services.runs.delete(workflow_id)
        return run

    monkeypatch.setattr(Runner, "outline", look_and_lose)
    assert (await client.delete("/workflow/twin")).status_code == 404
    assert await names(runner) == {"kept"}


async def test_over_rest_a_run_of_the_project_s_name_neither_goes_nor_hinders(
    client: httpx.AsyncClient, runner: Runner
) -> None:
    await runner.submit("research", QUESTION, workflow_id="r1", project="twin")
    await runner.submit("research", QUESTION, workflow_id="twin", project="default")
    assert (await client.delete("/project/twin")).json()["deleted"] == 1
    assert await names(runner) == {"twin"}
    gone = await client.delete("/project/twin")
    assert (gone.status_code, gone.json()["code"]) == (404, "run_not_found")


async def test_a_run_takes_none_along_whose_name_only_begins_like_its_own(runner: Runner) -> None:
    for name in ("plan", "plan.v2", "plan.research"):
        await runner.submit("research", QUESTION, workflow_id=name)
    async with runner.services.claims.hold("plan.v2"):
        assert await runner.delete_run("plan", "default") == 1
    assert await names(runner) == {"plan.v2", "plan.research"}


async def test_a_pipeline_takes_its_parts_along_and_no_other_run(runner: Runner) -> None:
    table = EdaRequest(data_sources=("a.csv",))
    await runner.submit("pipeline", PIPELINE, workflow_id="p", seed=7)
    await runner.submit("research", QUESTION, workflow_id="p.research", seed=7)
    await runner.submit("eda", table, workflow_id="p.eda", seed=8)
    await runner.submit("pipeline", PIPELINE, workflow_id="p.pipeline", seed=7)
    await runner.submit("research", QUESTION, workflow_id="p.v2", seed=7)
    await runner.submit("research", QUESTION, workflow_id="p.pipeline.research", seed=7)
    assert await runner.delete_run("p", "default") == 2
    assert await names(runner) == {"p.eda", "p.pipeline", "p.v2", "p.pipeline.research"}


async def test_a_cancelled_pipeline_ends_only_what_is_a_part_of_it(runner: Runner) -> None:
    await runner.submit("pipeline", PIPELINE, workflow_id="p", seed=7)
    await runner.submit("research", QUESTION, workflow_id="p.research", seed=7)
    await runner.submit("pipeline", PIPELINE, workflow_id="p.pipeline", seed=7)
    await runner.cancel("p")
    found = {run.workflow_id: str(run.status) for run in await runner.list()}
    assert found == {"p": "cancelled", "p.research": "cancelled", "p.pipeline": "queued"}


async def test_a_pipeline_with_a_busy_part_is_refused_whole(runner: Runner) -> None:
    await runner.submit("pipeline", PIPELINE, workflow_id="p")
    await runner.submit("research", QUESTION, workflow_id="p.research")
    async with runner.services.claims.hold("p.research"):
        assert await refused(runner, "p", "default") == "run_busy"
    assert await names(runner) == {"p", "p.research"}


async def test_uploads_without_a_run_are_a_project(runner: Runner) -> None:
    kept, other = await upload(runner, "brand-a"), await upload(runner, "brand-a-b")
    assert await runner.delete_project("brand-a") == 0
    assert not kept.exists() and other.exists()
    (left,) = await runner.memory.forgotten()
    assert (left.project, left.runs) == ("brand-a", 0)
    with pytest.raises(RunError) as caught:
        await runner.delete_project("brand-a")
    assert caught.value.code == "run_not_found"


async def test_a_model_without_a_run_is_a_project(runner: Runner, settings: Settings) -> None:
    model = settings.models / "brand" / ("0" * 16)
    model.mkdir(parents=True)
    (model / "manifest.json").write_text("{}")
    assert await runner.delete_project("brand") == 0
    assert not model.exists()


async def test_what_memory_has_yet_to_forget_is_a_project(runner: Runner) -> None:
    await runner.start("research", QUESTION, workflow_id="r1", project="brand")
    await runner.services.runs.delete("r1")
    assert await runner.services.outbox.waiting("brand")
    for store in (runner.services.artifacts, runner.services.uploads, runner.services.models):
        shutil.rmtree(store.root / "brand", ignore_errors=True)
    assert await runner.delete_project("brand") == 0
    assert await runner.services.outbox.waiting("brand") == []


async def test_what_lies_only_where_machines_share_it_is_a_project(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    shared = settings.model_copy(update={"artifacts_url": str(tmp_path / "store")})
    async with open_runner(shared) as runner:
        await upload(runner, "brand")
        shutil.rmtree(settings.uploads)
        assert await runner.delete_project("brand") == 0
        assert [p for p in (tmp_path / "store" / "uploads").rglob("*") if p.is_file()] == []

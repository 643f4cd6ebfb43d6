"""A machine with empty folders goes on with what another one left, through the store they share."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES
from mmm_workflows.records import DEFAULT_PROJECT
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner


@pytest.fixture
def shared(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "store").mkdir()
    return settings.model_copy(update={"artifacts_url": str(tmp_path / "store")})


@pytest.fixture
async def runner(shared: Settings) -> AsyncIterator[Runner]:
    async with open_runner(shared) as opened:
        yield opened


def another_machine(settings: Settings) -> None:
    """Its folders have the same paths and nothing in them."""
    for folder in (settings.uploads, settings.outputs, settings.models):
        shutil.rmtree(folder, ignore_errors=True)


def kept_in(settings: Settings, part: str) -> list[str]:
    root = Path(settings.artifacts_url or "") / part
    return [p.name for p in root.rglob("*") if p.is_file()]


async def test_data_artifacts_and_lineage_are_at_hand_on_a_second_machine_until_they_are_forgotten(
    runner: Runner, shared: Settings
) -> None:
    plan = SALES.model_copy(update={"periods": 60, "start": date(2024, 1, 1)})
    content = make_world(plan, 4).csv()
    upload = await runner.uploads.keep(io.BytesIO(content), name="sales.csv")
    asked = read_request("eda", {"data_sources": [upload.path], "currency": "EUR"})
    first = await runner.start("eda", asked, workflow_id="first")

    another_machine(shared)
    (listed,) = await runner.shelf.datasets(None, limit=10)
    assert (listed.dataset_id, listed.path) == (upload.dataset_id, upload.path)
    another_machine(shared)
    assert await runner.shelf.path_of(DEFAULT_PROJECT, upload.dataset_id) == upload.path

    another_machine(shared)
    # The request names an upload, and what was done with the same file before is looked up.
    second = await runner.start("eda", asked, workflow_id="second")
    assert second["earlier"]["workflow_id"] == "first"

    another_machine(shared)
    for artifact in await runner.shelf.artifacts("first"):
        assert (await runner.shelf.open(artifact)).exists()
    another_machine(shared)
    chain = (await runner.memory.lineage("first", project=DEFAULT_PROJECT)).chain
    assert [link.name for link in chain.all() if link.missing and "file" in link.missing] == []

    mff, other = (Path(result["mff_data_path"]).parents[1].name for result in (first, second))
    store = Path(shared.artifacts_url or "") / "outputs" / DEFAULT_PROJECT
    await runner.delete("first")
    assert not (store / mff).exists() and (store / other).exists()
    await runner.delete_project(DEFAULT_PROJECT)
    assert kept_in(shared, "outputs") == kept_in(shared, "uploads") == []

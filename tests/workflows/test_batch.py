"""Many brands from one file: read strictly, fitted apart, and on a cluster that loses a worker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path

import pytest
from services.dask_cluster import dask_cluster
from typer.testing import CliRunner

from mmm_workflows.cli.app import app
from mmm_workflows.config import Settings
from mmm_workflows.errors import UserError
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES
from mmm_workflows.records import Event, RunStatus
from mmm_workflows.workflows.batch import Batch, Brand, read_batch, run_batch
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

CACHE = Path(__file__).parents[2] / ".cache"
README = Path(__file__).parents[2] / "README.md"
TRANSFORMATIONS = "{trend_knots: 0, yearly_seasonality: 0}"


def write(folder: Path, text: str) -> Path:
    path = folder / "batch.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def sales(folder: Path, name: str, seed: int) -> None:
    plan = SALES.model_copy(update={"periods": 60, "start": date(2024, 1, 1)})
    (folder / name).write_bytes(make_world(plan, seed).csv())


def entry(name: str, file: str) -> str:
    return (
        f"  - {{brand: {name}, data: [{file}], currency: EUR, target_unit: EUR, "
        f"transformations: {TRANSFORMATIONS}}}\n"
    )


def test_paths_are_relative_to_the_file_and_what_is_left_out_has_its_default(
    tmp_path: Path,
) -> None:
    read = read_batch(write(tmp_path, "name: spring\nbrands:\n  - {brand: a, data: [x/a.csv]}\n"))
    assert read.brands[0].data == [str(tmp_path / "x" / "a.csv")]
    assert (read.seed, read.depth) == (42, "standard")


def test_the_file_of_the_readme_is_taken(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(name: spring.*?)```", README.read_text("utf-8"), re.DOTALL)
    (brand,) = read_batch(write(tmp_path, text)).brands
    assert brand.channels == ["TV_Spend", "Radio_Spend"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nbrands:\n  - {brand: b, data: [c], chanels: [TV]}\n", "Did you mean 'channels'"),
        ("name: a\nbrand: []\n", "Did you mean 'brands'"),
        ("name: a\nbrands: []\n", "at brands"),
        ("name: a\nbrands:\n  - {brand: b}\n", "at brands.1.data"),
        ("name: a\nbrands:\n  - {brand: b, data: c.csv}\n", "at brands.1.data"),
        ("name: a.b\nbrands:\n  - {brand: b, data: [c]}\n", "at name"),
        ("name: a\ndepth: deep\nbrands:\n  - {brand: b, data: [c]}\n", "at depth"),
        ("name: a\nseed: '1'\nbrands:\n  - {brand: b, data: [c]}\n", "at seed"),
        ("name: a\nname: b\nbrands: []\n", "'name' is written twice"),
        ("name: a\nbrands:\n  - {brand: b, data: [c]}\n  - {brand: b, data: [d]}\n", "names b twice"),
        ("name: [\n", "is no YAML"),
        ("", "at its top"),
        ("- a\n", "at its top"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_batch(write(tmp_path, text))
    assert said in caught.value.message


def test_an_entry_takes_over_what_another_says_and_writes_some_of_it_anew(tmp_path: Path) -> None:
    text = (
        "name: a\nbrands:\n"
        "  - &north\n    brand: north\n    data: [n.csv]\n    target: Sales\n    currency: EUR\n"
        "    transformations: &plain {trend_knots: 0, yearly_seasonality: 0}\n"
        "  - {<<: *north, brand: south, data: [s.csv]}\n"
        "  - {<<: [*north], brand: west, transformations: {<<: *plain, trend_knots: 2}}\n"
    )
    north, south, west = read_batch(write(tmp_path, text)).brands
    assert south == north.model_copy(update={"brand": "south", "data": [str(tmp_path / "s.csv")]})
    assert west.transformations == {"trend_knots": 2, "yearly_seasonality": 0}
    assert (west.data, west.currency) == (north.data, "EUR")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("  - &n {brand: b, data: [c]}\n  - {<<: *n, brand: d, brand: e}\n", "'brand' is written twice"),
        ("  - {<<: {brand: b, brand: c}, data: [c]}\n", "'brand' is written twice"),
        ("  - {<<: 3, brand: b, data: [c]}\n", "is no YAML"),
        ("  - {brand: b, data: [c], <<: {chanels: [TV]}}\n", "Did you mean 'channels'"),
    ],
)  # fmt: skip
def test_what_is_taken_over_is_read_as_strictly(entries: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_batch(write(tmp_path, f"name: a\nbrands:\n{entries}"))
    assert said in caught.value.message


def test_what_is_taken_over_again_and_again_does_not_grow_without_end(tmp_path: Path) -> None:
    steps = [
        f"      x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
    ]
    text = (
        "name: a\nbrands:\n  - brand: b\n    data: [c]\n    transformations:\n"
        f"      x0: &x0 {{trend_knots: 0}}\n{''.join(steps)}"
    )
    with pytest.raises(UserError, match="more than 1000 keys"):
        read_batch(write(tmp_path, text))


def test_a_batch_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["batch", str(tmp_path / "no.yaml"), "--json"])
    assert result.exit_code == 2
    assert "cannot be read" in json.loads(result.stdout)["message"]


async def _nothing_lost(runner: Runner, batch_name: str) -> None:
    for run in await runner.list():
        events = await runner.events(run.workflow_id)
        assert run.workflow_id.startswith(f"{batch_name}.")
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        ends = [e.status for e in events if e.status.is_final]
        assert ends == [run.status], "it ended once"


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def test_a_brand_that_fails_stands_in_its_row_and_is_tried_again_by_a_second_call(
    runner: Runner, tmp_path: Path
) -> None:
    brands = [Brand(brand=name, data=[str(tmp_path / f"{name}.csv")]) for name in ("a", "b")]
    batch, seen = Batch(name="spring", brands=brands), list[Event]()
    result = await run_batch(runner, batch, at_once=2, on_event=seen.append)
    assert [(r.brand, r.status, r.error and r.error.code) for r in result.rows] == [
        ("a", "failed", "dataset_not_found"), ("b", "failed", "dataset_not_found"),
    ]  # fmt: skip
    assert result.failed == 2
    assert {e.message.partition(":")[0] for e in seen} == {"a", "b"}
    again = await run_batch(runner, batch, at_once=1, on_event=seen.append)
    assert [r.workflow_ids for r in again.rows] == [r.workflow_ids for r in result.rows]
    (tmp_path / "a.csv").write_text("a table\n")
    other = await run_batch(runner, batch, at_once=1, on_event=seen.append)
    assert other.rows[0].workflow_ids != again.rows[0].workflow_ids, "other content, other runs"
    assert other.rows[1].workflow_ids == again.rows[1].workflow_ids


@pytest.mark.slow
def test_the_command_prints_one_table_and_says_by_its_code_that_one_failed(tmp_path: Path) -> None:
    sales(tmp_path, "a.csv", 4)
    text = "name: spring\ndepth: quick\nbrands:\n" + entry("nord", "a.csv") + entry("sud", "no.csv")
    file = write(tmp_path, text)
    first = CliRunner().invoke(app, ["batch", str(file)])
    assert first.exit_code == 1, first.output
    assert "ROAS as mean and 94 % HDI" in first.stdout
    assert "nord" in first.stdout and "sud: dataset_not_found" in first.stdout
    again = CliRunner().invoke(app, ["batch", str(file), "--json"])
    assert again.exit_code == 1
    nord, sud = json.loads(again.stdout)["rows"]
    assert (nord["status"], sud["status"]) == ("succeeded", "failed")
    roas = nord["channels"][0]["roas"]
    assert roas["hdi_low"] < roas["mean"] < roas["hdi_high"]
    assert 0 < nord["mape"] < 1


@asynccontextmanager
async def _command(file: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``mmm-workflows batch FILE --json`` as a process of its own, gone after the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from mmm_workflows.cli import main; main()",
        "batch", str(file), "--at-once", "2", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=file.parent, env={**os.environ, **settings},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _messages(runner: Runner) -> list[str]:
    runs = await runner.list()
    return [e.message for run in runs for e in await runner.events(run.workflow_id)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_batch_on_two_dask_workers_survives_the_death_of_one_and_loses_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    """The workers share no folder with the caller: data and models go through an fsspec URL."""
    sales(tmp_path, "a.csv", 4)
    sales(tmp_path, "b.csv", 5)
    text = "name: spring\ndepth: quick\nbrands:\n" + entry("a", "a.csv") + entry("b", "b.csv")
    file, store = write(tmp_path, text), tmp_path / "store"
    (tmp_path / "dask").mkdir()
    store.mkdir()
    shared = {"ARTIFACTS_URL": f"file://{store}"}
    theirs = {"MMM_CACHE": str(CACHE), **shared}
    used = settings.model_copy(update={"artifacts_url": shared["ARTIFACTS_URL"]})
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(
            dask_cluster(tmp_path / "dask", workers=2, environment=theirs)
        )
        process = await stack.enter_async_context(
            _command(file, DASK_SCHEDULER=cluster.address, **shared)
        )
        runner = await stack.enter_async_context(open_runner(used))
        async with asyncio.timeout(600):
            while not any("draws" in said for said in await _messages(runner)):
                assert process.returncode is None
                await asyncio.sleep(0.2)
        cluster.kill_one_that_fits()
        out, log = await asyncio.wait_for(process.communicate(), 900)
        assert process.returncode == 0, log.decode()
        rows = json.loads(out)["rows"]
        assert [row["status"] for row in rows] == [RunStatus.SUCCEEDED] * 2
        assert any("fitting again: the Dask worker" in said for said in await _messages(runner))
        models = {Path(row["model_artifact_path"]) for row in rows}
        assert len(models) == 2
        for model in models:
            open_model(model).verify()
        await _nothing_lost(runner, "spring")
        assert len(await runner.list()) == 4
        # What another machine finds: nothing here, all of it in the store.
        shutil.rmtree(settings.models)
        shutil.rmtree(settings.outputs)
        for row in rows:
            assert await runner.shelf.model(row["workflow_ids"][-1], None) in models
        for model in models:
            open_model(model).verify()
        again = await run_batch(runner, read_batch(file), at_once=2, on_event=lambda event: None)
        assert again.model_dump(mode="json")["rows"] == rows
        plan = {
            "model_artifact_path": rows[0]["model_artifact_path"],
            "mff_data_path": (await runner.get(rows[0]["workflow_ids"][0])).result["mff_data_path"],
            "user_query": "What if we increase TV spend by 20%?",
        }
        shutil.rmtree(settings.models)
        asked = read_request("whatif", plan)
        assert (await runner.start("whatif", asked, project="a"))["status"] == "succeeded"
    assert not list(settings.models.rglob("*.partial"))
    assert [p.name for p in (store / "dask").rglob("*") if p.is_file()] == []

"""What only a cluster can do wrong: workers that die, that are no use, and callers that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from services.dask_cluster import Cluster, dask_cluster
from services.quick_fit import quick_place

from mmm_workflows.bootstrap import open_services
from mmm_workflows.config import Settings
from mmm_workflows.db.shared_folder import FolderFiles
from mmm_workflows.db.shared_store import SharedStore
from mmm_workflows.errors import FitFailed, ServiceUnavailable
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.ports import FitJob, FitProgress
from mmm_workflows.tools import dask_compute, dask_meeting
from mmm_workflows.tools.compute import code_version
from mmm_workflows.tools.dask_compute import DaskCompute, dask_place, open_dask_compute
from mmm_workflows.tools.dask_meeting import Token
from mmm_workflows.tools.models import Models

from .conftest import TESTS, fits_into, long, until


@pytest.fixture
async def compute(cluster: Cluster, models: Path) -> AsyncIterator[DaskCompute]:
    async with open_dask_compute(cluster.address, models, place=quick_place) as opened:
        yield opened


async def test_a_fit_whose_worker_is_killed_is_made_on_another_one_and_says_so(
    cluster: Cluster, compute: DaskCompute, job: FitJob, models: Path
) -> None:
    seen: list[FitProgress] = []
    fit = asyncio.create_task(compute.fit(job, seen.append))
    await until(lambda: bool(fits_into(models)) or fit.done())
    cluster.kill_one_that_fits()
    cluster.add_worker()
    outcome = await asyncio.wait_for(fit, 300)
    open_model(outcome.folder).verify()
    assert [p.stage for p in seen if "fitting again" in p.stage and "died" in p.stage]
    assert fits_into(models) == []
    assert not list(models.rglob("*.partial")), "what the dead worker left is swept"


async def test_a_fit_ends_when_its_caller_is_gone(
    cluster: Cluster, job: FitJob, models: Path
) -> None:
    async with open_dask_compute(cluster.address, models, place=quick_place) as compute:
        fit = asyncio.create_task(compute.fit(long(job), lambda p: None))
        await until(lambda: bool(fits_into(models)) or fit.done())
    # The connection is closed, as the kernel closes it for a process that was killed.
    await until(lambda: fits_into(models) == [])
    with pytest.raises(ServiceUnavailable, match="lost the fit"):
        await asyncio.wait_for(fit, 30)


async def test_a_fit_whose_scheduler_is_killed_is_a_failure_of_the_operator(
    job: FitJob,
    models: Path,
    tmp_path: Path,
    exchange: SharedStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bare = {
        "MMM_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(TESTS),
        # How long a worker looks for its scheduler before it gives up.
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
        # As Dask comes.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3",
    }
    with dask_cluster(tmp_path, workers=1, environment=bare) as private:
        through = open_dask_compute(private.address, models, place=quick_place, exchange=exchange)
        with pytest.raises(ServiceUnavailable, match="has no ARTIFACTS_URL") as refused:
            async with through:
                pass
        assert exchange.where in refused.value.message
        async with open_dask_compute(private.address, models, place=quick_place) as compute:
            assert "sent to up to 3 others" in caplog.text and "ALLOWED_FAILURES=0" in caplog.text
            fit = asyncio.create_task(compute.fit(long(job), lambda p: None))
            await until(lambda: bool(fits_into(models)) or fit.done())
            await compute.check()
            private.scheduler.kill()
            with pytest.raises(ServiceUnavailable, match="lost the fit"):
                await asyncio.wait_for(fit, 120)
            with pytest.raises(ServiceUnavailable, match=f"{private.address} .*does not answer"):
                await compute.check()
            await until(lambda: fits_into(models) == [])


async def test_a_worker_without_the_shared_folder_or_the_data_says_which_setting_to_look_at(
    compute: DaskCompute, job: FitJob, models: Path
) -> None:
    token = Token(code_version(), file=models / "not there")
    apart = DaskCompute(compute._client, Models(models), token, quick_place)
    with pytest.raises(FitFailed, match="MODEL_DIR must be a folder"):
        await apart.fit(job, lambda p: None)
    moved = job.model_copy(update={"mff_path": Path("/not/there.csv")})
    with pytest.raises(FitFailed, match="OUTPUT_DIR must be a folder"):
        await compute.fit(moved, lambda p: None)


async def test_a_worker_on_another_store_is_refused_at_the_start(
    cluster: Cluster, models: Path, tmp_path: Path
) -> None:
    other = SharedStore(FolderFiles(tmp_path))
    other.open()
    through = open_dask_compute(cluster.address, models, place=quick_place, exchange=other)
    with pytest.raises(ServiceUnavailable, match=r"its ARTIFACTS_URL \(file://.*is another store"):
        async with through:
            pass


async def test_a_worker_of_another_version_is_refused_at_the_start(
    cluster: Cluster, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Dask at tcp://127.0.0.1" in await dask_place(cluster.address)
    monkeypatch.setattr(dask_meeting, "code_version", lambda: "another")
    with pytest.raises(ServiceUnavailable, match="another version of MMM Workflows"):
        async with open_dask_compute(cluster.address, models, place=quick_place):
            pass


async def test_a_scheduler_that_does_not_answer_is_said_at_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_compute, "TIMEOUT_S", 0.5)
    gone = settings.model_copy(update={"dask_scheduler": "tcp://127.0.0.1:1"})
    with pytest.raises(ServiceUnavailable, match="DASK_SCHEDULER"):
        async with open_services(gone):
            pass
    odd = settings.model_copy(update={"dask_scheduler": "nonsense://x"})
    with pytest.raises(ServiceUnavailable, match="DASK_SCHEDULER"):
        async with open_services(odd):
            pass


async def test_a_scheduler_without_a_worker_is_said_with_how_to_start_one(
    models: Path, tmp_path: Path
) -> None:
    with dask_cluster(tmp_path, workers=0, environment={}) as private:
        async with open_dask_compute(private.address, models, place=quick_place) as compute:
            with pytest.raises(ServiceUnavailable, match=f"dask worker {private.address}"):
                await compute.check()

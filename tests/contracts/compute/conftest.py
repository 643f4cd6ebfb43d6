"""A small fit, and a cluster that makes fits, for every Compute.

Fits by the quick engine are real processes in all but their numbers; what a fit finds is shown by
those of the local Compute here, and on a cluster by the batch of tests/workflows.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from services.dask_cluster import Cluster, dask_cluster

from mmm_workflows.db.fsspec_files import open_fsspec_files
from mmm_workflows.db.shared_store import SharedStore
from mmm_workflows.mmm.dataset import read_mff, write_mff
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.spec import SamplerSpec
from mmm_workflows.mmm.spec_builder import propose_spec
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES
from mmm_workflows.ports import FitJob, FitProgress
from mmm_workflows.records import Depth
from mmm_workflows.tools.dask_meeting import TOKEN

TESTS = Path(__file__).parents[2]
CACHE = TESTS.parent / ".cache"
PROC = Path("/proc")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the machines of the cluster have: a cache of their own and, in common, a store."""
    folder = tmp_path_factory.mktemp("dask")
    (folder / "store").mkdir()
    return folder


@pytest.fixture(scope="package")
def cluster(base: Path) -> Iterator[Cluster]:
    with dask_cluster(base, workers=2, environment=worker_environment(base)) as cluster:
        yield cluster


def worker_environment(base: Path) -> dict[str, str]:
    return {
        "MMM_CACHE": str(base / "cache"),
        "ARTIFACTS_URL": f"file://{base / 'store'}",
        "PYTHONPATH": str(TESTS),
    }


@pytest.fixture
def exchange(base: Path) -> SharedStore:
    """The store as the caller opens it."""
    store = SharedStore(open_fsspec_files(f"file://{base / 'store'}"))
    store.open()
    return store


@pytest.fixture
def fits(models: Path, base: Path) -> Callable[[], list[int]]:
    """The processes of fits of this test that still run, whoever started them."""
    return lambda: [*fits_into(models), *fits_into(base / "cache" / "fits")]


@pytest.fixture
def left(models: Path, base: Path) -> Callable[[], list[str]]:
    """The files that fits of this test left, here and where a worker has its scratch."""

    def found() -> list[str]:
        files = [*models.rglob("*"), *(base / "cache" / "fits").rglob("*")]
        return [p.name for p in files if p.is_file() and not p.name.startswith(TOKEN)]

    return found


@pytest.fixture(scope="module")
def mff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    source = folder / "sales.csv"
    plan = SALES.model_copy(update={"periods": 60, "start": date(2024, 1, 1)})
    source.write_bytes(make_world(plan, 4).csv())
    table = load_files([source], date_column=None, geography_column=None)
    roles = choose_roles(table, Wishes(currency="EUR", target_unit="EUR"))
    return write_mff(make_dataset(table, roles)[0], folder / "mff", "sales")


@pytest.fixture
def job(mff: Path) -> FitJob:
    dataset = read_mff(mff)
    spec = propose_spec(dataset, ResearchPlan(), {"trend_knots": 0, "yearly_seasonality": 0}).spec
    sampler = SamplerSpec(draws=50, tune=100, chains=2)
    return FitJob(
        # The store of the cluster holds what other tests fitted.
        project=f"p{secrets.token_hex(4)}",
        mff_path=mff,
        mff_sha256=dataset.sidecar.mff_sha256,
        spec=spec.model_copy(update={"sampler": sampler}),
        seed=1,
        depth=Depth.QUICK,
    )


def long(job: FitJob) -> FitJob:
    """The same job with so many draws that it is still sampling when it is stopped."""
    sampler = SamplerSpec(draws=200_000, tune=1000, chains=2)
    return job.model_copy(update={"spec": job.spec.model_copy(update={"sampler": sampler})})


def fits_into(models: Path) -> list[int]:
    """The processes of fits into this folder that still run, whoever started them."""
    found = []
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if state != "Z" and b"fit_process" in command and bytes(models) in command:
            found.append(int(stat.parent.name))
    return found


def is_sampling(seen: list[FitProgress]) -> bool:
    return any(sum(p.draws_done) > 0 for p in seen)


async def until(reached: Callable[[], bool], timeout_s: float = 120) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():
            await asyncio.sleep(0.05)

"""A fit outside of this process: reused when equal, survived when it dies, ended when cancelled.

Every Compute must pass; a second one joins by a parameter of the ``compute`` fixture.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from mmm_workflows.config import child_environment
from mmm_workflows.errors import FitFailed
from mmm_workflows.mmm.dataset import read_mff, sidecar_path, write_mff
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.model_files import FILES, MANIFEST, open_model
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.spec import SamplerSpec
from mmm_workflows.mmm.spec_builder import propose_spec
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES
from mmm_workflows.ports import Compute, FitJob, FitProgress
from mmm_workflows.records import Depth
from mmm_workflows.tools import compute as module
from mmm_workflows.tools.compute import LocalCompute, fit_key

pytestmark = pytest.mark.slow
CACHE = Path(__file__).parents[3] / ".cache"
PROC = Path("/proc")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def compute(models: Path) -> Compute:
    return LocalCompute(models, CACHE, environment=child_environment())


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
        project="mine",
        mff_path=mff,
        mff_sha256=dataset.sidecar.mff_sha256,
        spec=spec.model_copy(update={"sampler": sampler}),
        seed=1,
        depth=Depth.QUICK,
    )


def _long(job: FitJob) -> FitJob:
    """The same job with so many draws that it is still sampling when it is stopped."""
    sampler = SamplerSpec(draws=200_000, tune=1000, chains=2)
    return job.model_copy(update={"spec": job.spec.model_copy(update={"sampler": sampler})})


def _children() -> list[int]:
    """The fits that this process has started and that still run."""
    found = []
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if state != "Z" and int(parent) == os.getpid() and b"fit_process" in command:
            found.append(int(stat.parent.name))
    return found


def _sampling(seen: list[FitProgress]) -> bool:
    return any(sum(p.draws_done) > 0 for p in seen)


async def _until(reached: Callable[[], bool], timeout_s: float = 120) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():
            await asyncio.sleep(0.05)


def _left(models: Path) -> list[str]:
    return [p.name for p in models.rglob("*") if p.is_file()]


async def test_an_equal_fit_is_reused_and_a_damaged_one_made_again(
    compute: Compute, job: FitJob, models: Path
) -> None:
    seen: list[FitProgress] = []
    first = await compute.fit(job, seen.append)
    assert not first.reused
    assert sorted(p.name for p in first.folder.iterdir()) == sorted([*FILES, MANIFEST])
    open_model(first.folder).verify()
    assert not list(models.rglob("*.partial"))

    counted = [p for p in seen if p.draws_done]
    for chain in range(2):
        done = [p.draws_done[chain] for p in counted]
        assert done == sorted(done), "a count of draws went back"
        assert done[-1] == 150, "the tuning and the draws of a chain"
    assert all(p.draws_total == 300 for p in counted)
    left = [p.seconds_left for p in counted if p.seconds_left is not None]
    assert all(s >= 0 for s in left)
    assert left[-1] == pytest.approx(0, abs=0.5)

    again: list[FitProgress] = []
    second = await compute.fit(job, again.append)
    assert second.reused
    assert second.folder == first.folder
    assert not again

    before = open_model(first.folder).results()
    (first.folder / "draws.npz").write_bytes(b"damaged")
    third = await compute.fit(job, again.append)
    assert not third.reused
    open_model(third.folder).verify()
    assert open_model(third.folder).results().channels == before.channels, "not the same numbers"


async def test_a_child_that_is_killed_is_a_typed_failure_and_publishes_nothing(
    compute: Compute, job: FitJob, models: Path
) -> None:
    seen: list[FitProgress] = []
    fit = asyncio.create_task(compute.fit(_long(job), seen.append))
    await _until(lambda: _sampling(seen) or fit.done())
    (child,) = _children()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(FitFailed, match="SIGKILL") as caught:
        await asyncio.wait_for(fit, 30)
    assert caught.value.code == "fit_died"
    assert "resume" in caught.value.message
    assert _left(models) == []
    assert _children() == []


async def test_cancelling_ends_the_whole_group_and_leaves_nothing(
    compute: Compute, job: FitJob, models: Path
) -> None:
    seen: list[FitProgress] = []
    fit = asyncio.create_task(compute.fit(_long(job), seen.append))
    await _until(lambda: _sampling(seen) or fit.done())
    (child,) = _children()
    fit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(fit, 30)
    with pytest.raises(ProcessLookupError):
        os.killpg(child, 0)
    assert _left(models) == []


async def test_two_fits_run_at_the_same_time_and_each_keeps_its_own(
    compute: Compute, job: FitJob
) -> None:
    other = job.model_copy(update={"seed": 2})
    one, two = await asyncio.gather(
        compute.fit(job, lambda p: None), compute.fit(other, lambda p: None)
    )
    assert one.folder != two.folder
    assert open_model(one.folder).manifest.seed == 1
    assert open_model(two.folder).manifest.seed == 2
    first, second = (open_model(o.folder).results().channels for o in (one, two))
    assert first != second


async def test_of_two_equal_fits_at_the_same_time_one_is_made(
    compute: Compute, job: FitJob
) -> None:
    outcomes = await asyncio.gather(*(compute.fit(job, lambda p: None) for _ in range(2)))
    assert sorted(o.reused for o in outcomes) == [False, True]
    assert outcomes[0].folder == outcomes[1].folder


async def test_an_error_of_the_fit_is_one_sentence_with_its_code(
    compute: Compute, job: FitJob, models: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.csv"
    changed.write_bytes(job.mff_path.read_bytes() + b"\n")
    sidecar_path(changed).write_bytes(sidecar_path(job.mff_path).read_bytes())
    with pytest.raises(FitFailed) as caught:
        await compute.fit(job.model_copy(update={"mff_path": changed}), lambda p: None)
    assert caught.value.code == "mff_changed"
    assert "Traceback" not in caught.value.message
    assert _left(models) == []


async def test_another_mff_at_the_same_path_is_refused(
    compute: Compute, job: FitJob, models: Path
) -> None:
    """Its key would be that of the data that was asked for."""
    with pytest.raises(FitFailed) as caught:
        await compute.fit(job.model_copy(update={"mff_sha256": "0" * 64}), lambda p: None)
    assert caught.value.code == "mff_changed"
    assert _left(models) == []


def test_the_key_changes_with_all_that_decides_the_numbers_and_with_nothing_else(
    job: FitJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = fit_key(job)
    assert fit_key(job.model_copy(update={"mff_path": Path("elsewhere.csv")})) == key
    changes = [
        {"seed": 2},
        {"depth": Depth.FULL},
        {"mff_sha256": "0" * 64},
        {"spec": job.spec.model_copy(update={"l_max": 3})},
    ]
    keys = {fit_key(job.model_copy(update=change)) for change in changes}
    monkeypatch.setattr(module, "code_version", lambda: "another")
    keys.add(fit_key(job))
    assert len(keys | {key}) == len(changes) + 2

"""A fit outside of this process: reused when equal, survived when it dies, ended when cancelled.

Every Compute must pass: child processes of this machine, and the workers of a Dask cluster that
share folders with us, or a store alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from services.quick_fit import quick_environment, quick_place

from mmm_workflows.config import child_environment
from mmm_workflows.errors import FitFailed
from mmm_workflows.mmm.dataset import sidecar_path
from mmm_workflows.mmm.model_files import FILES, MANIFEST, open_model
from mmm_workflows.mmm.spec import SamplerSpec
from mmm_workflows.ports import Compute, FitJob, FitProgress
from mmm_workflows.records import Depth
from mmm_workflows.tools import compute as module
from mmm_workflows.tools.compute import LocalCompute, fit_key
from mmm_workflows.tools.dask_compute import open_dask_compute

from .conftest import CACHE, is_sampling, long, until

type Found = Callable[[], list[int]]
type Left = Callable[[], list[str]]


@pytest.fixture(params=["local", "dask", "dask over a store"])
async def compute(request: pytest.FixtureRequest, models: Path) -> AsyncIterator[Compute]:
    if request.param == "local":
        yield LocalCompute(models, CACHE, environment=quick_environment())
        return
    cluster = request.getfixturevalue("cluster")
    exchange = request.getfixturevalue("exchange") if "store" in request.param else None
    opened = open_dask_compute(cluster.address, models, place=quick_place, exchange=exchange)
    async with opened as used:
        await used.check()
        yield used


@pytest.fixture
def engine(models: Path) -> Compute:
    """Child processes that fit by PyMC."""
    return LocalCompute(models, CACHE, environment=child_environment())


@pytest.mark.slow
async def test_an_equal_fit_is_reused_and_a_damaged_one_made_again(
    engine: Compute, job: FitJob, models: Path
) -> None:
    seen: list[FitProgress] = []
    first = await engine.fit(job, seen.append)
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
    seconds = [p.seconds_left for p in counted if p.seconds_left is not None]
    assert all(s >= 0 for s in seconds)
    assert seconds[-1] == pytest.approx(0, abs=0.5)

    again: list[FitProgress] = []
    second = await engine.fit(job, again.append)
    assert second.reused
    assert second.folder == first.folder
    assert not again

    before = open_model(first.folder).results()
    (first.folder / "draws.npz").write_bytes(b"damaged")
    third = await engine.fit(job, again.append)
    assert not third.reused
    open_model(third.folder).verify()
    assert open_model(third.folder).results().channels == before.channels, "not the same numbers"


async def test_a_child_that_is_killed_is_a_typed_failure_and_publishes_nothing(
    compute: Compute, job: FitJob, fits: Found, left: Left
) -> None:
    seen: list[FitProgress] = []
    fit = asyncio.create_task(compute.fit(long(job), seen.append))
    await until(lambda: is_sampling(seen) or fit.done())
    (child,) = fits()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(FitFailed, match="SIGKILL") as caught:
        await asyncio.wait_for(fit, 30)
    assert caught.value.code == "fit_died"
    assert "resume" in caught.value.message
    assert left() == []
    assert fits() == []


async def test_cancelling_ends_the_whole_group_and_leaves_nothing(
    compute: Compute, job: FitJob, fits: Found, left: Left
) -> None:
    seen: list[FitProgress] = []
    fit = asyncio.create_task(compute.fit(long(job), seen.append))
    await until(lambda: is_sampling(seen) or fit.done())
    (child,) = fits()
    fit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(fit, 30)
    with pytest.raises(ProcessLookupError):
        os.killpg(child, 0)
    assert left() == []


async def test_two_fits_run_at_the_same_time_and_each_keeps_its_own(
    compute: Compute, job: FitJob
) -> None:
    seen: list[str] = []
    # Some seconds each: the second may begin so much later on a busy machine.
    sampler = SamplerSpec(draws=950, tune=100, chains=2)
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"sampler": sampler})})
    other = job.model_copy(update={"seed": 2})
    one, two = await asyncio.gather(
        compute.fit(job, lambda p: seen.append("one")),
        compute.fit(other, lambda p: seen.append("two")),
    )
    assert one.folder != two.folder
    assert open_model(one.folder).manifest.seed == 1
    assert open_model(two.folder).manifest.seed == 2
    assert seen.index("two") < len(seen) - 1 - seen[::-1].index("one"), "one after the other"


async def test_of_two_equal_fits_at_the_same_time_one_is_made(
    compute: Compute, job: FitJob
) -> None:
    outcomes = await asyncio.gather(*(compute.fit(job, lambda p: None) for _ in range(2)))
    assert sorted(o.reused for o in outcomes) == [False, True]
    assert outcomes[0].folder == outcomes[1].folder
    open_model(outcomes[0].folder).verify()
    assert (await compute.fit(job, lambda p: None)).reused


@pytest.mark.slow
async def test_an_error_of_the_fit_is_one_sentence_with_its_code(
    engine: Compute, job: FitJob, left: Left, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.csv"
    changed.write_bytes(job.mff_path.read_bytes() + b"\n")
    sidecar_path(changed).write_bytes(sidecar_path(job.mff_path).read_bytes())
    with pytest.raises(FitFailed) as caught:
        await engine.fit(job.model_copy(update={"mff_path": changed}), lambda p: None)
    assert caught.value.code == "mff_changed"
    assert "Traceback" not in caught.value.message
    assert left() == []


@pytest.mark.slow
async def test_another_mff_at_the_same_path_is_refused(
    engine: Compute, job: FitJob, left: Left
) -> None:
    """Its key would be that of the data that was asked for."""
    with pytest.raises(FitFailed) as caught:
        await engine.fit(job.model_copy(update={"mff_sha256": "0" * 64}), lambda p: None)
    assert caught.value.code == "mff_changed"
    assert left() == []


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

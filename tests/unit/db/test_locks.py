"""One executor per run, across processes and within one."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmm_workflows.db.locks import RunLocks
from mmm_workflows.errors import RunError

HOLD = """
import asyncio, pathlib, sys
from mmm_workflows.db.locks import RunLocks

async def hold():
    async with RunLocks(pathlib.Path(sys.argv[1])).acquire("run"):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


async def test_a_second_caller_in_the_same_process_is_refused_and_told_what_to_do(
    tmp_path: Path,
) -> None:
    async with RunLocks(tmp_path).acquire("run"):
        with pytest.raises(
            RunError, match=r"run is being worked on by process \d+.*watch"
        ) as caught:
            await RunLocks(tmp_path).acquire("run").__aenter__()
        assert caught.value.code == "run_busy"


async def test_different_runs_do_not_hinder_each_other(tmp_path: Path) -> None:
    locks = RunLocks(tmp_path / "locks")
    async with locks.acquire("run"), locks.acquire("RUN"), locks.acquire("../run"):
        assert len(list((tmp_path / "locks").iterdir())) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["locks"]


async def test_a_lock_is_free_after_the_block_also_when_it_raises(tmp_path: Path) -> None:
    locks = RunLocks(tmp_path)
    for _ in range(3):
        with pytest.raises(KeyError):
            async with locks.acquire("run"):
                raise KeyError
    async with locks.acquire("run"):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_the_death_of_the_process_frees_its_run(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        locks = RunLocks(tmp_path)
        with pytest.raises(RunError, match=f"process {child.pid}"):
            await locks.acquire("run").__aenter__()
    finally:
        child.kill()
        child.communicate()
    async with locks.acquire("run"):
        assert len(list(tmp_path.iterdir())) == 1

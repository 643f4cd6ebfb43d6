"""The folder of a job: who may enter it, what is counted in it, and that it always goes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from sandbox_harness import job_processes, make_executor, require

from mmm_workflows.errors import SandboxUnavailable
from mmm_workflows.tools.sandbox.job_folder import (
    job_folder,
    reachable_base,
    remove_tree,
    usage,
)
from mmm_workflows.tools.sandbox.mode import NOBODY, SandboxMode

is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="needs root")


def nest(folder: Path, depth: int) -> None:
    """Folders in folders, deeper than a path can name."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper-and-deeper", dir_fd=descriptor)
        inner = os.open("deeper-and-deeper", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    nest(top, 2000)
    (top / "file").write_text("x", encoding="utf-8")
    (top / "link").symlink_to(tmp_path)
    closed = top / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner").chmod(0)
    closed.chmod(0)
    remove_tree(top)
    assert not top.exists()
    assert tmp_path.exists()


def test_a_path_too_long_counts_as_too_many(tmp_path: Path) -> None:
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    nest(tmp_path / "out", 400)
    assert usage(tmp_path, stop_at=10_000).entries == 10_001
    remove_tree(tmp_path / "out")


def test_bytes_are_those_on_the_disk(tmp_path: Path) -> None:
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "full").write_bytes(b"x" * 100_000)
    with (tmp_path / "tmp" / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    used = usage(tmp_path, stop_at=10)
    assert used.entries == 2
    assert 100_000 <= used.bytes_on_disk < 200_000


async def test_a_folder_without_a_living_owner_is_swept_and_others_stay(tmp_path: Path) -> None:
    dead = tmp_path / ".job-dead"
    dead.mkdir()
    nest(dead, 1500)
    async with job_folder(tmp_path, owner=None) as first:
        assert not dead.exists()
        async with job_folder(tmp_path, owner=None) as second:
            assert first.exists()
            assert second.exists()
    assert list(tmp_path.iterdir()) == []


async def test_nobody_else_may_enter_a_job_folder(tmp_path: Path) -> None:
    async with job_folder(tmp_path / "base", owner=NOBODY if is_root else None) as job:
        for place in (job, job.parent, job / "out", job / "tmp"):
            assert place.stat().st_mode & 0o007 == 0
        assert (tmp_path / "base").stat().st_mode & 0o777 == 0o700


async def test_a_job_holds_no_capability_and_no_way_to_new_privileges(
    mode: SandboxMode, jobs: Path
) -> None:
    """Read from outside, where the kernel says it: the job itself cannot see its status."""
    executor = make_executor(jobs, mode)
    running = asyncio.create_task(executor.run("import time; time.sleep(600)", {}))
    # Under bubblewrap its own two processes carry the command line of the guard as well.
    while not any(status.get("Seccomp") == "2" for status in map(_status, job_processes())):
        await asyncio.sleep(0.02)
    found = [status for status in map(_status, job_processes()) if status.get("Seccomp") == "2"]
    assert len(found) == 1
    assert [found[0][name] for name in ("CapPrm", "CapEff", "CapAmb")] == ["0" * 16] * 3
    assert found[0]["NoNewPrivs"] == "1"
    expected = str(NOBODY if is_root else os.geteuid())
    assert set(found[0]["Uid"].split()) == set(found[0]["Gid"].split()) == {expected}
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@needs_root
async def test_jobs_of_root_leave_a_private_home_for_a_folder_they_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(SandboxMode.GUARD)
    open_place = Path(tempfile.mkdtemp(prefix="mmm-open-"))
    open_place.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(open_place))
    private = tmp_path / "private"
    assert reachable_base(open_place / "jobs") == open_place / "mmm-workflows-jobs"
    (open_place / "jobs").chmod(0o711)
    assert reachable_base(open_place / "jobs") == open_place / "jobs"
    assert reachable_base(private) == open_place / "mmm-workflows-jobs"
    (open_place / "mmm-workflows-jobs").rmdir()
    (open_place / "mmm-workflows-jobs").symlink_to(tmp_path)
    with pytest.raises(SandboxUnavailable, match="folder of root"):
        reachable_base(private)
    remove_tree(open_place)


@needs_root
def test_a_temporary_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squatted = tmp_path / "mmm-workflows-jobs"
    squatted.mkdir()
    os.chown(squatted, 1234, 1234)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "private").mkdir(mode=0o700)
    with pytest.raises(SandboxUnavailable, match="folder of root"):
        reachable_base(tmp_path / "private")

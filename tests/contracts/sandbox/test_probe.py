"""The probe names the best mode that holds, and believes only its canary."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sandbox_harness import Outside, require

from mmm_workflows.bootstrap.web import AGAIN_S, executor_opener
from mmm_workflows.tools.sandbox import bubblewrap, landlock, probe
from mmm_workflows.tools.sandbox.limits import Limits
from mmm_workflows.tools.sandbox.mode import SandboxMode
from mmm_workflows.tools.sandbox.probe import ATTEMPTS, CANARY, probe_sandbox


async def test_bubblewrap_is_chosen_where_it_holds(jobs: Path) -> None:
    require(SandboxMode.BUBBLEWRAP)
    report = await probe_sandbox(jobs)
    assert report.mode is SandboxMode.BUBBLEWRAP
    assert [check.attempt for check in report.canary] == list(ATTEMPTS)
    assert all(check.denied for check in report.canary)


async def test_without_bubblewrap_the_guard_stands_alone(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(SandboxMode.GUARD)
    monkeypatch.setattr(bubblewrap, "PROGRAM", "bwrap-that-is-not-installed")
    report = await probe_sandbox(jobs)
    assert report.mode is SandboxMode.GUARD
    assert "bubblewrap is not installed" in report.why
    assert all(check.denied for check in report.canary)


async def test_a_bubblewrap_that_may_not_make_namespaces_is_not_used(
    jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(SandboxMode.GUARD)
    refusing = tmp_path / "bwrap"
    said = "bwrap: No permissions to create new namespace"
    refusing.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n", encoding="utf-8")
    refusing.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "PLACES", str(tmp_path))
    report = await probe_sandbox(jobs)
    assert report.mode is SandboxMode.GUARD
    assert said in report.why


async def test_a_canary_that_gets_out_means_no_sandbox(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(SandboxMode.GUARD)
    monkeypatch.setattr(bubblewrap, "PROGRAM", "bwrap-that-is-not-installed")
    # A hole in the rules: the whole machine may be written.
    whole = landlock.Rule("/", landlock.WRITE & landlock.handled(landlock.abi_version()).files)
    real = landlock.rules
    monkeypatch.setattr(landlock, "rules", lambda *found: [*real(*found), whole])
    report = await probe_sandbox(jobs)
    assert report.mode is SandboxMode.NONE
    assert "The canary got out of guard (read, write)." in report.why


@pytest.mark.parametrize("system", ["darwin", "win32"])
async def test_other_systems_have_no_sandbox(system: str, jobs: Path) -> None:
    report = await probe_sandbox(jobs, system=system)
    assert report.mode is SandboxMode.NONE
    assert system in report.why
    assert report.why.endswith("Generated code is shown and not run.")


async def test_a_machine_without_a_filter_has_no_sandbox(jobs: Path) -> None:
    report = await probe_sandbox(jobs, system="linux", machine="riscv64")
    assert report.mode is SandboxMode.NONE
    assert "riscv64" in report.why


async def test_a_kernel_without_landlock_has_no_sandbox(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi_version", lambda: 0)
    report = await probe_sandbox(jobs, system="linux")
    assert report.mode is SandboxMode.NONE
    assert "Landlock" in report.why


def test_the_canary_does_get_out_of_a_plain_interpreter(outside: Outside, tmp_path: Path) -> None:
    target = {
        "port": outside.tcp.getsockname()[1], "secret": str(outside.secret),
        "program": sys.executable,
    }  # fmt: skip
    (tmp_path / "target.json").write_text(json.dumps(target), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CANARY], cwd=tmp_path, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == dict.fromkeys(ATTEMPTS, "succeeded")
    assert outside.was_reached()


async def test_the_probe_leaves_no_file(jobs: Path) -> None:
    require(SandboxMode.GUARD)
    await probe_sandbox(jobs)
    assert not list(Path(tempfile.gettempdir()).glob("mmm-canary-*"))


async def test_a_canary_that_ran_out_of_time_is_sent_again_some_time_later(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(SandboxMode.GUARD)
    opened = executor_opener(jobs)
    with monkeypatch.context() as slow:
        slow.setattr(probe, "CANARY_LIMITS", Limits(wall_s=0.001))
        report = await probe_sandbox(jobs)
        assert (report.mode, report.was_slow) == (SandboxMode.NONE, True)
        assert "ended with timeout" in report.why
        poor = await opened()
        assert poor.mode is SandboxMode.NONE
    assert await opened() is poor, "it was sent again at once"
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: time.monotonic() + AGAIN_S)
    found = await opened()
    monkeypatch.undo()
    assert found.mode in (SandboxMode.BUBBLEWRAP, SandboxMode.GUARD)
    assert await opened() is found

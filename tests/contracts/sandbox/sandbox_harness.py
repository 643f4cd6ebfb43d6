"""What the tests of the sandbox share: executors, what lies outside, what was left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from mmm_workflows.tools.code_executor import CodeExecutor
from mmm_workflows.tools.sandbox import bubblewrap, job_folder, landlock
from mmm_workflows.tools.sandbox.limits import Limits
from mmm_workflows.tools.sandbox.mode import SandboxMode

MODES = (SandboxMode.BUBBLEWRAP, SandboxMode.GUARD)


def require(mode: SandboxMode) -> None:
    """Skip, naming what is absent; fail under REQUIRE_SERVICES=1."""
    missing = None
    if landlock.abi_version() < 1:
        missing = "Landlock (Linux 5.13 or newer)"
    elif mode is SandboxMode.BUBBLEWRAP:
        missing = bubblewrap_lacks()
    if missing is None:
        return
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"needs {missing}")
    pytest.skip(f"needs {missing}")


@cache
def bubblewrap_lacks() -> str | None:
    """What keeps bubblewrap from its namespaces here; none when they can be made."""
    program = bubblewrap.find()
    if program is None:
        return "the package bubblewrap"
    held = [program, *bubblewrap._namespaces(), "--ro-bind", "/", "/", "true"]
    done = subprocess.run(held, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"namespaces for bubblewrap ({done.stderr.strip()})"


def places(jobs: Path) -> tuple[Path, ...]:
    return jobs, Path(tempfile.gettempdir()) / "mmm-workflows-jobs"


def job_folders(jobs: Path) -> list[Path]:
    return [left for place in places(jobs) for left in place.glob(f"{job_folder.PREFIX}*")]


def job_processes() -> list[int]:
    """Processes of our jobs, by the command line that only jobs have; others may run some too."""
    jobs = set()
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and b"sandbox/guard.py" in (process / "cmdline").read_bytes():
                jobs.add(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [pid for pid in jobs if _is_ours(pid, jobs)]


def _is_ours(pid: int, jobs: set[int]) -> bool:
    """Whether a job is below this process, or has lost whoever started it."""
    ours = [os.getpid()]
    while ours[-1] > 1:
        ours.append(_parent(ours[-1]))
    try:
        above = pid
        while above in jobs:
            above = _parent(above)
        if above in ours:
            return True
        while above not in ours:
            above = _parent(above)
    except (FileNotFoundError, ProcessLookupError):
        # It, or one above it, ended just now.
        return Path(f"/proc/{pid}").exists() and _is_ours(pid, jobs)
    return above == os.getpid()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def make_executor(jobs: Path, mode: SandboxMode, **limits: float) -> CodeExecutor:
    return CodeExecutor(folder=jobs, mode=mode, limits=Limits(**{"wall_s": 30, **limits}))


@dataclass(frozen=True)
class Outside:
    """What lies beside a job and is open to every user of this machine."""

    folder: Path
    secret: Path
    target: Path
    tcp: socket.socket
    unix: socket.socket
    abstract: socket.socket

    def was_reached(self) -> bool:
        return any(_has_caller(server) for server in (self.tcp, self.unix, self.abstract))


def _has_caller(server: socket.socket) -> bool:
    server.settimeout(0)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True

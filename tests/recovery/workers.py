"""Real workers in processes of their own, and what they leave in the process table."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.records import Depth, Event, Run
from mmm_workflows.workflows.contracts import Request
from mmm_workflows.workflows.queue import Queue
from mmm_workflows.workflows.runner import Runner, open_runner

REPOSITORY = Path(__file__).parents[2]
CLI = (sys.executable, "-c", "from mmm_workflows.cli import main; main()")
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@contextmanager
def a_worker(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A worker on the environment's settings that takes runs; killed at the end of the block."""
    with subprocess.Popen(
        [*CLI, "worker", *options],
        cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            assert "taking runs" in process.stderr.readline()
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)


def stop(process: subprocess.Popen[str]) -> str:
    """Tell a worker to stop; what it said until it had."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
    return said


def stop_between_writes(process: subprocess.Popen[str], *databases: Path) -> None:
    """SIGSTOP where it holds no lock of SQLite, under which nobody else could go on."""
    for _ in range(200):
        process.send_signal(signal.SIGSTOP)
        until(lambda: _state(process.pid) == "T")
        if not any(map(_is_locked, databases)):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.03)
    pytest.fail("it was never between two writes")


def _is_locked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def queued(settings: Settings, workflow: str, request: Request, *names: str) -> None:
    """Leave runs of one request to the workers."""

    async def put(runner: Runner) -> None:
        for name in names:
            await Queue(runner).accept(workflow, request, workflow_id=name, depth=Depth.QUICK)

    ask(settings, put)


def ask[T](settings: Settings, question: Callable[[Runner], Coroutine[None, None, T]]) -> T:
    """What a runner in this process says."""

    async def asked() -> T:
        async with open_runner(settings) as runner:
            return await question(runner)

    return asyncio.run(asked())


def record(settings: Settings, name: str) -> Run:
    """The record of a run."""
    return ask(settings, lambda runner: runner.get(name))


def events(settings: Settings, name: str) -> list[Event]:
    """The events of a run; none of a run that is not there yet."""

    async def read(runner: Runner) -> list[Event]:
        is_there = await runner.services.runs.exists(name)
        return list(await runner.events(name)) if is_there else []

    return ask(settings, read)


def until(reached: Callable[[], bool], *, within_s: float = 240) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.2)


def is_sampling(settings: Settings, name: str) -> bool:
    """Whether the fit of a run has made a draw."""
    return any(sum((e.data or {}).get("draws_done", [])) > 0 for e in events(settings, name))


def fit_processes(models: Path) -> list[int]:
    """Those that fit into this folder: another run may fit beside the test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        is_fit = b"mmm_workflows.fit_process" in command and str(models).encode() in command
        if is_fit and state != "Z":
            found.append(int(entry.name))
    return found


def niceness(pid: int) -> int:
    """How far a process steps back."""
    return os.getpriority(os.PRIO_PROCESS, pid)

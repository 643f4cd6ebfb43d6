"""Which mode holds on this machine, shown by code that tries to get out."""

from __future__ import annotations

import asyncio
import json
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from mmm_workflows.errors import SandboxUnavailable
from mmm_workflows.tools.sandbox import bubblewrap, landlock
from mmm_workflows.tools.sandbox.job import Job, Outcome, is_known_machine, run_job
from mmm_workflows.tools.sandbox.limits import Limits
from mmm_workflows.tools.sandbox.mode import SandboxMode

CANARY_LIMITS: Final = Limits(wall_s=30, cpu_s=10)
CANARY: Final = """
import json, os, socket, subprocess, sys
target = json.load(open("target.json"))

def connect():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", target["port"]))

def read():
    with open(target["secret"]) as file:
        file.read()

def write():
    with open(os.path.join(os.path.dirname(target["secret"]), "written"), "w") as file:
        file.write("out")

def start():
    subprocess.run([target["program"], "-c", ""], check=True)

said = {}
for attempt in (connect, read, write, start):
    try:
        attempt()
        said[attempt.__name__] = "succeeded"
    except OSError as error:
        said[attempt.__name__] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""
ATTEMPTS: Final = ("connect", "read", "write", "start")


class CanaryCheck(BaseModel):
    """One way out that the canary tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: str
    denied: bool
    said: str


class SandboxReport(BaseModel):
    """The mode in which generated code runs on this machine, and why it is no better one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: SandboxMode
    why: str
    canary: tuple[CanaryCheck, ...] = ()
    was_slow: bool = False
    """A canary ran out of time: a better mode may hold when the machine has less to do."""


async def probe_sandbox(
    folder: Path, *, system: str = sys.platform, machine: str | None = None
) -> SandboxReport:
    """The best mode whose canary stayed inside: bubblewrap, the guard alone, or none.

    The canary must fail to connect to a listener of ours on loopback, to read and to write a
    file outside that any user may read, and to start a program. It is run afresh at each call.

    Args:
        folder: Job folders are made here.
        system: As ``sys.platform`` names it.
        machine: As ``platform.machine()`` names it; none takes this one.
    """
    if system != "linux":
        return _none(f"Generated code can only be held on Linux, and this is {system}.")
    if not is_known_machine() or machine not in (None, platform.machine()):
        return _none(f"There is no filter of system calls for {machine or platform.machine()}.")
    if landlock.abi_version() < 1:
        return _none("The kernel has no Landlock (Linux 5.13 or newer, not switched off).")
    missed, was_slow = [], False
    for mode in (SandboxMode.BUBBLEWRAP, SandboxMode.GUARD):
        if mode is SandboxMode.BUBBLEWRAP and bubblewrap.find() is None:
            missed.append("bubblewrap is not installed.")
            continue
        tried = await _try(mode, folder)
        if tried.failure is None:
            why = _why(mode, missed)
            return SandboxReport(mode=mode, why=why, canary=tried.checks, was_slow=was_slow)
        missed.append(tried.failure)
        was_slow = was_slow or tried.was_slow
    return _none(" ".join(missed), was_slow=was_slow)


def _none(why: str, *, was_slow: bool = False) -> SandboxReport:
    why = f"{why} Generated code is shown and not run."
    return SandboxReport(mode=SandboxMode.NONE, why=why, was_slow=was_slow)


def _why(mode: SandboxMode, missed: list[str]) -> str:
    if mode is SandboxMode.BUBBLEWRAP:
        return "Generated code runs in namespaces of its own, with the guard inside."
    return f"Generated code runs under the guard alone. {' '.join(missed)}"


@dataclass(frozen=True, kw_only=True)
class _Try:
    """What the canary tried, and why the mode cannot be used; None when it held."""

    failure: str | None
    checks: tuple[CanaryCheck, ...] = ()
    was_slow: bool = False


async def _try(mode: SandboxMode, folder: Path) -> _Try:
    with _listener() as listener, _outside() as outside:
        target = outside / "target.json"
        port = listener.getsockname()[1]
        secret = {"port": port, "secret": str(outside / "secret"), "program": sys.executable}
        target.write_text(json.dumps(secret), encoding="utf-8")
        job = Job(mode=mode, folder=folder, limits=CANARY_LIMITS)
        try:
            ending = await run_job(job, CANARY, {target.name: target})
        except SandboxUnavailable as error:
            return _Try(failure=error.message)
        was_reached = await asyncio.to_thread(_was_reached, listener)
        was_written = (outside / "written").exists()
    if ending.outcome is not Outcome.FINISHED:
        return _Try(
            failure=f"The canary in {mode.value} ended with {ending.outcome}: {ending.stderr[-300:]}",
            was_slow=ending.outcome in (Outcome.TIMEOUT, Outcome.CPU),
        )
    checks = _checks(ending.stdout)
    escaped = [check.attempt for check in checks if not check.denied]
    if escaped or was_reached or was_written:
        failure = f"The canary got out of {mode.value} ({', '.join(escaped) or 'unseen'})."
        return _Try(failure=failure, checks=checks)
    return _Try(failure=None, checks=checks)


def _checks(stdout: str) -> tuple[CanaryCheck, ...]:
    said: dict[str, str] = json.loads(stdout)
    return tuple(
        CanaryCheck(attempt=name, denied=said[name] != "succeeded", said=said[name])
        for name in ATTEMPTS
    )


def _was_reached(listener: socket.socket) -> bool:
    listener.settimeout(0)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@contextmanager
def _listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def _outside() -> Iterator[Path]:
    """A folder that every user of this machine may read and write, with a secret in it."""
    with tempfile.TemporaryDirectory(prefix="mmm-canary-") as name:
        outside = Path(name)
        outside.chmod(0o777)
        (outside / "secret").write_text("canary", encoding="utf-8")
        (outside / "secret").chmod(0o666)
        yield outside

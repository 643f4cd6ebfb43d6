"""One job from its code to its ending, in either mode; the same path for the canary and for code."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import shutil
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from mmm_workflows.errors import SandboxUnavailable
from mmm_workflows.tools.sandbox import bubblewrap, interpreter, job_folder, landlock
from mmm_workflows.tools.sandbox.child import Child, start
from mmm_workflows.tools.sandbox.collector import Collected, collect
from mmm_workflows.tools.sandbox.limits import Limits, thread_limit
from mmm_workflows.tools.sandbox.mode import NOBODY, SandboxMode
from mmm_workflows.tools.sandbox.output import Output
from mmm_workflows.tools.sandbox.seccomp import MACHINES, build_filter
from mmm_workflows.tools.sandbox.waiting import finish

WATCH_S: Final = 0.05
OUT_OF_MEMORY: Final = 77
FILE_TOO_LARGE: Final = 78


class Outcome(StrEnum):
    """How a job ended."""

    FINISHED = "finished"
    ERROR = "error"
    TIMEOUT = "timeout"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    FILES = "files"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of a job."""

    outcome: Outcome
    status: int
    stdout: str
    stderr: str
    seconds: float
    collected: Collected


@dataclass(frozen=True, slots=True)
class Job:
    """What is run, where, and how it is held."""

    mode: SandboxMode
    folder: Path
    limits: Limits
    fonts: Path | None = None


async def run_job(job: Job, code: str, inputs: Mapping[str, Path]) -> Ending:
    """Run the code in a folder of its own; whatever the ending, no process and no folder stays.

    Raises:
        SandboxUnavailable: The guard was not complete, so that no line of the code was run.
        PathForbidden: An input has a name that is not allowed.
    """
    began = time.monotonic()
    owner = NOBODY if os.geteuid() == 0 else None
    base = job.folder
    if owner is not None and job.mode is SandboxMode.GUARD:
        base = await asyncio.to_thread(job_folder.reachable_base, job.folder)
    async with job_folder.job_folder(base, owner=owner) as folder:
        await asyncio.to_thread(job_folder.fill, folder, code, inputs)
        await asyncio.to_thread(_copy_fonts, job.fonts, folder, owner)
        child = await _launch(job, folder, owner)
        output = Output(job.limits.output_bytes)
        reading = asyncio.create_task(output.read(*child.streams))
        try:
            cause = await _first_cause(child, output, folder, job.limits)
            child.kill()
            status = await child.wait()
            await reading
            was_bound = child.was_bound()
        finally:
            await finish(_close(child, reading))
        stdout, stderr = output.texts()
        if cause is None and output.overflowed.is_set():
            cause = Outcome.OUTPUT
        if cause is None and not was_bound:
            raise SandboxUnavailable(_not_bound(job.mode, status, stderr))
        if cause is None:
            cause = await asyncio.to_thread(_judge, status, folder, job.limits)
        # What a job has written before it was stopped is not a result.
        is_whole = cause is Outcome.FINISHED
        collected = await asyncio.to_thread(collect, folder / "out") if is_whole else Collected()
    seconds = time.monotonic() - began
    return Ending(cause, status, stdout, stderr, seconds, collected)


def _copy_fonts(fonts: Path | None, folder: Path, owner: int | None) -> None:
    copied = folder / job_folder.TMP / "matplotlib"
    copied.mkdir(mode=0o700)
    for source in () if fonts is None else fonts.glob("*.json"):
        shutil.copyfile(source, copied / source.name)
    if owner is not None:
        for path in (*copied.iterdir(), copied):
            os.chown(path, owner, owner)


async def _launch(job: Job, folder: Path, owner: int | None) -> Child:
    is_wrapped = job.mode is SandboxMode.BUBBLEWRAP
    inside = bubblewrap.JOB if is_wrapped else str(folder)
    ready, info = os.pipe(), os.pipe() if is_wrapped else None
    guarded = [
        interpreter.executable(), *interpreter.FLAGS, str(interpreter.GUARD),
        json.dumps(_orders(job, inside, owner, ready[1])),
    ]  # fmt: skip
    if info is not None:
        program = bubblewrap.find() or bubblewrap.PROGRAM
        guarded = [*bubblewrap.command(program, job=folder, info_fd=info[1]), *guarded]
    try:
        return await start(guarded, interpreter.environment(inside), ready, info)
    except FileNotFoundError as error:
        raise SandboxUnavailable(
            f"{error.filename} was not found. Install the package bubblewrap of your system."
        ) from error


def _orders(job: Job, inside: str, owner: int | None, ready_fd: int) -> dict[str, Any]:
    """The argument of the guard."""
    abi = landlock.abi_version()
    readable = (inside, *interpreter.readable(), *landlock.existing(interpreter.KERNEL_FILES))
    writable = [f"{inside}/{name}" for name in (job_folder.OUT, job_folder.TMP)]
    return {
        "folder": inside,
        "code": job_folder.CODE,
        "imports": interpreter.import_folders(),
        "uid": owner,
        # Inside of bubblewrap the parent is bubblewrap, which dies with us itself.
        "parent": None if job.mode is SandboxMode.BUBBLEWRAP else os.getpid(),
        "abi": abi,
        "handled": landlock.handled(abi),
        "rules": landlock.rules(readable, writable, abi),
        "limits": _rlimits(job.limits, os.geteuid() if owner is None else owner),
        "machine": platform.machine(),
        "program": build_filter(platform.machine()),
        "ready_fd": ready_fd,
        "statuses": {"memory": OUT_OF_MEMORY, "file": FILE_TOO_LARGE},
    }


def _rlimits(limits: Limits, uid: int) -> dict[str, tuple[int, int]]:
    """Soft and hard values; a job that outlives SIGXCPU is killed a second later."""
    single = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NPROC": thread_limit(uid, limits),
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    below = {name: min(value, _hard(name, value)) for name, value in single.items()}
    pairs = {name: (value, value) for name, value in below.items()}
    return {**pairs, "RLIMIT_CPU": (limits.cpu_s, limits.cpu_s + 1)}


def _hard(name: str, value: int) -> int:
    """Our own hard limit, above which only root may go."""
    hard = resource.getrlimit(getattr(resource, name))[1]
    return value if hard == resource.RLIM_INFINITY else hard


async def _first_cause(
    child: Child, output: Output, folder: Path, limits: Limits
) -> Outcome | None:
    """Wait for the end or for the first limit; none when it ended by itself."""
    causes: dict[asyncio.Task[Any], Outcome | None] = {
        _task(child.wait()): None,
        _task(output.overflowed.wait()): Outcome.OUTPUT,
        _task(_too_many_files(folder, limits)): Outcome.FILES,
    }
    try:
        done, _ = await asyncio.wait(
            causes, timeout=limits.wall_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
        found = [causes[task] for task in causes if task in done]
        return next((cause for cause in found if cause), None) if done else Outcome.TIMEOUT
    finally:
        for task in causes:
            task.cancel()
        await asyncio.gather(*causes, return_exceptions=True)


def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(work)


async def _too_many_files(folder: Path, limits: Limits) -> None:
    # Folders have no event for this that also counts bytes: it is asked again and again.
    while not await asyncio.to_thread(_is_over, folder, limits):  # noqa: ASYNC110
        await asyncio.sleep(WATCH_S)


def _is_over(folder: Path, limits: Limits) -> bool:
    used = job_folder.usage(folder, stop_at=limits.files)
    return used.entries > limits.files or used.bytes_on_disk > limits.folder_bytes


async def _close(child: Child, reading: asyncio.Task[None]) -> None:
    await child.close()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _judge(status: int, folder: Path, limits: Limits) -> Outcome:
    """The outcome of a job that ended by itself or by the kernel."""
    if _is_over(folder, limits):
        return Outcome.FILES
    if status == -signal.SIGXCPU:
        return Outcome.CPU
    if status < 0:
        return Outcome.KILLED
    named = {0: Outcome.FINISHED, OUT_OF_MEMORY: Outcome.MEMORY, FILE_TOO_LARGE: Outcome.FILES}
    return named.get(status, Outcome.ERROR)


def _not_bound(mode: SandboxMode, status: int, stderr: str) -> str:
    said = stderr.strip().splitlines()[-1:] or [f"exit status {status}"]
    return f"The sandbox ({mode.value}) could not be put in force: {said[0]}"


def is_known_machine() -> bool:
    """Whether the filter of system calls has numbers for this machine."""
    return platform.machine() in MACHINES

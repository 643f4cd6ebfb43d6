"""The parent of a fit's child process: starts it, passes its progress on, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmm_workflows.errors import FitFailed
from mmm_workflows.mmm.model_files import publish
from mmm_workflows.mmm.partial_folders import partial_folder
from mmm_workflows.ports import Exchange, FitJob, FitProgress
from mmm_workflows.traces import span

GRACE_S: Final = 1.0
LOOKS: Final = 50
JOB: Final = "job.json"
LOG: Final = "stderr.log"
LINE_LIMIT: Final = 1 << 20
# With fastmath, code that was just compiled and the same code from the cache round differently,
# and a second run of one seed shows other draws.
PYTENSOR_FLAGS: Final = "numba__fastmath=False"


@dataclass(frozen=True)
class FitPlace:
    """What a machine gives to its fits.

    Attributes:
        cache_dir: Compiled code is kept here, so that later fits start faster.
        environment: The environment of the child.
        exchange: What this machine shares with others; None: nothing but folders.
    """

    cache_dir: Path
    environment: Mapping[str, str]
    exchange: Exchange | None = None

    def variables(self) -> dict[str, str]:
        """The environment with the folders of compiled code."""
        return {
            **self.environment,
            "PYTENSOR_FLAGS": f"{PYTENSOR_FLAGS},base_compiledir={self.cache_dir / 'pytensor'}",
            "NUMBA_CACHE_DIR": str(self.cache_dir / "numba"),
            "MPLCONFIGDIR": str(self.cache_dir / "matplotlib"),
        }


async def fit_into(
    final: Path,
    job: FitJob,
    key: str,
    on_progress: Callable[[FitProgress], None],
    *,
    place: FitPlace,
) -> None:
    """Fit in a child process of its own process group, and publish its model folder as ``final``.

    Raises:
        FitFailed: The fit raised an error, or its process ended; nothing was published.
    """
    with partial_folder(final.parent) as partial:
        (partial / JOB).write_text(job.model_dump_json(), encoding="utf-8")
        with span("fit", key=key[:16], depth=job.depth.value):
            await _run_child(key, partial, on_progress, place)
        await asyncio.to_thread(_publish, partial, final)


async def _run_child(
    key: str, partial: Path, on_progress: Callable[[FitProgress], None], place: FitPlace
) -> None:
    place.cache_dir.mkdir(parents=True, exist_ok=True)
    log = partial / LOG
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mmm_workflows.fit_process",
            str(partial / JOB), str(partial), key, str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=place.variables(),
            start_new_session=True,
            limit=LINE_LIMIT,
        )  # fmt: skip
        try:
            failure = await _follow(child, on_progress)
            code = await child.wait()
        finally:
            await end_group(child)
    if failure is not None:
        raise failure
    if code != 0:
        raise FitFailed(_epitaph(code, log), code="fit_died")


def _publish(partial: Path, final: Path) -> None:
    for name in (JOB, LOG):
        (partial / name).unlink()
    publish(partial, final)


async def _follow(
    child: asyncio.subprocess.Process, on_progress: Callable[[FitProgress], None]
) -> FitFailed | None:
    """Pass progress on until the child closes its pipe; its failure, if it said one."""
    assert child.stdout is not None
    failure: FitFailed | None = None
    async for line in child.stdout:
        said = json.loads(line)
        if "failure" in said:
            failure = FitFailed(said["failure"], code=said["code"])
        else:
            on_progress(FitProgress.model_validate(said))
    return failure


async def end_group(child: asyncio.subprocess.Process) -> None:
    """TERM to the whole group, KILL after a second, so that nothing the child started stays.

    A caller that is cancelled meanwhile, however often, hears of it when the group has ended.
    """
    ending = asyncio.ensure_future(_end(child))
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait({ending})
        except asyncio.CancelledError as error:
            cancelled = error
    ending.result()
    if cancelled is not None:
        raise cancelled


async def _end(child: asyncio.subprocess.Process) -> None:
    try:
        _signal(child.pid, signal.SIGTERM)
        for _ in range(LOOKS):
            if not _signal(child.pid, 0):
                break
            await asyncio.sleep(GRACE_S / LOOKS)
    finally:
        # Also when the loop itself ends, which cancels every task.
        _signal(child.pid, signal.SIGKILL)
        await child.wait()


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group; whether somebody is in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False  # macOS says the second of those that only wait to be buried
    return True


def _epitaph(code: int, log: Path) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    said = f" Its last words: {' / '.join(last)}" if last else ""
    return (
        f"The process of the fit {how} without a result.{said} Nothing was published; resume the "
        "run to fit again. If it was killed for memory, use fewer channels or draws."
    )

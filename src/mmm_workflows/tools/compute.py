"""Fits in child processes of this machine: a real kill cancels one, its crash is survived."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from mmm_workflows.errors import FitFailed, ModelFileError
from mmm_workflows.mmm.model_files import open_model, publish
from mmm_workflows.mmm.partial_folders import partial_folder
from mmm_workflows.ports import FitJob, FitOutcome, FitProgress

GRACE_S: Final = 1.0
JOB: Final = "job.json"
LOG: Final = "stderr.log"
LINE_LIMIT: Final = 1 << 20
# With fastmath, code that was just compiled and the same code from the cache round differently,
# and a second run of one seed shows other draws.
PYTENSOR_FLAGS: Final = "numba__fastmath=False"
PACKAGE: Final = Path(__file__).parent.parent
ROOMS: Final = ("bayes", "mmm")
VERSIONED: Final = ("pymc", "pymc-marketing", "pytensor", "nutpie")


@cache
def code_version() -> str:
    """The hash of everything that turns a job into numbers: our sources, the libraries' versions."""
    digest = hashlib.sha256(PYTENSOR_FLAGS.encode())
    for room in ROOMS:
        for source in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(source.read_bytes())
    for package in VERSIONED:
        digest.update(f"{package}=={version(package)}".encode())
    return digest.hexdigest()


def fit_key(job: FitJob) -> str:
    """Equal for jobs that must give equal numbers."""
    parts = [job.mff_sha256, job.spec.digest(), str(job.seed), job.depth.value, code_version()]
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


class LocalCompute:
    """Runs each fit in a child process of its own, in its own process group.

    Args:
        models_dir: Model folders are published in ``models_dir/<project>/<key>``.
        cache_dir: Compiled code is kept here, so that later fits start faster.
        environment: The environment of the child.
    """

    def __init__(
        self, models_dir: Path, cache_dir: Path, *, environment: Mapping[str, str]
    ) -> None:
        self._models_dir = models_dir
        self._environment = {
            **environment,
            "PYTENSOR_FLAGS": f"{PYTENSOR_FLAGS},base_compiledir={cache_dir / 'pytensor'}",
            "NUMBA_CACHE_DIR": str(cache_dir / "numba"),
            "MPLCONFIGDIR": str(cache_dir / "matplotlib"),
        }
        self._cache_dir = cache_dir
        self._on_its_way: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def fit(self, job: FitJob, on_progress: Callable[[FitProgress], None]) -> FitOutcome:
        """Fit, or find the folder of an equal fit; see ``ports.Compute``."""
        key = await asyncio.to_thread(fit_key, job)
        final = self._models_dir / job.project / key[:16]
        # An equal fit that is on its way is waited for, not made twice.
        async with self._on_its_way.setdefault(key, asyncio.Lock()):
            if await asyncio.to_thread(_is_intact, final):
                return FitOutcome(folder=final, reused=True)
            with partial_folder(final.parent) as partial:
                (partial / JOB).write_text(job.model_dump_json(), encoding="utf-8")
                await self._run_child(key, partial, on_progress)
                await asyncio.to_thread(_publish, partial, final)
        return FitOutcome(folder=final, reused=False)

    async def _run_child(
        self, key: str, partial: Path, on_progress: Callable[[FitProgress], None]
    ) -> None:
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        log = partial / LOG
        with log.open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mmm_workflows.fit_process",
                str(partial / JOB), str(partial), key, str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
                limit=LINE_LIMIT,
            )  # fmt: skip
            try:
                failure = await _follow(child, on_progress)
                code = await child.wait()
            finally:
                await _end(child)
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


async def _end(child: asyncio.subprocess.Process) -> None:
    """TERM to the whole group, KILL after a second; nothing to do when it has ended."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(asyncio.shield(child.wait()), GRACE_S)
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _epitaph(code: int, log: Path) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    said = f" Its last words: {' / '.join(last)}" if last else ""
    return (
        f"The process of the fit {how} without a result.{said} Nothing was published; resume the "
        "run to fit again. If it was killed for memory, use fewer channels or draws."
    )


def _is_intact(folder: Path) -> bool:
    try:
        open_model(folder).verify()
    except ModelFileError as error:
        if error.code != "model_not_found":
            shutil.rmtree(folder, ignore_errors=True)
        return False
    return True

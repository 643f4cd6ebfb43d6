"""Fits in child processes of this machine: a real kill cancels one, its crash is survived."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from mmm_workflows.ports import Exchange, FitJob, FitOutcome, FitProgress
from mmm_workflows.tools.fit_child import PYTENSOR_FLAGS, FitPlace, fit_into
from mmm_workflows.tools.models import Models

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


class EqualFits:
    """Model folders by what decides their numbers; an equal fit is found or waited for.

    Args:
        models: Where they lie; what is made here is shared there.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._on_its_way: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find_or(
        self, job: FitJob, make: Callable[[Path, str], Awaitable[None]]
    ) -> FitOutcome:
        """The folder of an equal fit, or the one that ``make(folder, key)`` publishes."""
        key = await asyncio.to_thread(fit_key, job)
        final = self._models.place(job.project, key)
        # An equal fit that is on its way is waited for, not made twice.
        async with self._on_its_way.setdefault(key, asyncio.Lock()):
            was_there = await self._models.find(final)
            if not was_there:
                await make(final, key)
            # Also one that was: its maker may have died before it was shared.
            await self._models.share(final)
        return FitOutcome(folder=final, reused=was_there)


class LocalCompute:
    """Runs each fit in a child process of its own, in its own process group.

    Args:
        models_dir: Model folders are published in ``models_dir/<project>/<key>``.
        cache_dir: Compiled code is kept here, so that later fits start faster.
        environment: The environment of the child.
        exchange: What machines share; each model lies there as well.
    """

    def __init__(
        self,
        models_dir: Path,
        cache_dir: Path,
        *,
        environment: Mapping[str, str],
        exchange: Exchange | None = None,
    ) -> None:
        self._fits = EqualFits(Models(models_dir, exchange))
        self._place = FitPlace(cache_dir, environment)

    async def fit(self, job: FitJob, on_progress: Callable[[FitProgress], None]) -> FitOutcome:
        """Fit, or find the folder of an equal fit; see ``ports.Compute``."""

        async def make(final: Path, key: str) -> None:
            await fit_into(final, job, key, on_progress, place=self._place)

        return await self._fits.find_or(job, make)

    async def check(self) -> None:
        """This machine can always try."""

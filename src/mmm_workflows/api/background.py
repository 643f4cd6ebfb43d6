"""Runs that were accepted are worked on here, a few at a time, while their callers go on."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Final, Self

from mmm_workflows.errors import MMMError, RunError
from mmm_workflows.workflows.runner import Runner

# A fit takes two cores; more at once would only make each slower.
AT_ONCE: Final = 2

logger = logging.getLogger(__name__)


class Background:
    """Owns one task per run that this process works on or is about to; closing cancels them."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def refuse_busy(self, workflow_id: str) -> None:
        """Refuse a run that is worked on, or about to be.

        Raises:
            RunError: It is (``run_busy``).
        """
        if workflow_id in self._tasks:
            raise RunError(
                f"Run {workflow_id} is being worked on. Follow it on /ws/{workflow_id}, or cancel "
                "it first.",
                code="run_busy",
            )

    def execute(self, workflow_id: str, *, answer: str | None = None) -> None:
        """Work on a run that was submitted; one that is worked on already is left alone."""
        if workflow_id in self._tasks:
            return
        task = asyncio.create_task(self._work(workflow_id, answer), name=f"run {workflow_id}")
        self._tasks[workflow_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(workflow_id, None))

    async def _work(self, workflow_id: str, answer: str | None) -> None:
        try:
            async with self._slots:
                await self._runner.execute(workflow_id, answer=answer)
        except MMMError as error:
            # The run's own record holds it; the log is for errors of starting it at all.
            logger.warning("run %s: %s: %s", workflow_id, error.code, error.message)

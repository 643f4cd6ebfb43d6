"""Takes runs from the queue and works on them, a few at a time, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Final, Self

from mmm_workflows.db.claims import Claim
from mmm_workflows.errors import MMMError, ServiceUnavailable
from mmm_workflows.workflows.queue import Queue
from mmm_workflows.workflows.runner import Runner

# How often the queue is looked at when nobody in this process says that there is news.
LOOK_EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


class Worker:
    """Works on queued runs for the length of a block; what is left at its end is put back.

    Args:
        runner: Who executes them.
        at_once: How many at a time; 0 takes none.
        drain_s: How long those in progress get to end by themselves at the end of the block.
    """

    def __init__(self, runner: Runner, *, at_once: int, drain_s: float) -> None:
        self._queue = Queue(runner)
        self._at_once = at_once
        self._drain_s = drain_s
        self._news = asyncio.Event()
        self._is_stopping = False
        self._is_away = False
        self._taking: asyncio.Task[None] | None = None
        self._works: dict[asyncio.Task[None], Claim] = {}

    async def __aenter__(self) -> Self:
        if self._at_once:
            self._taking = asyncio.create_task(self._take_runs(), name="worker")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._is_stopping = True
        self.wake()
        if self._taking is not None:
            await asyncio.wait({self._taking})
        if self._works:
            await asyncio.wait(self._works, timeout=self._drain_s)
        left = dict(self._works)
        for work, claim in left.items():
            claim.is_put_back = True
            work.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def wake(self) -> None:
        """Look at the queue now: something was put there, or a place is free."""
        self._news.set()

    async def _take_runs(self) -> None:
        while not self._is_stopping:
            self._news.clear()
            claim = await self._taken() if len(self._works) < self._at_once else None
            if claim is not None:
                self._begin(claim)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_EVERY_S)

    async def _taken(self) -> Claim | None:
        """The next run, if any; whatever is wrong now, what was accepted is looked for again."""
        try:
            claim = await self._queue.take()
        except ServiceUnavailable as error:
            if not self._is_away:
                logger.warning("the queue cannot be read: %s", error.message)
        except Exception:
            if not self._is_away:
                logger.critical("no run can be taken from the queue", exc_info=True)
        else:
            self._is_away = False
            return claim
        self._is_away = True
        return None

    def _begin(self, claim: Claim) -> None:
        work = asyncio.create_task(self._work(claim), name=f"run {claim.workflow_id}")
        self._works[work] = claim
        work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        del self._works[work]
        self.wake()

    async def _work(self, claim: Claim) -> None:
        try:
            await self._queue.work_on(claim)
        except MMMError as error:
            # The run's own record holds it; the log is for what could not be written there.
            logger.warning("run %s: %s: %s", claim.workflow_id, error.code, error.message)
        except Exception:
            logger.exception("run %s was left by its worker", claim.workflow_id)

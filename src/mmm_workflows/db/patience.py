"""How long the executor of a run waits for a database that went away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, Final, Protocol

from mmm_workflows.db.engine import uninterrupted
from mmm_workflows.errors import ServiceLost

PAUSE_S: Final = 0.5

logger = logging.getLogger(__name__)


class Patience:
    """One wait for all that an execution reads and writes; it begins with the first failure.

    Args:
        total_s: How long after that a call is still made again.
        workflow_id: The run to resume when it is over.
    """

    def __init__(self, total_s: float, *, workflow_id: str) -> None:
        self._total_s = total_s
        self._workflow_id = workflow_id
        self._since: float | None = None
        self._answered_at = float("-inf")
        self._delays: list[float] = []

    async def keep_trying[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What an attempt gives, made again while the database is away.

        Args:
            attempt: Safe to make again also when the database had taken it.

        Raises:
            ServiceLost: The database is not back in time; says how to resume the run.
        """
        loop = asyncio.get_running_loop()
        first: float | None = None
        while True:
            began = loop.time()
            try:
                value = await attempt()
            except ServiceLost as error:
                now = loop.time()
                first = since = first or now
                # What began before another store of the same server was answered says nothing
                # of now: it is told once that the database went away.
                if began > self._answered_at:
                    since = min(first, self._noticed(now, error))
                if now - since >= self._total_s:
                    raise self._spent(error) from error
                await asyncio.sleep(PAUSE_S)
            else:
                self._answered(loop.time())
                return value

    def stop(self) -> None:
        """Wait no more: each further call is made once."""
        self._total_s = 0.0

    @property
    def delays(self) -> tuple[float, ...]:
        """How many seconds records had to wait, once for each time that the database went away."""
        return tuple(self._delays)

    def _noticed(self, now: float, error: ServiceLost) -> float:
        if self._since is None:
            self._since = now
            logger.warning(
                "run %s goes on and waits up to %.0f s for its records: %s",
                self._workflow_id,
                self._total_s,
                error.message,
            )
        return self._since

    def _answered(self, now: float) -> None:
        self._answered_at = now
        if self._since is not None:
            self._delays.append(now - self._since)
            logger.warning(
                "the records of run %s are written again after %.1f s",
                self._workflow_id,
                now - self._since,
            )
            self._since = None

    def _spent(self, error: ServiceLost) -> ServiceLost:
        return ServiceLost(
            f"{error.message} Run {self._workflow_id} waited {self._total_s:g} s for it "
            "(DATABASE_PATIENCE_S) and was stopped; when it is back, `mmm-workflows resume "
            f"{self._workflow_id}` goes on where it was."
        )


class _MayWait(Protocol):
    _patience: Patience | None


def kept_trying[S: _MayWait, **P, R](
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let a store's method end as ``uninterrupted`` does, and make it again where it has patience.

    Between two attempts a cancellation is seen at once.
    """
    whole = uninterrupted(method)

    @wraps(method)
    async def tried(store: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if store._patience is None:
            return await whole(store, *args, **kwargs)
        return await store._patience.keep_trying(partial(whole, store, *args, **kwargs))

    return tried

"""The house is opened behind the service: the process answers before its libraries are loaded."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from mmm_workflows.errors import MMMError, ServiceUnavailable

# A cold disk takes this long; a caller would rather wait than ask again.
WAIT_S: Final = 30.0

logger = logging.getLogger(__name__)


class Opening[H]:
    """Opens the house in a task of its own, and closes it there at the end.

    Args:
        open_house: Opens it; what it puts on the stack is closed with it.
    """

    def __init__(self, open_house: Callable[[AsyncExitStack], Awaitable[H]]) -> None:
        self._open_house = open_house
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[H] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._hold(), name="house")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._closing.set()
        if not self.is_open:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_open(self) -> bool:
        """Whether it can be used already."""
        return self._opened.done()

    async def house(self, *, wait_s: float = WAIT_S) -> H:
        """The house, once it is open.

        Raises:
            ServiceUnavailable: It is not within ``wait_s`` (``service_starting``).
        """
        if not self.is_open:
            waited: set[asyncio.Future[Any]] = {self._opened, self._task}
            await asyncio.wait(waited, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if not self.is_open:
            raise ServiceUnavailable(
                "The service is still being opened. Ask again in a moment; /health/ready says when.",
                code="service_starting",
            )
        return self._opened.result()

    async def _hold(self) -> None:
        async with AsyncExitStack() as stack:
            self._opened.set_result(await self._open_house(stack))
            await self._closing.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        # Said once, and the process ends: a service that is set and cannot be used is no start.
        if isinstance(error, MMMError):
            logger.error("the service cannot be opened: %s: %s", error.code, error.message)
        else:
            logger.error("the service cannot be opened", exc_info=error)
        signal.raise_signal(signal.SIGTERM)

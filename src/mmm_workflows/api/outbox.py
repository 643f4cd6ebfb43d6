"""What waits for memory is taken while the service runs, also what other processes left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mmm_workflows.errors import MMMError
from mmm_workflows.workflows.runner import Runner

EVERY_S: Final = 5.0
# A store that is away is not asked all the time.
WHEN_DELAYED_S: Final = 30.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def draining(runner: Runner, *, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Take what waits again and again, for the length of the block."""
    task = asyncio.create_task(_drain(runner, every_s), name="outbox of memory")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _drain(runner: Runner, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await runner.memory.drain()
            is_done = (await runner.memory.backlog()).waiting == 0
        except MMMError as error:
            logger.warning("memory: %s: %s", error.code, error.message)
            is_done = False
        except Exception:
            logger.exception("memory: what waits is not taken; it is tried again")
            is_done = False
        if not is_done:
            await asyncio.sleep(WHEN_DELAYED_S - every_s)

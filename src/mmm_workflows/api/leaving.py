"""Work that is stopped when nobody waits for its answer any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import Request


async def unless_left[T](request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work comes to; None where the caller left before, and it was cancelled.

    The body of the request must have been read: what comes after it is that the caller leaves.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""Waiting that a cancellation does not leave half done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def finish(work: Awaitable[None]) -> None:
    """Do it to its end, also when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def acquire[T](work: Awaitable[T], release: Callable[[T], Awaitable[None]]) -> T:
    """The result; when the caller is cancelled meanwhile it is made and released again."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if task.exception() is None:
            await finish(release(task.result()))
        raise

"""What is counted of callers: how often they asked, and how many are in at once."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, Protocol

from mmm_workflows.api.turnstile import Turnstile

type Asked = Literal["requests", "starts"]
type Room = Literal["requests", "sockets"]


class Counts(Protocol):
    """Counts callers, within one process or over several."""

    async def to_wait(self, what: Asked, limit: int, who: str) -> int:
        """Count a caller in, so often a minute; seconds until it may ask again, 0: it may now."""
        ...

    def place(self, room: Room, limit: int) -> AbstractAsyncContextManager[bool]:
        """A place for the length of the block, and whether there was one."""
        ...


class LocalCounts:
    """Counts within this process: N replicas let N times as much in."""

    def __init__(self) -> None:
        self._asked: defaultdict[Asked, Turnstile] = defaultdict(Turnstile)
        self._taken: Counter[Room] = Counter()

    async def to_wait(self, what: Asked, limit: int, who: str) -> int:
        """Count a caller in, so often a minute; seconds until it may ask again, 0: it may now."""
        return math.ceil(self._asked[what].wait_s(who, limit, time.monotonic()))

    @asynccontextmanager
    async def place(self, room: Room, limit: int) -> AsyncIterator[bool]:
        """A place for the length of the block, and whether there was one."""
        if self._taken[room] >= limit:
            yield False
            return
        self._taken[room] += 1
        try:
            yield True
        finally:
            self._taken[room] -= 1

"""One request per host at a time, and a pause between two of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

FORGOTTEN_AFTER_S: Final = 600.0
MOST_REMEMBERED: Final = 1000


@dataclass
class _Host:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    left_at: float = float("-inf")


class HostTurns:
    """Hands out turns to ask a host; the pause counts from the end of the turn before.

    Args:
        pause_s: Between two turns of one host.
        longest_pause_s: Of what a site may ask for.
    """

    def __init__(self, *, pause_s: float = 1.0, longest_pause_s: float = 10.0) -> None:
        self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, *, asked_pause_s: float = 0.0) -> AsyncIterator[None]:
        """Hold the host for the length of the block, after the pause that is due.

        Never hold two hosts at once: another caller may hold them the other way round.
        """
        self._forget()
        state = self._hosts.setdefault(host, _Host())
        state.waiting += 1
        try:
            async with state.turn:
                pause_s = max(self._pause_s, min(asked_pause_s, self._longest_pause_s))
                await asyncio.sleep(max(0.0, state.left_at + pause_s - time.monotonic()))
                try:
                    yield
                finally:
                    state.left_at = time.monotonic()
        finally:
            state.waiting -= 1

    def _forget(self) -> None:
        if len(self._hosts) < MOST_REMEMBERED:
            return
        before = time.monotonic() - FORGOTTEN_AFTER_S
        for host in [h for h, s in self._hosts.items() if not s.waiting and s.left_at < before]:
            del self._hosts[host]

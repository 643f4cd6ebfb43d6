"""How often each of many may pass within a minute."""

from __future__ import annotations

from collections import deque
from typing import Final

WITHIN_S: Final = 60.0


class Turnstile:
    """Lets everyone pass so many times within any stretch of a minute.

    It keeps the moment of each passing of the last minute: a few microseconds per passing, and at
    most as many moments as may pass.
    """

    def __init__(self) -> None:
        self._passed: dict[str, deque[float]] = {}
        self._swept_at = 0.0

    def wait_s(self, who: str, limit: int, now: float) -> float:
        """Seconds until this one may pass again; 0: has just passed.

        Args:
            who: Anyone's name.
            limit: How often this one may pass within a minute, at least once.
            now: The present moment of a clock that never goes back, in seconds.
        """
        self._sweep(now)
        passed = self._passed.setdefault(who, deque())
        while passed and passed[0] + WITHIN_S <= now:
            passed.popleft()
        if len(passed) >= limit:
            return passed[0] + WITHIN_S - now
        passed.append(now)
        return 0.0

    @property
    def known(self) -> int:
        """How many have passed within the last minute or two."""
        return len(self._passed)

    def _sweep(self, now: float) -> None:
        """Forget those who did not come back: names are as many as there are addresses."""
        if now - self._swept_at >= WITHIN_S:
            self._swept_at = now
            self._passed = {n: p for n, p in self._passed.items() if p and p[-1] + WITHIN_S > now}

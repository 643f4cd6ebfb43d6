"""What sites allow programs to read: robots.txt after RFC 9309, kept for a day."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import yarl
from protego import Protego

from mmm_workflows.errors import WebError
from mmm_workflows.tools.addresses import redirected
from mmm_workflows.tools.guarded_http import Answer, GuardedHttp
from mmm_workflows.tools.politeness import HostTurns

# RFC 9309 asks for at least five redirects and 500 KiB; what is longer is cut.
MOST_REDIRECTS: Final = 5
MOST_BYTES: Final = 500 * 1024
KEPT_S: Final = 24 * 3600.0
# A site that could not say what it allows is asked again after this.
RETRIED_AFTER_S: Final = 300.0
MOST_REMEMBERED: Final = 1000
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class _Rules:
    """Of one origin, or why they are not known; RFC 9309 then wants nothing to be read."""

    until: float
    parsed: Protego | None = None
    failure: tuple[str, str] = ("", "page_robots")


class Robots:
    """Answers whether a page may be read, from the robots.txt of its origin.

    Args:
        product: The name under which rules for this program are looked up.
        clock: Seconds; the ages of what is kept are measured with it.
    """

    def __init__(
        self,
        http: GuardedHttp,
        turns: HostTurns,
        *,
        product: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._turns = turns
        self._product = product
        self._clock = clock
        self._kept: dict[str, _Rules] = {}
        self._on_its_way: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def pause_s(self, url: yarl.URL) -> float:
        """The pause between requests that the site asks for; 0 when it asks for none.

        Raises:
            WebError: The site does not want the page to be read by programs, or cannot say so
                now (``page_robots``); or asking for its rules failed (any other code).
        """
        kept = await self._rules(url.origin())
        if kept.parsed is None:
            message, code = kept.failure
            raise WebError(message, code=code)
        rules = kept.parsed
        # Long rules for a long address take a third of a second.
        if not await asyncio.to_thread(rules.can_fetch, str(url), self._product):
            raise WebError(
                f"{url.host} does not want {url.path} to be read by programs (robots.txt).",
                code="page_robots",
            )
        return rules.crawl_delay(self._product) or 0.0

    async def _rules(self, origin: yarl.URL) -> _Rules:
        key = str(origin)
        async with self._on_its_way.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.until <= self._clock():
                kept = await self._asked(origin)
                self._remember(key, kept)
            return kept

    async def _asked(self, origin: yarl.URL) -> _Rules:
        try:
            answer = await self._followed(origin.with_path("/robots.txt"))
        except WebError as error:
            return self._unknown(error.message, error.code)
        if answer is not None and (answer.status == 429 or answer.status >= 500):
            return self._unknown(
                f"{origin.host} cannot say what programs may read (status {answer.status}), so "
                "nothing of it is read for some minutes.",
                "page_robots",
            )
        # Any other answer but a page means that there are no rules.
        body = answer.body if answer is not None and answer.status == 200 else b""
        text = body.decode("utf-8-sig", errors="replace")
        parsed = await asyncio.to_thread(Protego.parse, text)
        return _Rules(self._clock() + KEPT_S, parsed)

    async def _followed(self, url: yarl.URL) -> Answer | None:
        """The answer after redirects; None when there are too many."""
        for _ in range(MOST_REDIRECTS + 1):
            async with self._turns.turn(str(url.raw_host)):
                answer = await self._http.get(url, max_bytes=MOST_BYTES, cut=True)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            url = redirected(url, location)
        return None

    def _unknown(self, message: str, code: str) -> _Rules:
        return _Rules(self._clock() + RETRIED_AFTER_S, failure=(message, code))

    def _remember(self, key: str, rules: _Rules) -> None:
        if len(self._kept) >= MOST_REMEMBERED:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = rules

"""The web as one run of Research sees it: a search and a reader, within limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final, Literal

from mmm_workflows.errors import PageWithoutText, WebError
from mmm_workflows.mmm.pages import Page, SearchHit, WebOutcome, WebRecord
from mmm_workflows.ports import PageReader, Search

HITS_PER_SEARCH: Final = 10
PAGE_BYTES: Final = 2_000_000
READERS: Final = 4
# A page with less text than this is one that a browser must build first.
READABLE_CHARACTERS: Final = 200
# Ends of a reading before the body of a page came.
WITHOUT_A_BODY: Final = frozenset(
    {"page_robots", "page_forbidden", "page_status", "page_unreachable", "page_not_recorded"}
)

type WebMode = Literal["off", "on", "replay"]


@dataclass(frozen=True, kw_only=True)
class WebLimits:
    """What one run may take from the web."""

    queries: int
    pages: int
    bytes: int
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Web:
    """A search and a reader that belong together."""

    mode: WebMode
    search: Search
    reader: PageReader


@dataclass(frozen=True)
class ReaderWithBrowser:
    """Reads without a browser, and with one what shows next to nothing without it."""

    plain: PageReader
    browser: PageReader

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """The visible text of the page at ``url``; see ``ports.PageReader``."""
        try:
            page = await self.plain.read(url, max_bytes=max_bytes)
        except PageWithoutText:
            return await self.browser.read(url, max_bytes=max_bytes)
        if len(page.text) >= READABLE_CHARACTERS:
            return page
        left = max_bytes - page.size_bytes
        shown = await self.browser.read(page.final_url, max_bytes=left)
        return shown.model_copy(
            update={"url": url, "size_bytes": page.size_bytes + shown.size_bytes}
        )


# Mode, the folder of a replay, and the folder in which a look at the live web is recorded.
type OpenWeb = Callable[[WebMode, Path | None, Path], AbstractAsyncContextManager[Web]]


class Reading(WebRecord):
    """What was found on the web, in the order of the hits."""

    queries: tuple[str, ...]
    hits: int
    pages: tuple[Page, ...]
    outcomes: tuple[WebOutcome, ...]


type Said = Callable[[float, str], Awaitable[None]]


@dataclass
class WebReading:
    """One bounded look at the web: searches first, then the pages of their hits, best first."""

    web: Web
    limits: WebLimits
    say: Said
    _outcomes: list[WebOutcome] = field(default_factory=list)
    _bytes_left: int = 0
    _deadline: float = 0.0

    async def run(self, queries: Sequence[str]) -> Reading:
        """Search for each query and read what it finds; no failure ends it, each is named."""
        self._bytes_left = self.limits.bytes
        self._deadline = time.monotonic() + 60 * self.limits.minutes
        asked = tuple(queries[: self.limits.queries])
        found = await self._search(asked)
        urls = _best_first(found)[: self.limits.pages]
        # A record is read in order, so that its bytes run out at the same page each time.
        slots = asyncio.Semaphore(1 if self.web.mode == "replay" else READERS)
        reads = [asyncio.create_task(self._read(url, slots)) for url in urls]
        try:
            pages = await asyncio.gather(*reads)
        finally:
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        return Reading(
            queries=asked,
            hits=sum(len(hits) for hits in found),
            pages=_distinct([page for page in pages if page is not None]),
            outcomes=tuple(sorted(self._outcomes, key=lambda o: (o.asked, o.code))),
        )

    async def _search(self, queries: Sequence[str]) -> list[tuple[SearchHit, ...]]:
        found = []
        for index, query in enumerate(queries):
            await self.say(0.4 * index / len(queries), f"searching: {query}")
            try:
                hits = await self._within(self.web.search.search(query, limit=HITS_PER_SEARCH))
            except WebError as error:
                self._note(query, error)
                # An engine that wants to be left alone, or a budget that is spent, stays so.
                if error.code in ("search_rate_limited", "web_budget"):
                    break
            else:
                found.append(hits)
        return found

    async def _read(self, url: str, slots: asyncio.Semaphore) -> Page | None:
        async with slots:
            reserved = min(PAGE_BYTES, self._bytes_left)
            self._bytes_left -= reserved
            try:
                if reserved <= 0:
                    raise WebError("All the bytes of this run are used up.", code="web_budget")
                page = await self._within(self.web.reader.read(url, max_bytes=reserved))
            except WebError as error:
                self._note(url, error)
                if error.code in WITHOUT_A_BODY:
                    self._bytes_left += reserved
                return None
            self._bytes_left += max(0, reserved - page.size_bytes)
            await self.say(0.8, f"read: {page.final_url}")
            return page

    async def _within[T](self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                return await work
        except TimeoutError as error:
            raise WebError(
                f"The {self.limits.minutes:g} minutes of this run are used up.", code="web_budget"
            ) from error

    def _note(self, asked: str, error: WebError) -> None:
        self._outcomes.append(WebOutcome(asked=asked, code=error.code, message=error.message))


def _best_first(found: Sequence[tuple[SearchHit, ...]]) -> list[str]:
    """The first hit of each search, then the second of each, every address once."""
    ranked = [hit.url for rank in zip_longest(*found) for hit in rank if hit is not None]
    return list(dict.fromkeys(ranked))


def _distinct(pages: Sequence[Page]) -> tuple[Page, ...]:
    """One page per text: the same article under two addresses is one source."""
    return tuple({page.sha256: page for page in reversed(pages)}.values())[::-1]

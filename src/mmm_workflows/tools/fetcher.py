"""Reads pages of the public web without a browser."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yarl

from mmm_workflows.errors import PageWithoutText, WebError
from mmm_workflows.mmm.pages import Page, text_sha256
from mmm_workflows.tools.addresses import AddressGuard, checked_url, redirected
from mmm_workflows.tools.charsets import decoded
from mmm_workflows.tools.guarded_http import Answer, GuardedHttp
from mmm_workflows.tools.page_cache import PageCache
from mmm_workflows.tools.page_text import plain_text, visible_text
from mmm_workflows.tools.politeness import HostTurns
from mmm_workflows.tools.robots import REDIRECTS, Robots

PLAIN: Final = "text/plain"
CONTENT_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", PLAIN})
MOST_REDIRECTS: Final = 5
COME_BACK: Final = frozenset({429, 503})
HOW: Final = "http"

logger = logging.getLogger(__name__)


class HttpPageReader:
    """Reads pages as ``ports.PageReader`` asks, politely and from the public web alone.

    Args:
        guard: Decides which addresses are dialled.
        cache_dir: Pages are kept here; may be deleted at any time.
        user_agent: Product name first, then a contact: ``mmm-workflows (+https://…)``.
        max_age_s: A page that was read longer ago is read again.
        pause_s: Between two requests to one host.
        longest_pause_s: Of what a site may ask for, be it Crawl-delay or Retry-After.
        answer_timeout_s: For one answer of a server.
        timeout_s: For all that reading one page takes: robots.txt, turns, redirects, text.
        trust: Whose certificates are believed; the system's authorities when it is left out.
    """

    def __init__(
        self,
        guard: AddressGuard,
        cache_dir: Path,
        *,
        user_agent: str,
        max_age_s: float = 24 * 3600.0,
        pause_s: float = 1.0,
        longest_pause_s: float = 10.0,
        answer_timeout_s: float = 15.0,
        timeout_s: float = 60.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._cache = PageCache(cache_dir, max_age_s=max_age_s)
        self._turns = HostTurns(pause_s=pause_s, longest_pause_s=longest_pause_s)
        self._http = GuardedHttp(
            guard, user_agent=user_agent, timeout_s=answer_timeout_s, trust=trust
        )
        product = user_agent.partition(" ")[0].partition("/")[0]
        self._robots = Robots(self._http, self._turns, product=product)
        self._longest_pause_s = longest_pause_s
        self._timeout_s = timeout_s

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """The visible text of the page at ``url``; see ``ports.PageReader``."""
        asked = checked_url(url)
        kept = await asyncio.to_thread(self._cache.get, str(asked))
        if kept is not None and kept.size_bytes <= max_bytes:
            return kept
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._followed(asked, max_bytes)
                page = await asyncio.to_thread(_page, asked, answer)
        except TimeoutError:
            raise WebError(
                f"The page of {asked.host} was not read within {self._timeout_s:g} s.",
                code="page_timeout",
            ) from None
        await asyncio.to_thread(self._keep, page)
        return page

    async def may_read(self, url: yarl.URL) -> None:
        """Ask the site's robots.txt, for a reader that fetches the page in another way.

        Raises:
            WebError: The site does not want it to be read by programs (``page_robots``).
        """
        await self._robots.pause_s(url)

    async def _followed(self, url: yarl.URL, max_bytes: int) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._asked(url, max_bytes)
            if answer.status == 200:
                return answer
            url = _next(url, answer)
        raise WebError(
            f"{url.host} sent the reader on more than {MOST_REDIRECTS} times.", code="page_status"
        )

    async def _asked(self, url: yarl.URL, max_bytes: int) -> Answer:
        """The answer to one address; asked once more when the site says in how many seconds."""
        pause_s = await self._robots.pause_s(url)
        answer = await self._in_turn(url, max_bytes, pause_s)
        wait_s = _retry_after_s(answer)
        if wait_s is None or wait_s > self._longest_pause_s:
            return answer
        return await self._in_turn(url, max_bytes, max(pause_s, wait_s))

    async def _in_turn(self, url: yarl.URL, max_bytes: int, pause_s: float) -> Answer:
        async with self._turns.turn(str(url.raw_host), asked_pause_s=pause_s):
            return await self._http.get(url, max_bytes=max_bytes, content_types=CONTENT_TYPES)

    def _keep(self, page: Page) -> None:
        try:
            self._cache.put(page)
        except OSError as error:
            # The page was read; that it will be read again is not worth losing it.
            logger.warning("A page could not be kept: %s", error.strerror)


def _next(url: yarl.URL, answer: Answer) -> yarl.URL:
    """Where a redirect leads.

    Raises:
        WebError: The answer is none (``page_status``), or leads where nothing is read or from
            https to http (``page_forbidden``).
    """
    location = answer.headers.get("Location")
    if answer.status not in REDIRECTS or not location:
        raise WebError(f"{url.host} answered with status {answer.status}.", code="page_status")
    following = redirected(url, location)
    if (url.scheme, following.scheme) == ("https", "http"):
        raise WebError(
            f"{url.host} sent the reader on from https to http, where anyone on the way could "
            "change the page.",
            code="page_forbidden",
        )
    return following


def _retry_after_s(answer: Answer) -> float | None:
    """Seconds after which the site wants to be asked again; dates are not waited for."""
    said = answer.headers.get("Retry-After", "").strip()
    if answer.status not in COME_BACK or not said.isascii() or not said.isdigit():
        return None
    return float(said[:9])


def _page(asked: yarl.URL, answer: Answer) -> Page:
    host = str(answer.url.host)
    text = decoded(answer.body, declared=answer.charset, host=host)
    if answer.content_type == PLAIN:
        title, seen = "", plain_text(text)
    else:
        title, seen = visible_text(text, url=str(answer.url))
    if not seen:
        raise PageWithoutText(
            f"The page of {host} has no text that a reader would see without a browser."
        )
    return Page(
        url=str(asked),
        final_url=str(answer.url),
        title=title,
        text=seen,
        sha256=text_sha256(seen),
        fetched_at=datetime.now(UTC),
        content_type=answer.content_type,
        size_bytes=answer.wire_bytes,
        how=HOW,
    )

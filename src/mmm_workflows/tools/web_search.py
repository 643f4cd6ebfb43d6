"""Searches the web by one engine that stays the same, so that a search can be repeated."""

from __future__ import annotations

import asyncio
import html
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

import yarl
from ddgs.engines import ENGINES
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException
from lxml.etree import LxmlError

from mmm_workflows.errors import SettingsError, WebError
from mmm_workflows.mmm.pages import SearchHit
from mmm_workflows.tools.addresses import checked_url

LONGEST_QUERY: Final = 400
LONGEST_TITLE: Final = 300
LONGEST_SNIPPET: Final = 1000
REGION: Final = re.compile(r"[a-z]{2}-[a-z]{2}")
# DuckDuckGo sends its challenge with 202; the others refuse programs with 403.
TOO_OFTEN: Final = frozenset({202, 403, 418, 429})
# What pages say that an engine shows in place of results.
CHALLENGES: Final = (
    "captcha",
    "anomaly-modal",
    "anomaly.js",
    "unusual traffic",
    "not a robot",
    "are you a robot",
    "verify you are human",
    "cf-challenge",
)
# The parsers of ddgs take pages as they come, and fail as they come.
PARSER_ERRORS: Final = (LxmlError, ValueError, LookupError, TypeError, AttributeError)


class DdgsSearch:
    """Searches by ddgs with one pinned engine.

    It asks the engine's class and not ``DDGS.text``: that one hides the status of the answer, so
    that "come back later" looks like "nothing found", and it moves encyclopedias to the top.

    Args:
        backend: One of ``backends()``.
        region: Country and language, ``us-en``.
        timeout_s: How long one search is waited for.
        proxy: Address of an HTTP proxy; without one none is used, whatever the environment says.

    Raises:
        SettingsError: The engine is not one of them, or the region cannot be read.
    """

    def __init__(
        self,
        *,
        backend: str,
        region: str = "us-en",
        timeout_s: float = 10.0,
        proxy: str | None = None,
    ) -> None:
        if backend not in backends():
            raise SettingsError(
                f"There is no search engine {backend!r}. Choose one of: {', '.join(backends())}."
            )
        if not REGION.fullmatch(region):
            raise SettingsError(
                f"The search region {region!r} cannot be read. Give country and language, "
                "as in us-en."
            )
        self._backend = backend
        self._region = region
        self._timeout_s = timeout_s
        self._proxy = proxy
        # One question at a time: an engine that is asked in parallel asks for a captcha.
        self._turn = asyncio.Lock()

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        """At most ``limit`` hits of the engine's first page; see ``ports.Search``."""
        asked = _plain(query, LONGEST_QUERY)
        if not asked or limit < 1:
            return ()
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await asyncio.to_thread(self._ask, asked)
            except TimeoutError:
                raise self._too_slow() from None
        hits = _cleaned(found)
        if found and not hits:
            raise self._no_results("results whose addresses cannot be read")
        return hits[:limit]

    def _ask(self, query: str) -> list[Any]:
        """What the engine found; runs in a thread that ends with its own time limit."""
        engine = ENGINES["text"][self._backend](proxy=self._proxy, timeout=self._timeout_s)
        transport = engine.http_client = _Watched(engine.http_client, self._proxy)
        try:
            found = engine.search(query, region=self._region)
        except RatelimitException:
            raise self._too_often("says so") from None
        except TimeoutException:
            raise self._too_slow() from None
        except DDGSException as error:
            raise WebError(
                f"The search engine {self._backend} cannot be reached ({error}). Check the "
                "connection, or set another engine by SEARCH_BACKEND.",
                code="search_unavailable",
            ) from None
        except PARSER_ERRORS:
            found = None
        if not found:
            self._refuse_unless_empty(query, transport)
        return found or []

    def _refuse_unless_empty(self, query: str, answer: _Watched) -> None:
        """Return only if the engine looked and found nothing."""
        if answer.status in TOO_OFTEN:
            raise self._too_often(f"answered with status {answer.status}")
        if answer.status != 200:
            raise WebError(
                f"The search engine {self._backend} answered with status {answer.status}. "
                "Try later, or set another engine by SEARCH_BACKEND.",
                code="search_unavailable",
            )
        body = answer.text.casefold()
        if any(sign in body for sign in CHALLENGES):
            raise self._too_often("shows a page for people to prove that they are people")
        if not _is_about(query, body):
            raise self._no_results("a page that holds neither results nor the query")

    def _no_results(self, what: str) -> WebError:
        return WebError(
            f"The search engine {self._backend} answered with {what}. It may have changed its "
            "pages: set another engine by SEARCH_BACKEND.",
            code="search_unavailable",
        )

    def _too_often(self, how: str) -> WebError:
        return WebError(
            f"The search engine {self._backend} does not want more searches now: it {how}. "
            "Try later, or set another engine by SEARCH_BACKEND.",
            code="search_rate_limited",
        )

    def _too_slow(self) -> WebError:
        return WebError(
            f"The search engine {self._backend} did not answer within {self._timeout_s:g} s. "
            "Try later, or set another engine by SEARCH_BACKEND.",
            code="search_unavailable",
        )


def backends() -> tuple[str, ...]:
    """The engines that can be set."""
    return tuple(sorted(ENGINES["text"]))


class _Watched:
    """An engine's HTTP client that remembers the last answer: ddgs itself drops its status."""

    def __init__(self, inner: Any, proxy: str | None) -> None:  # noqa: ANN401
        self.client = inner.client
        # Set after construction, None means no proxy; before it, the one of the environment.
        self.client.proxy = proxy
        self.status = 0
        self.text = ""
        self._inner = inner

    def request(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Ask the engine's server."""
        answer = self._inner.request(*args, **kwargs)
        self.status, self.text = answer.status_code, answer.text
        return answer


def _is_about(query: str, body: str) -> bool:
    """Whether an answer repeats the query, as every engine's page without results does."""
    try:
        json.loads(body)
    except ValueError:
        return query.casefold() in " ".join(html.unescape(body).split())
    return True


def _cleaned(found: Iterable[Any]) -> tuple[SearchHit, ...]:
    """Hits with an address that may be read, each address once, in the engine's order."""
    hits: dict[str, SearchHit] = {}
    for result in found:
        try:
            url = checked_url(str(result.href))
        except WebError:
            continue
        hit = SearchHit(
            title=_plain(result.title, LONGEST_TITLE) or url.host or "",
            url=str(url),
            snippet=_plain(result.body, LONGEST_SNIPPET),
        )
        hits.setdefault(_same_page(url), hit)
    return tuple(hits.values())


def _same_page(url: yarl.URL) -> str:
    """Equal for addresses of one page: scheme, final slash, order and tracking are left out."""
    kept = sorted((name, value) for name, value in url.query.items() if not _is_tracking(name))
    return str(yarl.URL.build(host=url.host or "", path=url.path.rstrip("/")).with_query(kept))


def _is_tracking(name: str) -> bool:
    return name.startswith("utm_") or name in {"gclid", "fbclid", "msclkid"}


def _plain(text: object, longest: int) -> str:
    """One line without control, direction or other invisible characters."""
    spaced = " ".join(str(text or "").split())
    seen = "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))
    line = " ".join(unicodedata.normalize("NFC", seen).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"

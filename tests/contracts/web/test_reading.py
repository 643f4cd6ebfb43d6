"""One look at the web within limits: what is spent, what is given back, what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import PageWithoutText, WebError
from mmm_workflows.mmm.pages import Page, SearchHit, text_sha256
from mmm_workflows.ports import PageReader
from mmm_workflows.tools.replay import (
    RecordingReader,
    RecordingSearch,
    ReplayReader,
    ReplaySearch,
)
from mmm_workflows.tools.web import PAGE_BYTES, ReaderWithBrowser, Web, WebLimits, WebReading
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import open_runner

from .readers import reader_for
from .site import Site

LIMITS = WebLimits(queries=8, pages=20, bytes=20_000_000, minutes=5)
URLS = tuple(f"http://site.test/{number:02}" for number in range(20))


def page(url: str, *, size_bytes: int = 1000, text: str = "") -> Page:
    said = text or f"What is said at {url}. " * 20
    return Page(
        url=url, final_url=url, title="", text=said, sha256=text_sha256(said),
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC), content_type="text/html",
        size_bytes=size_bytes, how="http",
    )  # fmt: skip


class Index:
    """A search that finds the same pages for every query."""

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        return tuple(SearchHit(title=url, url=url) for url in URLS)


class Library:
    """A reader whose pages are made when they are asked for."""

    def __init__(self, make: Callable[[str, int], Page]) -> None:
        self._make = make
        self.asked: list[tuple[str, int]] = []
        self.open = 0

    async def read(self, url: str, *, max_bytes: int) -> Page:
        self.asked.append((url, max_bytes))
        self.open += 1
        try:
            await asyncio.sleep(0.001)
            return self._make(url, max_bytes)
        finally:
            self.open -= 1


async def say(fraction: float, message: str) -> None:
    """Nobody listens."""


def reading(reader: PageReader, limits: WebLimits = LIMITS) -> WebReading:
    return WebReading(Web(mode="on", search=Index(), reader=reader), limits, say)


@pytest.mark.parametrize("code", ["page_robots", "page_status", "page_unreachable"])
async def test_a_page_that_sends_no_body_takes_no_bytes_from_the_others(code: str) -> None:
    def make(url: str, max_bytes: int) -> Page:
        if url in URLS[:15]:
            raise WebError("no", code=code)
        return page(url)

    found = await reading(Library(make)).run(["tv"])
    assert {o.code for o in found.outcomes} == {code}
    assert [p.url for p in found.pages] == list(URLS[15:])


async def test_pages_that_end_too_large_use_the_bytes_up() -> None:
    def make(url: str, max_bytes: int) -> Page:
        raise WebError("large", code="page_too_large")

    library = Library(make)
    found = await reading(library).run(["tv"])
    assert sum(most for _, most in library.asked) <= LIMITS.bytes
    assert {o.code for o in found.outcomes} == {"page_too_large", "web_budget"}


async def test_an_error_that_is_none_of_the_web_leaves_no_reader_behind() -> None:
    def make(url: str, max_bytes: int) -> Page:
        raise RuntimeError("a bug")

    library = Library(make)
    with pytest.raises(RuntimeError, match="a bug"):
        await reading(library).run(["tv"])
    asked = len(library.asked)
    assert library.open == 0
    await asyncio.sleep(0.02)
    assert len(library.asked) == asked, "pages were read on after the end"


async def test_a_record_gives_the_same_pages_each_time_when_the_bytes_run_out(
    tmp_path: Path,
) -> None:
    library = Library(lambda url, most: page(url, size_bytes=PAGE_BYTES // 2))
    recording = Web(
        mode="on",
        search=RecordingSearch(Index(), tmp_path),
        reader=RecordingReader(library, tmp_path),
    )
    await WebReading(recording, LIMITS, say).run(["tv"])
    replayed = Web(mode="replay", search=ReplaySearch(tmp_path), reader=ReplayReader(tmp_path))
    few = WebLimits(queries=8, pages=20, bytes=3 * PAGE_BYTES, minutes=5)
    first, second = [await WebReading(replayed, few, say).run(["tv"]) for _ in range(2)]
    assert first == second
    assert [p.url for p in first.pages] == list(URLS[:6]), "bytes went to later pages first"
    assert {o.code for o in first.outcomes} == {"web_budget"}


async def test_a_page_without_text_is_shown_in_the_browser(site: Site, tmp_path: Path) -> None:
    plain = reader_for(site.port, tmp_path)
    browser = Library(lambda url, most: page(url))
    both = ReaderWithBrowser(plain, browser)
    url = f"http://site.test:{site.port}/empty"
    with pytest.raises(PageWithoutText):
        await plain.read(url, max_bytes=10_000)
    assert (await both.read(url, max_bytes=10_000)).text
    assert browser.asked == [(url, 10_000)]


async def test_a_page_that_is_no_text_is_not_shown_in_the_browser(
    site: Site, tmp_path: Path
) -> None:
    browser = Library(lambda url, most: page(url))
    both = ReaderWithBrowser(reader_for(site.port, tmp_path), browser)
    with pytest.raises(WebError) as caught:
        await both.read(f"http://site.test:{site.port}/image", max_bytes=10_000)
    assert (caught.value.code, browser.asked) == ("page_type", [])


async def test_what_both_readers_carry_counts_together() -> None:
    plain = Library(lambda url, most: page(url, size_bytes=400, text="Loading"))
    browser = Library(lambda url, most: page(url, size_bytes=500))
    shown = await ReaderWithBrowser(plain, browser).read(URLS[0], max_bytes=1000)
    assert browser.asked == [(URLS[0], 600)]
    assert shown.size_bytes == 900


async def test_research_that_may_not_search_ends_without_a_record(settings: Settings) -> None:
    none = settings.model_copy(update={"research_queries": 0})
    request = read_request("research", {"query": "MMM for a brand", "web_search": "on"})
    async with open_runner(none) as runner:
        result = await runner.start("research", request)
    assert (result["status"], result["web_search"]) == ("succeeded", "on")
    assert "web_record" not in {a["kind"] for a in result["artifacts"]}


async def test_more_searches_than_usual_can_be_set(settings: Settings, tmp_path: Path) -> None:
    many = settings.model_copy(update={"research_queries": 12})
    request = read_request("research", {"query": "MMM for a brand", "replay": str(tmp_path)})
    async with open_runner(many) as runner:
        result = await runner.start("research", request)
    assert len(result["web_outcomes"]) == 12

"""What the real search and the real reader said is said again when there is no web any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_workflows.errors import WebError
from mmm_workflows.mmm.pages import Page, SearchHit
from mmm_workflows.ports import PageReader, Search
from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.fetcher import HttpPageReader
from mmm_workflows.tools.replay import RecordingReader, RecordingSearch, ReplayReader, ReplaySearch

from .browser_site import LOCAL, site, trap
from .test_search import QUERY, Engine, engine, result, results_page, search

__all__ = ["engine"]


async def found(by: Search, query: str) -> tuple[SearchHit, ...] | str:
    try:
        return await by.search(query, limit=2)
    except WebError as error:
        return f"{error.code}: {error.message}"


async def read(by: PageReader, url: str) -> Page | str:
    try:
        return await by.read(url, max_bytes=100_000)
    except WebError as error:
        return f"{error.code}: {error.message}"


async def test_searches_are_replayed_without_the_engine(engine: Engine, tmp_path: Path) -> None:
    recording = RecordingSearch(search(), tmp_path)
    engine.shows(results_page(*(result(f"https://a.example/{n}") for n in range(3))))
    live = [await found(recording, QUERY)]
    engine.shows("", 429)
    live += [await found(recording, "refused")]
    engine.shows("<p>Something else")
    live += [await found(recording, "failed")]
    asked = len(engine.asked)

    replay = ReplaySearch(tmp_path)
    assert [await found(replay, query) for query in (QUERY, "refused", "failed")] == live
    assert len(live[0]) == 2
    assert [str(answer).partition(":")[0] for answer in live[1:]] == [
        "search_rate_limited",
        "search_unavailable",
    ]
    assert len(engine.asked) == asked


async def test_pages_are_replayed_without_the_site(
    tmp_path: Path,
) -> None:
    record = tmp_path / "record"
    async with trap() as beside, site(beside) as port:
        home = f"http://{LOCAL}:{port}"
        guard = AddressGuard(allowed=frozenset({(LOCAL, port)}))
        live = HttpPageReader(guard, tmp_path / "cache", user_agent="test (+x)", pause_s=0.0)
        recording = RecordingReader(live, record)
        urls = [
            f"{home}/restless",
            f"{home}/absent",
            f"{home}/table",
            f"{home}/large",
            f"{home}/redirect?to=http://{LOCAL}:{beside.tcp_port}/",
            "http://10.0.0.1/",
        ]
        said = [await read(recording, url) for url in urls]
    replay = ReplayReader(record)
    assert [await read(replay, url) for url in urls] == said
    first, *refused = said
    assert isinstance(first, Page)
    assert first.text == "There at once."
    assert [str(answer).partition(":")[0] for answer in refused] == [
        "page_status",
        "page_type",
        "page_too_large",
        "page_forbidden",
        "page_forbidden",
    ]


@pytest.mark.parametrize("query", ["TV adstock", "tv adstock "])
async def test_another_query_is_another_search(engine: Engine, tmp_path: Path, query: str) -> None:
    engine.shows(results_page(result("https://a.example/")))
    await RecordingSearch(search(), tmp_path).search(QUERY, limit=2)
    assert str(await found(ReplaySearch(tmp_path), query)).startswith("page_not_recorded")

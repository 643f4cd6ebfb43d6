"""Searches by the code of ddgs, against a server on the loopback interface in the engine's place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from html import escape

import pytest
from aiohttp import web
from ddgs.engines.duckduckgo import Duckduckgo
from ddgs.engines.mojeek import Mojeek

from mmm_workflows.errors import SettingsError, WebError
from mmm_workflows.mmm.pages import SearchHit
from mmm_workflows.tools.web_search import DdgsSearch, backends

QUERY = "tv adstock"


def result(url: str, title: str = "A title", snippet: str = "What it says.") -> str:
    """One result in the shape that the engine's page has."""
    link = escape(url)
    return (
        '<div class="links_main links_deep result__body"><h2 class="result__title">'
        f'<a class="result__a" href="{link}">{title}</a></h2>'
        f'<a class="result__snippet" href="{link}">{snippet}</a></div>'
    )


def results_page(*results: str) -> str:
    return f'<html><body><input name="q" value="{QUERY}">{"".join(results)}</body></html>'


class Engine:
    """The server in the engine's place: what it answers can be set, what it was asked is kept."""

    def __init__(self) -> None:
        self.answer: Callable[[], web.Response] = lambda: web.Response(text="")
        self.delay_s = 0.0
        self.asked: list[dict[str, str]] = []

    def shows(self, body: str, status: int = 200, content_type: str = "text/html") -> None:
        self.answer = lambda: web.Response(text=body, status=status, content_type=content_type)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append({**request.query, **await request.post()})
        await asyncio.sleep(self.delay_s)
        return self.answer()


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    engine = Engine()
    app = web.Application()
    app.router.add_route("*", "/html/", engine.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    for cls in (Duckduckgo, Mojeek):
        monkeypatch.setattr(cls, "search_url", f"http://{host}:{port}/html/")
    yield engine
    await runner.cleanup()


def search(backend: str = "duckduckgo", timeout_s: float = 5.0) -> DdgsSearch:
    return DdgsSearch(backend=backend, timeout_s=timeout_s)


async def refusal(engine_search: DdgsSearch) -> str:
    with pytest.raises(WebError) as caught:
        await engine_search.search(QUERY, limit=5)
    return caught.value.code


async def test_hits_come_in_the_order_of_the_engine(engine: Engine) -> None:
    engine.shows(
        results_page(
            result("https://b.example/one", "Nothing of the words", "Carry-over &amp; co."),
            result("https://en.wikipedia.org/wiki/Adstock", "TV adstock"),
            result("https://duckduckgo.com/y.js?ad_domain=shop.example", "An advertisement"),
        )
    )
    assert await search().search(QUERY, limit=5) == (
        SearchHit(
            title="Nothing of the words", url="https://b.example/one", snippet="Carry-over & co."
        ),
        SearchHit(
            title="TV adstock",
            url="https://en.wikipedia.org/wiki/Adstock",
            snippet="What it says.",
        ),
    )
    assert engine.asked == [{"q": QUERY, "b": "", "l": "us-en"}]


async def test_no_more_hits_than_asked_for(engine: Engine) -> None:
    engine.shows(results_page(*(result(f"https://a.example/{n}") for n in range(9))))
    found = await search().search(QUERY, limit=2)
    assert [hit.url for hit in found] == ["https://a.example/0", "https://a.example/1"]


async def test_an_empty_query_is_not_sent(engine: Engine) -> None:
    assert await search().search(" \u202e\n", limit=5) == ()
    assert await search().search(QUERY, limit=0) == ()
    assert engine.asked == []


async def test_a_page_is_named_once_however_its_address_is_spelt(engine: Engine) -> None:
    engine.shows(
        results_page(
            result("https://a.example/page?x=1&y=2", "first"),
            result("http://A.example:80/page/?y=2&x=1&utm_source=mail", "again"),
            result("https://a.example/page?x=1&y=2#part", "and again"),
            result("https://a.example/page?x=2&y=2", "another"),
        )
    )
    found = await search().search(QUERY, limit=5)
    assert [hit.title for hit in found] == ["first", "another"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "//a.example/x",
        "/relative",
        "https://user:secret@a.example/",
        "https://localhost/",
        "https://a.example/" + "x" * 5000,
        "",
    ],
)
async def test_only_addresses_of_the_web_are_hits(engine: Engine, url: str) -> None:
    engine.shows(results_page(result(url), result("https://b.example/")))
    assert [hit.url for hit in await search().search(QUERY, limit=5)] == ["https://b.example/"]


async def test_results_without_a_single_address_are_not_taken_for_empty(engine: Engine) -> None:
    engine.shows(results_page(result("//engine.example/l/?to=https://a.example/")))
    assert await refusal(search()) == "search_unavailable"


async def test_hits_hold_one_bounded_line_without_invisible_characters(engine: Engine) -> None:
    engine.shows(
        results_page(
            result(
                "https://a.example/",
                "a\u202eb\u200bc\x1b[31m\td &lt;b&gt;e" + " long" * 1000,
                "x" * 5000,
            )
        )
    )
    (hit,) = await search().search(QUERY, limit=5)
    assert hit.title.startswith("abc[31m d")
    assert len(hit.title) <= 300
    assert len(hit.snippet) == 1000


async def test_nothing_found_is_no_error(engine: Engine) -> None:
    engine.shows(results_page('<div class="no-results">No results found.</div>'))
    assert await search().search(QUERY, limit=5) == ()


@pytest.mark.parametrize("status", [202, 403, 429])
async def test_an_engine_that_wants_to_be_left_alone_is_not_taken_for_empty(
    engine: Engine, status: int
) -> None:
    engine.shows(results_page(), status)
    assert await refusal(search()) == "search_rate_limited"


async def test_a_captcha_is_not_taken_for_empty(engine: Engine) -> None:
    engine.shows(results_page('<form id="challenge-form"><div class="anomaly-modal__mask">'))
    assert await refusal(search()) == "search_rate_limited"


@pytest.mark.parametrize(
    "body",
    ["", "   ", "<html></html>", "\x00\x01 garbage ]]>", "<p>Welcome to our new design", "<!---->"],
)
async def test_a_page_without_results_and_without_the_query_is_a_failure(
    engine: Engine, body: str
) -> None:
    engine.shows(body)
    assert await refusal(search()) == "search_unavailable"


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_an_engine_that_fails_is_unavailable(engine: Engine, status: int) -> None:
    engine.shows(results_page(result("https://a.example/")), status)
    assert await refusal(search()) == "search_unavailable"


async def test_an_engine_that_is_down_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(Duckduckgo, "search_url", f"http://127.0.0.1:{unused_tcp_port}/html/")
    assert await refusal(search()) == "search_unavailable"


async def test_a_slow_engine_is_not_waited_for(engine: Engine) -> None:
    engine.delay_s = 60.0
    start = time.monotonic()
    assert await refusal(search(timeout_s=0.3)) == "search_unavailable"
    assert time.monotonic() - start < 30


async def test_the_environment_cannot_send_a_search_through_a_proxy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "DDGS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")
    engine.shows(results_page(result("https://a.example/")))
    assert len(await search().search(QUERY, limit=5)) == 1


async def test_another_engine_is_asked_when_it_is_set(engine: Engine) -> None:
    engine.shows(
        '<ul class="results-standard"><li><h2><a href="https://a.example/">T</a></h2>'
        '<p class="s">S</p></li></ul>'
    )
    (hit,) = await search("mojeek").search(QUERY, limit=5)
    assert hit == SearchHit(title="T", url="https://a.example/", snippet="S")


@pytest.mark.parametrize("backend", ["auto", "all", "", "duckduckgo,brave", "altavista"])
def test_an_engine_that_is_not_there_is_answered_with_those_that_are(backend: str) -> None:
    with pytest.raises(SettingsError, match=r"duckduckgo, .*mojeek") as caught:
        DdgsSearch(backend=backend)
    assert caught.value.code == "settings_invalid"


def test_a_region_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SettingsError, match="us-en"):
        DdgsSearch(backend="duckduckgo", region="europe")


def test_the_engine_of_the_settings_is_there() -> None:
    assert {"duckduckgo", "brave", "mojeek", "wikipedia"} <= set(backends())

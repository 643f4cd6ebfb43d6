"""A record answers as the web did, says when it cannot, and is never believed blindly."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmm_workflows.errors import MMMError, UserError, WebError
from mmm_workflows.mmm.pages import Page, SearchHit, text_sha256
from mmm_workflows.tools.replay import RecordingReader, RecordingSearch, ReplayReader, ReplaySearch

TEXT = "Half of an effect comes later.\n\nSays who? — A study."
URL = "https://a.example/adstock?page=1"
ALL = 10_000_000


def hits(count: int, name: str = "a") -> tuple[SearchHit, ...]:
    return tuple(
        SearchHit(title=f"Title {n}", url=f"https://{name}.example/{n}", snippet="“quoted”")
        for n in range(count)
    )


def page(url: str = URL, text: str = TEXT, size_bytes: int = 5000) -> Page:
    return Page(
        url=url,
        final_url=f"{url}#".rstrip("#"),
        title="Adstock",
        text=text,
        sha256=text_sha256(text),
        fetched_at=datetime(2026, 11, 25, 12, 0, 1, 5, tzinfo=UTC),
        content_type="text/html; charset=utf-8",
        size_bytes=size_bytes,
        how="http",
    )


class ScriptedWeb:
    """A search and a reader that answer from lists, as a web that changes does."""

    def __init__(self, *answers: tuple[SearchHit, ...] | Page | WebError) -> None:
        self.answers = list(answers)

    def _next(self):
        answer = self.answers.pop(0)
        if isinstance(answer, WebError):
            raise answer
        return answer

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        return self._next()

    async def read(self, url: str, *, max_bytes: int) -> Page:
        return self._next()


async def code_of(awaited) -> str:
    with pytest.raises(MMMError) as caught:
        await awaited
    return caught.value.code


async def recorded_page(folder: Path, read: Page | None = None) -> None:
    await RecordingReader(ScriptedWeb(read or page()), folder).read(URL, max_bytes=ALL)


async def test_a_search_is_replayed_as_it_was(tmp_path: Path) -> None:
    found = await RecordingSearch(ScriptedWeb(hits(3)), tmp_path).search("tv adstock", limit=5)
    assert found == hits(3)
    replay = ReplaySearch(tmp_path)
    assert await replay.search("tv adstock", limit=5) == hits(3)
    assert await replay.search("tv adstock", limit=2) == hits(2)
    assert await replay.search("tv adstock", limit=50) == hits(3)


async def test_a_search_that_found_nothing_is_replayed_as_nothing(tmp_path: Path) -> None:
    await RecordingSearch(ScriptedWeb(()), tmp_path).search("xyzzy", limit=5)
    assert await ReplaySearch(tmp_path).search("xyzzy", limit=5) == ()


async def test_hits_beyond_those_that_were_asked_for_are_not_made_up(tmp_path: Path) -> None:
    await RecordingSearch(ScriptedWeb(hits(3)), tmp_path).search("q", limit=3)
    assert await code_of(ReplaySearch(tmp_path).search("q", limit=4)) == "page_not_recorded"


async def test_a_page_is_replayed_as_it_was(tmp_path: Path) -> None:
    read = await RecordingReader(ScriptedWeb(page()), tmp_path).read(URL, max_bytes=ALL)
    assert read == page()
    assert await ReplayReader(tmp_path).read(URL, max_bytes=ALL) == page()
    assert await code_of(ReplayReader(tmp_path).read(URL, max_bytes=4999)) == "page_too_large"


@pytest.mark.parametrize(
    "code", ["search_unavailable", "search_rate_limited", "page_robots", "browser_unavailable"]
)
async def test_a_failure_is_replayed_with_its_code_and_words(tmp_path: Path, code: str) -> None:
    error = WebError("Come back later.", code=code)
    assert await code_of(RecordingSearch(ScriptedWeb(error), tmp_path).search("q", limit=1)) == code
    assert await code_of(RecordingReader(ScriptedWeb(error), tmp_path).read(URL, max_bytes=1)) == (
        code
    )
    with pytest.raises(WebError, match="Come back later"):
        await ReplaySearch(tmp_path).search("q", limit=1)
    assert await code_of(ReplaySearch(tmp_path).search("q", limit=1)) == code
    assert await code_of(ReplayReader(tmp_path).read(URL, max_bytes=1)) == code


@pytest.mark.parametrize("code", ["page_not_recorded", "web_budget"])
async def test_what_says_nothing_about_the_web_is_not_kept(tmp_path: Path, code: str) -> None:
    web = ScriptedWeb(WebError("No.", code=code))
    assert await code_of(RecordingReader(web, tmp_path).read(URL, max_bytes=1)) == code
    assert list(tmp_path.iterdir()) == []


async def test_what_is_not_in_the_record_is_not_answered(tmp_path: Path) -> None:
    assert await code_of(ReplaySearch(tmp_path / "none").search("q", limit=1)) == (
        "page_not_recorded"
    )
    await recorded_page(tmp_path)
    for url in (f"{URL}2", URL.upper(), "../pages.json", "/etc/passwd", ""):
        assert await code_of(ReplayReader(tmp_path).read(url, max_bytes=ALL)) == "page_not_recorded"


async def test_a_failure_never_takes_the_place_of_an_answer(tmp_path: Path) -> None:
    search = RecordingSearch(ScriptedWeb(hits(2), WebError("No.")), tmp_path)
    await search.search("q", limit=5)
    await code_of(search.search("q", limit=5))
    reader = RecordingReader(ScriptedWeb(page(), WebError("No.")), tmp_path)
    await reader.read(URL, max_bytes=ALL)
    await code_of(reader.read(URL, max_bytes=ALL))
    assert await ReplaySearch(tmp_path).search("q", limit=5) == hits(2)
    assert await ReplayReader(tmp_path).read(URL, max_bytes=ALL) == page()


async def test_a_later_answer_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    search = RecordingSearch(
        ScriptedWeb(WebError("No."), hits(2), hits(3, "b"), hits(1, "c")), tmp_path
    )
    await code_of(search.search("q", limit=5))
    for limit in (5, 5, 1):
        await search.search("q", limit=limit)
    assert await ReplaySearch(tmp_path).search("q", limit=5) == hits(3, "b")
    newer = page(text="Another text.")
    await recorded_page(tmp_path)
    await recorded_page(tmp_path, newer)
    assert await ReplayReader(tmp_path).read(URL, max_bytes=ALL) == newer


async def test_a_record_can_be_written_by_hand(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    (tmp_path / "searches.json").write_text(
        '{"schema_version": 1, "searches": {"tv adstock": {"hits": ['
        '{"title": "T", "url": "https://a.example/"}]},'
        '"gone": {"error": {"code": "search_unavailable", "message": "Down."}}}}'
    )
    entry = {
        "final_url": URL,
        "title": "T",
        "sha256": sha256,
        "fetched_at": "2026-11-25T12:00:00Z",
        "content_type": "text/html",
        "size_bytes": 10,
        "how": "http",
    }
    (tmp_path / "pages.json").write_text(json.dumps({"schema_version": 1, "pages": {URL: entry}}))
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / f"{sha256}.txt").write_text(TEXT)
    assert await ReplaySearch(tmp_path).search("tv adstock", limit=9) == (
        SearchHit(title="T", url="https://a.example/"),
    )
    assert await code_of(ReplaySearch(tmp_path).search("gone", limit=9)) == "search_unavailable"
    assert (await ReplayReader(tmp_path).read(URL, max_bytes=ALL)).text == TEXT


async def test_a_record_can_be_read_by_a_person(tmp_path: Path) -> None:
    await RecordingSearch(ScriptedWeb(hits(1)), tmp_path).search("tv adstock", limit=5)
    await recorded_page(tmp_path)
    assert (tmp_path / "searches.json").read_text().splitlines() == [
        "{",
        '  "schema_version": 1,',
        '  "searches": {',
        '    "tv adstock": {',
        '      "hits": [',
        "        {",
        '          "title": "Title 0",',
        '          "url": "https://a.example/0",',
        '          "snippet": "“quoted”"',
        "        }",
        "      ],",
        '      "limit": 5',
        "    }",
        "  }",
        "}",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".lock",
        "pages",
        "pages.json",
        "searches.json",
    ]
    assert (tmp_path / "pages" / f"{text_sha256(TEXT)}.txt").read_text() == TEXT


async def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    reads = [page(f"https://a.example/{n}", f"Text {n}.") for n in range(30)]
    await asyncio.gather(
        *(RecordingReader(ScriptedWeb(p), tmp_path).read(p.url, max_bytes=ALL) for p in reads),
        *(
            RecordingSearch(ScriptedWeb(hits(1)), tmp_path).search(f"{n}", limit=1)
            for n in range(9)
        ),
    )
    replay = ReplayReader(tmp_path)
    assert [await replay.read(p.url, max_bytes=ALL) for p in reads] == reads
    assert [await ReplaySearch(tmp_path).search(f"{n}", limit=1) for n in range(9)] == [hits(1)] * 9


async def test_a_text_that_has_changed_is_not_believed(tmp_path: Path) -> None:
    await recorded_page(tmp_path)
    (text,) = (tmp_path / "pages").iterdir()
    text.write_text(TEXT.replace("Half", "All"))
    with pytest.raises(UserError, match="has changed") as caught:
        await ReplayReader(tmp_path).read(URL, max_bytes=ALL)
    assert caught.value.code == "artifact_damaged"
    text.write_bytes(b"\xff\xfe")
    assert await code_of(ReplayReader(tmp_path).read(URL, max_bytes=ALL)) == "artifact_damaged"
    text.unlink()
    with pytest.raises(UserError, match="is missing"):
        await ReplayReader(tmp_path).read(URL, max_bytes=ALL)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "folder_link"])
async def test_a_record_does_not_lead_out_of_its_folder(tmp_path: Path, kind: str) -> None:
    folder, outside = tmp_path / "record", tmp_path / "outside"
    await recorded_page(folder)
    (text,) = (folder / "pages").iterdir()
    outside.mkdir()
    text.rename(outside / text.name)
    if kind == "link":
        text.symlink_to(outside / text.name)
    elif kind == "pipe":
        os.mkfifo(text)
    elif kind == "folder":
        text.mkdir()
    else:
        (folder / "pages").rmdir()
        (folder / "pages").symlink_to(outside)
    reading = ReplayReader(folder).read(URL, max_bytes=ALL)
    assert await code_of(asyncio.wait_for(reading, 60)) == "artifact_damaged"


async def test_a_recorder_does_not_write_through_a_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "record", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "pages").symlink_to(outside)
    assert await code_of(recorded_page(folder)) == "artifact_damaged"
    assert list(outside.iterdir()) == []


GOOD = {
    "final_url": URL,
    "title": "T",
    "sha256": "0" * 64,
    "fetched_at": "2026-11-25T12:00:00Z",
    "content_type": "text/html",
    "size_bytes": 1,
    "how": "http",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        '{"pages": {}}',
        '{"schema_version": 1, "pages": []}',
        '{"schema_version": 1, "pages": {}, "more": 1}',
        '{"schema_version": 1, "pages": {"u": {}}}',
        '{"schema_version": 1, "pages": ' + "[" * 100_000,
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "sha256": "../../etc/passwd"}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "sha256": "0" * 64 + "\n"}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "size_bytes": -1}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "final_url": "file:///etc"}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "fetched_at": "yesterday"}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {**GOOD, "text": "smuggled"}}}),
        json.dumps({"schema_version": 1, "pages": {"u": {"error": {"code": "x", "message": ""}}}}),
        json.dumps(
            {"schema_version": 1, "pages": {"u": {"error": {"code": "internal", "message": ""}}}}
        ),
    ],
)
async def test_an_index_that_cannot_be_read_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "pages.json").write_text(text)
    assert await code_of(ReplayReader(tmp_path).read("u", max_bytes=ALL)) == "artifact_damaged"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "https://a@b.example"]
)
async def test_hits_of_a_record_lead_to_the_web(tmp_path: Path, url: str) -> None:
    searches = {"q": {"hits": [{"title": "T", "url": url}]}}
    (tmp_path / "searches.json").write_text(json.dumps({"schema_version": 1, "searches": searches}))
    assert await code_of(ReplaySearch(tmp_path).search("q", limit=1)) == "artifact_damaged"


@pytest.mark.parametrize("version", [0, 2, 99])
async def test_a_record_of_another_version_is_refused_by_name(tmp_path: Path, version: int) -> None:
    (tmp_path / "searches.json").write_text(
        json.dumps({"schema_version": version, "answers": "in another shape"})
    )
    assert await code_of(ReplaySearch(tmp_path).search("q", limit=1)) == "store_schema"


async def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "pages.json").open("wb") as file:
        file.truncate(1 << 40)
    assert await code_of(ReplayReader(tmp_path).read(URL, max_bytes=ALL)) == "artifact_damaged"


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    query=st.text(max_size=200),
    title=st.text(max_size=50),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=500),
)
def test_whatever_was_recorded_comes_back(
    tmp_path: Path, query: str, title: str, text: str
) -> None:
    async def round_trip() -> None:
        hit = SearchHit(title=title, url="https://a.example/")
        await RecordingSearch(ScriptedWeb((hit,)), tmp_path).search(query, limit=3)
        assert await ReplaySearch(tmp_path).search(query, limit=3) == (hit,)
        await recorded_page(tmp_path, page(text=text))
        assert (await ReplayReader(tmp_path).read(URL, max_bytes=ALL)).text == text

    asyncio.run(round_trip())


WITHOUT_SOCKETS = """
import asyncio, sys
from pathlib import Path
from mmm_workflows.tools.replay import ReplayReader, ReplaySearch

def bar(event, args):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
                 "socket.sendto", "socket.sendmsg", "subprocess.Popen", "os.exec", "os.fork"}:
        raise SystemExit(f"tried {event}")

sys.addaudithook(bar)

async def main():
    folder = Path(sys.argv[1])
    hits = await ReplaySearch(folder).search("q", limit=2)
    page = await ReplayReader(folder).read(sys.argv[2], max_bytes=10**7)
    print(len(hits), page.sha256)

asyncio.run(main())
"""


async def test_a_replay_makes_no_connection(tmp_path: Path) -> None:
    await RecordingSearch(ScriptedWeb(hits(2)), tmp_path).search("q", limit=2)
    await recorded_page(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SOCKETS, str(tmp_path), URL],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["2", text_sha256(TEXT)]), done.stderr

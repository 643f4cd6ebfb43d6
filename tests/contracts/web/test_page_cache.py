"""Pages that were read are kept for a day, and damaged ones are read again."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mmm_workflows.errors import WebError
from mmm_workflows.mmm.pages import Page, text_sha256
from mmm_workflows.tools.fetcher import HttpPageReader
from mmm_workflows.tools.page_cache import PageCache

from .readers import MAX_BYTES
from .site import Site

URL = "http://example.org/"


def page(text: str = "Read.", age_s: float = 0) -> Page:
    return Page(
        url=URL,
        final_url=URL,
        title="T",
        text=text,
        sha256=text_sha256(text),
        fetched_at=datetime.now(UTC) - timedelta(seconds=age_s),
        content_type="text/html",
        size_bytes=9,
        how="http",
    )


def the_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


async def test_a_page_is_asked_for_once_a_day_also_by_another_reader(
    site: Site, new_reader: Callable[..., HttpPageReader]
) -> None:
    first = await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES)
    again = await new_reader().read(site.url("/article#part"), max_bytes=MAX_BYTES)
    assert again == first
    assert site.paths() == ["/article"]


async def test_an_old_page_is_read_again(
    site: Site, new_reader: Callable[..., HttpPageReader]
) -> None:
    first = await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES)
    again = await new_reader(max_age_s=0).read(site.url("/article"), max_bytes=MAX_BYTES)
    assert again.fetched_at > first.fetched_at
    assert site.paths() == ["/article"] * 2
    assert await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES) == again


async def test_a_damaged_page_is_read_again(
    site: Site, new_reader: Callable[..., HttpPageReader], tmp_path: Path
) -> None:
    first = await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES)
    file = the_file(tmp_path / "pages")
    good = file.read_text(encoding="utf-8")
    for bad in (
        good[:-20],
        good.replace("0.12", "9.99"),
        good.replace("/article", "/another"),
        "",
        "[]",
        "\0",
    ):
        file.write_text(bad, encoding="utf-8")
        again = await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES)
        assert (again.text, again.url) == (first.text, first.url)
    assert len(site.paths()) == 7


async def test_a_page_that_was_refused_is_not_kept(
    site: Site, new_reader: Callable[..., HttpPageReader], tmp_path: Path
) -> None:
    with pytest.raises(WebError):
        await new_reader().read(site.url("/binary"), max_bytes=MAX_BYTES)
    assert not (tmp_path / "pages").exists()


async def test_a_page_is_given_although_it_cannot_be_kept(
    site: Site,
    new_reader: Callable[..., HttpPageReader],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "pages").write_text("no folder", encoding="utf-8")
    assert (await new_reader().read(site.url("/article"), max_bytes=MAX_BYTES)).text
    assert "could not be kept" in caplog.text


def test_what_is_kept_is_private_and_named_by_a_hash(tmp_path: Path) -> None:
    PageCache(tmp_path / "pages").put(page())
    file = the_file(tmp_path / "pages")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(file.stem) == 64
    assert set(file.stem) <= set("0123456789abcdef")


@pytest.mark.parametrize(("age_s", "is_kept"), [(0, True), (50, True), (70, False), (-70, False)])
def test_a_page_is_good_until_its_age(age_s: float, is_kept: bool, tmp_path: Path) -> None:
    cache = PageCache(tmp_path, max_age_s=60)
    cache.put(page(age_s=age_s))
    assert (cache.get(URL) is not None) == is_kept
    assert len(list(tmp_path.iterdir())) == is_kept


def test_a_page_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PageCache(tmp_path)
    cache.put(page("First."))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        cache.put(page("Second."))
    kept = cache.get(URL)
    assert kept is not None
    assert kept.text == "First."
    assert len(list(tmp_path.iterdir())) == 1

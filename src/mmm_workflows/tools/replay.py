"""Searches and pages kept in a record, and answered from it without the web."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from mmm_workflows.errors import WebError
from mmm_workflows.mmm.pages import Page, SearchHit
from mmm_workflows.ports import PageReader, Search
from mmm_workflows.tools.addresses import shortened
from mmm_workflows.tools.record import (
    OF_THE_WEB,
    Record,
    RecordedError,
    RecordedHits,
    RecordedPage,
    RecordedRefusal,
)

NOT_RECORDED: Final = "page_not_recorded"


class RecordingSearch:
    """Searches by another adapter and keeps what it answers, errors included.

    Args:
        inner: The adapter that searches.
        folder: The record; made when it is not there.
    """

    def __init__(self, inner: Search, folder: Path) -> None:
        self._inner = inner
        self._record = Record(folder)

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        """What the other adapter finds; see ``ports.Search``."""
        try:
            hits = await self._inner.search(query, limit=limit)
        except WebError as error:
            await self._keep(query, _refusal(error))
            raise
        await self._keep(query, RecordedHits(hits=hits, limit=limit))
        return hits

    async def _keep(self, query: str, outcome: RecordedHits | RecordedRefusal | None) -> None:
        if outcome is not None:
            await asyncio.to_thread(self._record.keep_search, _key(query), outcome)


class RecordingReader:
    """Reads by another adapter and keeps what it answers, errors included.

    Args:
        inner: The adapter that reads.
        folder: The record; made when it is not there.
    """

    def __init__(self, inner: PageReader, folder: Path) -> None:
        self._inner = inner
        self._record = Record(folder)

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """What the other adapter reads; see ``ports.PageReader``."""
        try:
            page = await self._inner.read(url, max_bytes=max_bytes)
        except WebError as error:
            refusal = _refusal(error)
            if refusal is not None:
                await asyncio.to_thread(self._record.keep_page, _key(url), refusal)
            raise
        kept = RecordedPage(**page.model_dump(exclude={"url", "text"}))
        await asyncio.to_thread(self._record.keep_page, _key(url), kept, page.text)
        return page


class ReplaySearch:
    """Searches a record and nothing else.

    Args:
        folder: The record.
    """

    def __init__(self, folder: Path) -> None:
        self._record = Record(folder)
        self._folder = folder

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        """What was found when it was recorded; see ``ports.Search``.

        Raises:
            WebError: The search failed when it was recorded, with the code of then; or there is
                no record of it, or only of fewer hits (``page_not_recorded``).
            UserError: The record is damaged (``artifact_damaged``).
        """
        found = (await asyncio.to_thread(self._record.searches)).get(_key(query))
        if found is None:
            raise _not_recorded(f"the search {shortened(query)!r}", self._folder)
        if isinstance(found, RecordedRefusal):
            raise found.error.again()
        if found.limit is not None and found.limit <= len(found.hits) and found.limit < limit:
            raise _not_recorded(
                f"more than {found.limit} hits of the search {shortened(query)!r}", self._folder
            )
        return found.hits[: max(limit, 0)]


class ReplayReader:
    """Reads a record and nothing else.

    Args:
        folder: The record.
    """

    def __init__(self, folder: Path) -> None:
        self._record = Record(folder)
        self._folder = folder

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """The page as it was when it was recorded; see ``ports.PageReader``.

        Raises:
            WebError: The page could not be read when it was recorded, with the code of then;
                it is larger than ``max_bytes`` (``page_too_large``); or there is no record of it
                (``page_not_recorded``).
            UserError: The record is damaged (``artifact_damaged``).
        """
        return await asyncio.to_thread(self._read, url, max_bytes)

    def _read(self, url: str, max_bytes: int) -> Page:
        found = self._record.pages().get(_key(url))
        if found is None:
            raise _not_recorded(f"the page {shortened(url)}", self._folder)
        if isinstance(found, RecordedRefusal):
            raise found.error.again()
        if found.size_bytes > max_bytes:
            raise WebError(
                f"The page {shortened(url)} has {found.size_bytes:,} bytes; {max_bytes:,} are "
                "taken.",
                code="page_too_large",
            )
        return found.page(url, self._record.text(found.sha256))


def _key(text: str) -> str:
    """The text as JSON can hold it: half of a surrogate pair is no character."""
    return text.encode("utf-8", "replace").decode()


def _refusal(error: WebError) -> RecordedRefusal | None:
    """The error for the record; none for an error that says nothing about the web."""
    if error.code == NOT_RECORDED or not error.code.startswith(OF_THE_WEB):
        return None
    said = RecordedError(code=error.code, message=_key(error.message))
    return RecordedRefusal(error=said)


def _not_recorded(what: str, folder: Path) -> WebError:
    return WebError(
        f"There is no record of {what} in {folder}. Record it with the web, or add it by hand.",
        code=NOT_RECORDED,
    )

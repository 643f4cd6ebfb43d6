"""A record of searches and pages: a folder that a person can read and write.

::

    searches.json          query -> what it found, or the error
    pages.json             address -> what was read, or the error
    pages/<sha256>.txt     the text of a page, UTF-8; ``sha256sum`` gives its name

An entry of ``searches`` is ``{"hits": [{"title": ..., "url": ..., "snippet": ...}]}``, one of
``pages`` holds the fields of a ``Page`` but ``url`` and ``text``, and either may be
``{"error": {"code": "page_status", "message": ...}}`` instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from mmm_workflows.errors import CODES, UserError, WebError
from mmm_workflows.mmm.pages import Page, SearchHit, text_sha256
from mmm_workflows.tools.addresses import checked_url
from mmm_workflows.tools.record_files import (
    LONGEST_INDEX,
    LONGEST_TEXT,
    damaged,
    locked,
    read_file,
    subfolder,
    write_file,
)

SCHEMA_VERSION: Final = 1
SEARCHES: Final = "searches.json"
PAGES: Final = "pages.json"
TEXTS: Final = "pages"
OF_THE_WEB: Final = ("page_", "search_", "browser_")


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedError(_Recorded):
    """Why a search or a page failed."""

    code: str
    message: str

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        if code not in CODES or not code.startswith(OF_THE_WEB):
            raise ValueError("is no code of a search or a page")
        return code

    def again(self) -> WebError:
        """The error as it was raised."""
        return WebError(self.message, code=self.code)


class RecordedRefusal(_Recorded):
    """A search or a page that failed."""

    error: RecordedError


class RecordedHits(_Recorded):
    """What a search found, best first; cut at ``limit`` when there is one."""

    hits: tuple[SearchHit, ...]
    limit: int | None = Field(None, ge=1)

    @field_validator("hits")
    @classmethod
    def _of_the_web(cls, hits: tuple[SearchHit, ...]) -> tuple[SearchHit, ...]:
        for hit in hits:
            _web_address(hit.url)
        return hits


class RecordedPage(_Recorded):
    """A page that was read; its text lies beside under ``sha256``."""

    final_url: str
    title: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    fetched_at: AwareDatetime
    content_type: str
    size_bytes: int = Field(ge=0)
    how: str

    @field_validator("final_url")
    @classmethod
    def _of_the_web(cls, url: str) -> str:
        return _web_address(url)

    def page(self, url: str, text: str) -> Page:
        """The page as it was read."""
        return Page(url=url, text=text, **self.model_dump())


class _Version(BaseModel):
    schema_version: int


class Searches(_Recorded):
    """The file ``searches.json``."""

    schema_version: int = SCHEMA_VERSION
    searches: dict[str, RecordedHits | RecordedRefusal] = {}


class Pages(_Recorded):
    """The file ``pages.json``."""

    schema_version: int = SCHEMA_VERSION
    pages: dict[str, RecordedPage | RecordedRefusal] = {}


class Record:
    """The folder; every call reads or writes files, so call from a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def searches(self) -> dict[str, RecordedHits | RecordedRefusal]:
        """What was searched: query -> outcome.

        Raises:
            UserError: The file is damaged (``artifact_damaged``), or of another version
                (``store_schema``).
        """
        return self._index(SEARCHES, Searches).searches

    def pages(self) -> dict[str, RecordedPage | RecordedRefusal]:
        """What was read: address -> outcome; see ``searches`` for errors."""
        return self._index(PAGES, Pages).pages

    def text(self, sha256: str) -> str:
        """The text of a page.

        Raises:
            UserError: It is missing or not the text of this hash (``artifact_damaged``).
        """
        name = f"{sha256}.txt"
        folder = subfolder(self._folder, TEXTS)
        data = read_file(folder, name, longest=LONGEST_TEXT)
        if data is None:
            raise damaged(folder / name, "is missing")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise damaged(folder / name, "is not UTF-8") from None
        if (found := text_sha256(text)) != sha256:
            raise damaged(folder / name, f"has changed: its SHA-256 is {found}")
        return text

    def keep_search(self, query: str, outcome: RecordedHits | RecordedRefusal) -> None:
        """Add an outcome; a failure or a shorter list never takes the place of hits."""
        with locked(self._folder):
            kept = self.searches()
            if not _says_more(kept.get(query), outcome):
                self._write(SEARCHES, Searches(searches=_with(kept, query, outcome)))

    def keep_page(self, url: str, outcome: RecordedPage | RecordedRefusal, text: str = "") -> None:
        """Add an outcome; a failure never takes the place of a page."""
        with locked(self._folder):
            kept = self.pages()
            if isinstance(outcome, RecordedPage):
                name = f"{outcome.sha256}.txt"
                write_file(subfolder(self._folder, TEXTS), name, text.encode())
            elif isinstance(kept.get(url), RecordedPage):
                return
            self._write(PAGES, Pages(pages=_with(kept, url, outcome)))

    def _index[T: (Searches, Pages)](self, name: str, shape: type[T]) -> T:
        data = read_file(self._folder, name, longest=LONGEST_INDEX)
        if data is None:
            return shape()
        try:
            version = _Version.model_validate_json(data).schema_version
            if version != SCHEMA_VERSION:
                raise UserError(
                    f"The record {self._folder / name} has schema_version {version}; this version "
                    f"reads {SCHEMA_VERSION}.",
                    code="store_schema",
                )
            return shape.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = " > ".join(str(part)[:100] for part in first["loc"]) or "the file"
            raise damaged(self._folder / name, f"cannot be read: {where}: {first['msg']}") from None

    def _write(self, name: str, index: Searches | Pages) -> None:
        data = index.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"
        if len(data) > LONGEST_INDEX:
            raise UserError(
                f"The record {self._folder / name} is full. Record into another folder.",
                code="request_too_large",
            )
        write_file(self._folder, name, data)


def _web_address(url: str) -> str:
    try:
        checked_url(url)
    except WebError as error:
        raise ValueError(error.message) from None
    return url


def _with[T](kept: dict[str, T], key: str, outcome: T) -> dict[str, T]:
    return dict(sorted({**kept, key: outcome}.items()))


def _says_more(
    kept: RecordedHits | RecordedRefusal | None, outcome: RecordedHits | RecordedRefusal
) -> bool:
    if not isinstance(kept, RecordedHits):
        return False
    if not isinstance(outcome, RecordedHits):
        return True
    return kept.limit is None or (outcome.limit is not None and outcome.limit < kept.limit)

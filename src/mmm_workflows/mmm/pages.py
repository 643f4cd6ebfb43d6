"""What research reads: hits of a search and the text of pages, with their hashes."""

from __future__ import annotations

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class WebRecord(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SearchHit(WebRecord):
    """One result of a search: hostile text until a quote of it is checked."""

    title: str
    url: str
    snippet: str = ""


class Page(WebRecord):
    """The visible text of a page as it was when it was read.

    Attributes:
        url: The address that was asked for.
        final_url: The address after redirects.
        text: What a reader would see, paragraphs apart by a blank line; quotes are spans of it.
        sha256: Of ``text`` as UTF-8; claims name it.
        fetched_at: When the bytes came, in UTC.
        size_bytes: Length of the body as it was received.
        how: The adapter that read it: ``http``, ``browser``.
    """

    url: str
    final_url: str
    title: str
    text: str
    sha256: str
    fetched_at: datetime
    content_type: str
    size_bytes: int
    how: str


class WebOutcome(WebRecord):
    """A search or a page that gave nothing, and why."""

    asked: str
    code: str
    message: str


def text_sha256(text: str) -> str:
    """The hash by which claims name a page."""
    return hashlib.sha256(text.encode()).hexdigest()

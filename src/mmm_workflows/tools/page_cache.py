"""Pages that were read, on disk, so that a site is not asked twice for one page in a day."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from mmm_workflows.mmm.pages import Page, text_sha256


class PageCache:
    """Pages by the address that was asked for, each in a file named by that address's hash.

    Args:
        folder: Made when the first page is kept; may be deleted at any time.
        max_age_s: An older page is as good as none; a day when it is left out.
    """

    def __init__(self, folder: Path, *, max_age_s: float = 24 * 3600.0) -> None:
        self._folder = folder
        self._max_age = timedelta(seconds=max_age_s)

    def get(self, url: str) -> Page | None:
        """The page, if it is there, intact and young enough."""
        path = self._path(url)
        try:
            page = Page.model_validate_json(path.read_bytes())
        except OSError:
            return None
        except ValidationError:
            self._forget(path)
            return None
        age = datetime.now(UTC) - page.fetched_at
        # A page from the future was written under another clock.
        if not timedelta(0) <= age <= self._max_age or not _is_intact(page, url):
            self._forget(path)
            return None
        return page

    def put(self, page: Page) -> None:
        """Keep a page; a reader finds all of it or nothing."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A temporary file of this kind is readable by its owner alone.
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".partial")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(page.model_dump_json())
            Path(name).replace(self._path(page.url))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _forget(self, path: Path) -> None:
        # On a disk that cannot be written, a bad page stays and is passed over each time.
        with contextlib.suppress(OSError):
            path.unlink()

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def _is_intact(page: Page, url: str) -> bool:
    return page.url == url and page.sha256 == text_sha256(page.text)

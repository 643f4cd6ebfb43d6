"""Files in a folder that several machines have mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.removing import unless_gone
from mmm_workflows.ports import SharedFile

# Where a file is written before it gets its name; what a process left there that died is swept.
PARTIAL: Final = ".partial"
PARTIAL_KEPT: Final = timedelta(days=1)


class FolderFiles:
    """Keeps each file under its name in a folder that is there; see ``ports.SharedFiles``.

    The folder is never made: where a disk is not mounted, its mount point is an empty folder of
    this machine alone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def where(self) -> str:
        """The path of the folder."""
        return str(self._root)

    def put(self, name: str, file: Path) -> None:
        """Keep a copy of a file, published by one rename."""
        final = self._root / name
        with self._said():
            self._refuse_absent()
            final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._root / PARTIAL).mkdir(mode=0o700, exist_ok=True)
            number, partial = tempfile.mkstemp(dir=self._root / PARTIAL)
            try:
                with os.fdopen(number, "wb") as written, file.open("rb") as read:
                    shutil.copyfileobj(read, written)
                    written.flush()
                    os.fsync(written.fileno())
                Path(partial).replace(final)
            finally:
                Path(partial).unlink(missing_ok=True)

    def get(self, name: str, target: Path) -> bool:
        """Copy a file to a new path of this machine; whether there is one of this name."""
        with self._said():
            self._refuse_absent()
            try:
                shutil.copyfile(self._root / name, target)
            except FileNotFoundError:
                return False
        return True

    def entries(self, below: str) -> list[SharedFile]:
        """The files whose names begin with ``below/``, ordered by name."""
        with self._said():
            self._refuse_absent()
            found = [_entry(self._root, path) for path in _files(self._root / below)]
        return sorted(found)

    def remove(self, below: str) -> None:
        """Remove the files whose names begin with ``below/``, and the folders left empty."""
        folder = self._root / below
        with self._said():
            self._refuse_absent()
            if not folder.is_dir():
                return
            shutil.rmtree(folder, onexc=unless_gone)
            for parent in folder.parents:
                if parent == self._root or not _is_gone(parent):
                    break

    def sweep(self) -> None:
        """Remove what writers left behind that died long ago."""
        before = datetime.now(UTC) - PARTIAL_KEPT
        with self._said():
            for path in (self._root / PARTIAL).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                        path.unlink()

    def _refuse_absent(self) -> None:
        if not self._root.is_dir():
            raise FileNotFoundError(self._root)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if self._root.is_dir():
                raise
            raise ServiceUnavailable(
                f"There is no folder {self._root} (ARTIFACTS_URL). Mount or make it, on every "
                "machine; it is not made by itself, as nobody else would see it."
            ) from error
        except OSError as error:
            raise ServiceUnavailable(
                f"The folder {self._root} (ARTIFACTS_URL) cannot be used: {error.strerror or error}. "
                "This process must be able to read and write it."
            ) from error


def _is_gone(folder: Path) -> bool:
    """Whether a folder is no longer there, after its removal where it was empty."""
    with contextlib.suppress(OSError):  # something lies in it, or another process was faster
        folder.rmdir()
    return not folder.exists()


def _files(folder: Path) -> list[Path]:
    """A link may lead anywhere, and is none of ours."""
    return [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]


def _entry(root: Path, path: Path) -> SharedFile:
    told = path.stat()
    changed_at = datetime.fromtimestamp(told.st_mtime, UTC)
    return SharedFile(path.relative_to(root).as_posix(), told.st_size, changed_at)

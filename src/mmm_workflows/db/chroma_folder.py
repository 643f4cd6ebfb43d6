"""A folder of Chroma's: owned by one process, and free of what was deleted from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import Final
from uuid import UUID

from mmm_workflows.db.owner_lock import OwnerLock
from mmm_workflows.errors import ServiceUnavailable

LOCK: Final = "owner.lock"
DATABASE: Final = "chroma.sqlite3"
DATA: Final = "data_level0.bin"
LENGTHS: Final = "length.bin"
LENGTH_BYTES: Final = 4  # one float of each element
BUSY_TIMEOUT_S: Final = 10
# How an index's header begins: version, offset, places, elements, bytes of one element.
HEADER: Final = struct.Struct("<iQQQQ")
HEADER_VERSION: Final = 1
# When a file that was scrubbed was last written, as it says: the next writing within the same tick of
# the clock would not be told from it by its own time.
SCRUBBED_NS: Final = 10**9


class OwnedFolder:
    """A folder that this object holds until it is released or its process ends.

    Raises:
        ServiceUnavailable: Somebody else holds it (``vectors_owned``), or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = OwnerLock(folder / LOCK)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_ours = self._lock.take()
        except OSError as error:
            raise ServiceUnavailable(
                f"The folder of vectors {folder} cannot be used: {error.strerror}. "
                "Set MMM_HOME to a folder that can be written."
            ) from error
        if not is_ours:
            raise ServiceUnavailable(
                f"The vectors at {folder} are owned by {self._lock.holder()}; Chroma's folder "
                "takes one process at a time. Until it ends, this process searches words only. "
                "Set CHROMA_URL to share vectors between processes.",
                code="vectors_owned",
            )

    def release(self) -> None:
        """Let the next one have it; nothing happens where it is not held."""
        self._lock.release()


def sweep(folder: Path) -> None:
    """Take deleted vectors off the disk; Chroma leaves their files and rows behind.

    Chroma has no call for it. Its database says which index folders are in use; where it does not
    (another layout of a later version), none is touched.
    """
    path = folder / DATABASE
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
        has_segments = "SELECT count(*) FROM sqlite_master WHERE type='table' AND name='segments'"
        if database.execute(has_segments).fetchone()[0]:
            used = {row[0] for row in database.execute("SELECT id FROM segments")}
            for child in folder.iterdir():
                if child.is_dir() and _is_uuid(child.name) and child.name not in used:
                    shutil.rmtree(child)
        database.execute("VACUUM")


def scrub(folder: Path) -> None:
    """Write zeros where no vector lies yet in the files of the indexes.

    Chroma makes the files of vectors and of their lengths from memory that it did not clear, when
    an index is made, opened and kept: vectors that were deleted can come back in them, and names.
    A file of another layout than we know, or that was scrubbed and not written since, is left alone.
    """
    for index in _indexes(folder):
        if any(_is_written(index / name) for name in (DATA, LENGTHS)):
            _scrub(index)


def _scrub(index: Path) -> None:
    head = (index / "header.bin").read_bytes()[: HEADER.size]
    if len(head) < HEADER.size:
        return
    version, _, places, elements, size = HEADER.unpack(head)
    for file, each in ((index / DATA, size), (index / LENGTHS, LENGTH_BYTES)):
        if version == HEADER_VERSION and file.stat().st_size == places * each:
            with file.open("r+b") as opened:
                opened.seek(elements * each)
                opened.write(bytes((places - elements) * each))
        os.utime(file, ns=(SCRUBBED_NS, SCRUBBED_NS))


def _is_written(file: Path) -> bool:
    return file.stat().st_mtime_ns != SCRUBBED_NS


def _indexes(folder: Path) -> list[Path]:
    found = [header.parent for header in folder.glob("*/header.bin")]
    return [
        index
        for index in found
        if _is_uuid(index.name) and all((index / name).is_file() for name in (DATA, LENGTHS))
    ]


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False

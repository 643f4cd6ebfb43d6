"""A folder of Chroma's: owned by one process, and free of what was deleted from it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final
from uuid import UUID

from mmm_workflows.errors import ServiceUnavailable

LOCK: Final = "owner.lock"
DATABASE: Final = "chroma.sqlite3"
BUSY_TIMEOUT_S: Final = 10


class OwnedFolder:
    """A folder that this object holds until it is released or its process ends.

    Raises:
        ServiceUnavailable: Somebody else holds it (``vectors_owned``), or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / LOCK
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceUnavailable(
                f"The folder of vectors {folder} cannot be used: {error.strerror}. "
                "Set MMM_HOME to a folder that can be written."
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 20, 0).decode() or "unknown"
            os.close(self._descriptor)
            raise ServiceUnavailable(
                f"The vectors at {folder} are owned by process {owner}; Chroma's folder takes one "
                "process at a time. Until it ends, this process searches words only. Set "
                "CHROMA_URL to share vectors between processes.",
                code="vectors_owned",
            ) from None
        # The file stays when it is released: a removed one could be locked by two.
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next one have it; at most once."""
        os.close(self._descriptor)


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


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False

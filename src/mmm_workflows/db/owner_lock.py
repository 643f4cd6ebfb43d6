"""Which process owns a store that only one process may write: a lock that dies with it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class OwnerLock:
    """A lock on a file that stays; held by at most one opener of all processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this opener holds it."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Try to get it; whether it is held now."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """The id of the process that took it last, in words."""
        try:
            return f"process {self._path.read_text().strip() or 'unknown'}"
        except FileNotFoundError:
            return "no process"

    def release(self) -> None:
        """Give it up; nothing happens where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""One live executor per run, on this machine: a lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mmm_workflows.errors import RunError


class RunLocks:
    """Locks on files of a folder, one per run; held by at most one caller of all processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @asynccontextmanager
    async def acquire(self, workflow_id: str) -> AsyncIterator[None]:
        """Hold the run for the length of the block.

        Raises:
            RunError: Another caller, here or in another process, holds it (``run_busy``).
        """
        path = self.folder / f"{hashlib.sha256(workflow_id.encode()).hexdigest()[:32]}.lock"
        descriptor = self._locked(path, workflow_id)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            # Removed while it is still held: who opened the old file sees that it has no name.
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _locked(self, path: Path, workflow_id: str) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode() or "unknown"
                os.close(descriptor)
                raise busy(workflow_id, f"process {holder}") from None
            if _is_named(descriptor, path):
                return descriptor
            os.close(descriptor)


def busy(workflow_id: str, holder: str) -> RunError:
    """The error for a run that another caller holds."""
    return RunError(
        f"Run {workflow_id} is being worked on by {holder}. Wait for it, "
        f"watch it with `mmm-workflows watch {workflow_id}`, or stop that process; "
        "its end frees the run.",
        code="run_busy",
    )


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

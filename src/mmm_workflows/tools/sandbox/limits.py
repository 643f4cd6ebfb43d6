"""How much a job of generated code may use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MIB: Final = 1 << 20
PROC: Final = Path("/proc")


class Limits(BaseModel):
    """What one job may use before it is ended.

    A file that was deleted while it is open is not seen by the watch on the folder: at most
    ``open_files`` times ``file_bytes`` of the disk, until the job ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_s: float = Field(default=60, gt=0)
    cpu_s: int = Field(default=30, ge=1)
    memory_bytes: int = Field(default=2048 * MIB, ge=256 * MIB)
    """Of address space, so that it also bounds what is mapped and not touched."""
    file_bytes: int = Field(default=32 * MIB, ge=1)
    files: int = Field(default=200, ge=1)
    folder_bytes: int = Field(default=128 * MIB, ge=1)
    output_bytes: int = Field(default=MIB, ge=1)
    """Of stdout and stderr together."""
    threads: int = Field(default=64, ge=1)
    open_files: int = Field(default=64, ge=16)


def thread_limit(uid: int, limits: Limits) -> int:
    """The value of RLIMIT_NPROC that leaves the job its threads: the kernel counts per user."""
    return limits.threads + _threads_of(uid)


def _threads_of(uid: int) -> int:
    count = 0
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if process.stat().st_uid == uid:
                count += len(list((process / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return count

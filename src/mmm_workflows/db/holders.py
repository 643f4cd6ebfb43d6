"""The process that works on a run, told so that another can see whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
# A process that has ended and whose parent has not looked yet.
ENDED: Final = ("Z", "X")
HOST_LENGTH: Final = 80


@dataclass(frozen=True)
class Holder:
    """One process of one machine; no other has or will have the same four facts.

    Attributes:
        machine: This boot, and this space of process ids (a container has its own); empty where
            the system does not tell.
        started: When it began, in ticks after the boot: process ids are used again.
    """

    machine: str
    pid: int
    started: str
    host: str

    @classmethod
    def of_this_process(cls) -> Holder:
        """The process that asks."""
        pid = os.getpid()
        host = socket.gethostname().replace("/", "-")[:HOST_LENGTH]
        return cls(_machine(), pid, _started(pid) or "", host)

    @classmethod
    def read(cls, text: str) -> Holder:
        """The holder of a stored text."""
        machine, pid, started, host = text.split("/", 3)
        return cls(machine, int(pid), started, host)

    def __str__(self) -> str:
        return f"{self.machine}/{self.pid}/{self.started}/{self.host}"

    @property
    def words(self) -> str:
        """How a person is told of it."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; of another machine, or one that does not tell, not."""
        if not self.machine or self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # another user's, whose facts may be hidden
        return _started(self.pid) != self.started


def _machine() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{boot}{space.removeprefix('pid:')}"


def _started(pid: int) -> str | None:
    """When a process began; None when it has ended."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name before the last bracket may hold anything.
    state, *numbers = stat.rpartition(")")[2].split()
    return None if state in ENDED else numbers[18]

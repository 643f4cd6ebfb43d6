"""What glibc's allocator keeps of memory that nobody uses; elsewhere nothing here does anything.

It hands memory out as its last user left it: a library that writes a whole page to a file, of which
it filled a part, writes along what any other part of this process had there.

It gives each thread an area of its own, up to eight per core, and each area keeps the room between
what is still in use. With two areas the same 160 runs of a service with deletions in between left it
at 537 MB, and growing by nothing; with sixteen at 580 MB, and growing (docs/decisions/0013).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

# malloc.h
M_ARENA_MAX: Final = -8
AREAS: Final = 2
M_PERTURB: Final = -6
# What is handed out is filled with the complement of this; what is freed, with this itself. Pieces
# of up to 1032 bytes that a thread has again from what it freed just now are spared both.
ZEROS: Final = 255


def keep_few_areas() -> None:
    """Let all threads of this process share two areas; to be said before there are many threads."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, AREAS)


def give_back() -> None:
    """Hand what is free back to the system. Takes 1 ms."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Clearing:
    """A setting of the whole process, in force while a block of any thread is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Have what is handed out in the block hold zeros; to enter and leave takes 0.05 ms."""
        self._change(+1)
        try:
            yield
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        with self._lock, suppress(AttributeError):
            self._inside += by
            ctypes.CDLL(None).mallopt(M_PERTURB, ZEROS if self._inside else 0)


cleared = _Clearing()

"""What this process had in its memory does not come into the file of the embedded graph."""

from __future__ import annotations

import asyncio
import ctypes
import platform
from pathlib import Path

import pytest

from mmm_workflows.allocator import cleared
from mmm_workflows.db.ladybug_client import LadybugGraph, open_ladybug

from .values import edge, node

MARKER = b"OF-ANOTHER-BRAND"  # 16 bytes
SIZES = (4096, 8192)

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another allocator, which cannot be told to clear"
)


def allocator() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    return libc


def leave_marks() -> None:
    """Memory of this thread that is free again and full of the marker."""
    libc = allocator()
    for size in SIZES:
        pieces = [libc.malloc(size) for _ in range(500)]
        for piece in pieces:
            ctypes.memmove(piece, MARKER * (size // len(MARKER)), size)
        for piece in pieces:
            libc.free(piece)


def marks_handed_out() -> int:
    """How often the marker is in memory that this thread is given now."""
    libc = allocator()
    pieces = [libc.malloc(size) for size in SIZES for _ in range(500)]
    found = sum(ctypes.string_at(piece, SIZES[0]).count(MARKER) for piece in pieces)
    for piece in pieces:
        libc.free(piece)
    return found


async def leave_marks_everywhere(graph: LadybugGraph) -> None:
    leave_marks()
    await asyncio.get_running_loop().run_in_executor(graph._thread, leave_marks)


def marks(folder: Path) -> dict[str, int]:
    return {path.name: path.read_bytes().count(MARKER) for path in folder.iterdir()}


async def test_what_was_in_memory_is_not_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    leave_marks()
    assert marks_handed_out(), "nothing is shown by memory that is clear already"
    graph = await open_ladybug(folder)
    for turn in range(3):
        await leave_marks_everywhere(graph)
        await graph.add([node("p", "a"), node("q", f"n{turn}")], [edge("p", "a", "a")])
        assert not any(marks(folder).values())
        await leave_marks_everywhere(graph)
        assert await graph.forget("p") == 1
        assert not any(marks(folder).values())
    await leave_marks_everywhere(graph)
    await graph.aclose()
    assert not any(marks(folder).values())
    assert set(marks(folder)) == {"graph.lbug", "owner.lock"}


def test_memory_is_cleared_until_the_last_block_ends() -> None:
    with cleared():
        with cleared():
            pass
        leave_marks()
        assert not marks_handed_out()
    leave_marks()
    assert marks_handed_out(), "what nobody asked for costs nothing"

"""What a job prints, read as it comes and cut where it is too much."""

from __future__ import annotations

import asyncio
import re
from typing import Final

CHUNK_BYTES: Final = 1 << 16
CUT: Final = "\n[cut here: more was printed than is kept]"
# Terminals act on these: a job could rewrite what stands on the screen above its own text.
CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Output:
    """Both streams of a job under one limit.

    Args:
        limit_bytes: Kept of stdout and stderr together; the rest is read and forgotten.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._room = limit_bytes
        self._streams: list[bytearray] = [bytearray(), bytearray()]
        self._is_cut = [False, False]
        self.overflowed = asyncio.Event()

    async def read(self, *streams: asyncio.StreamReader) -> None:
        """Read stdout and stderr until both are closed."""
        await asyncio.gather(*(self._read(index, stream) for index, stream in enumerate(streams)))

    async def _read(self, index: int, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(CHUNK_BYTES):
            kept = chunk[: self._room]
            self._room -= len(kept)
            self._streams[index] += kept
            if len(kept) < len(chunk):
                self._is_cut[index] = True
                self.overflowed.set()

    def texts(self) -> tuple[str, str]:
        """Stdout and stderr as text without control characters; a cut is marked at the end."""
        out, err = (self._text(index) for index in (0, 1))
        return out, err

    def _text(self, index: int) -> str:
        text = self._streams[index].decode("utf-8", errors="replace").replace("\r\n", "\n")
        return CONTROLS.sub("\ufffd", text) + (CUT if self._is_cut[index] else "")

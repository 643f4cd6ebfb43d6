"""A way to a server that can be cut, also at the moment of a commit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal


class Cable:
    """A way to the server: cut, every connection ends and no new one is taken."""

    def __init__(self, url: str) -> None:
        found = re.search(r"@([\d.]+):(\d+)/", url)
        assert found is not None
        self._host, self._port = found[1], int(found[2])
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._snap: tuple[bytes, Literal["before", "after"], int] | None = None
        self.port = 0
        self.snapped = 0

    async def plug_in(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection and take no new one."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def snap_at(self, word: bytes, when: Literal["before", "after"], *, skip: int = 0) -> None:
        """End the connection that says a word: before or after the server has done as it says.

        The first ``skip`` times that it is said are let pass.
        """
        self._snap = (word, when, skip)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, onward}
        await asyncio.gather(
            self._ask(reader, writer, onward), _pump(there, writer), return_exceptions=True
        )
        self._writers -= {writer, onward}

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        onward: asyncio.StreamWriter,
    ) -> None:
        try:
            while content := await reader.read(65536):
                when = self._snaps_at(content)
                if when is not None:
                    writer.transport.abort()
                    if when == "after":
                        onward.write(content)
                        await onward.drain()
                        await asyncio.sleep(0.2)  # the server is done, and nobody heard it
                    return
                onward.write(content)
                await onward.drain()
        finally:
            onward.close()

    def _snaps_at(self, content: bytes) -> Literal["before", "after"] | None:
        if self._snap is None or self._snap[0] not in content:
            return None
        word, when, skip = self._snap
        if skip:
            self._snap = (word, when, skip - 1)
            return None
        self._snap = None
        self.snapped += 1
        return when


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def a_cable(url: str) -> AsyncIterator[tuple[Cable, str]]:
    """A cable to a server, and the address of its near end."""
    cable = Cable(url)
    await cable.plug_in()
    try:
        yield cable, re.sub(r"@[\d.]+:\d+/", f"@127.0.0.1:{cable.port}/", url)
    finally:
        cable.cut()
        await asyncio.sleep(0.05)

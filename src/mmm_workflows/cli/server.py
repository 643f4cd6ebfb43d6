"""The server of ``mmm-workflows serve``: it parts from callers who do not take what is sent."""

from __future__ import annotations

import socket
from typing import Final

import uvicorn

# A connection of which nothing is taken for so long is cut, whatever is sent on it.
TAKEN_WITHIN_S: Final = 30.0


class Server(uvicorn.Server):
    """Cuts stopped connections by TCP_USER_TIMEOUT, on Linux; other systems do not have it.

    Uvicorn itself waits for ever: a stopped download would keep its place and its memory, and the
    end of the answer would only be written behind what is not taken.
    """

    def __init__(self, config: uvicorn.Config, *, taken_within_s: float = TAKEN_WITHIN_S) -> None:
        super().__init__(config)
        self._taken_within_s = taken_within_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; connections inherit the option of the socket that they come in by."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                _part_after(listening.fileno(), self._taken_within_s)


def _part_after(fileno: int, seconds: float) -> None:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    # A socket of uvloop takes no options itself, and one of a file system none of TCP.
    with socket.socket(fileno=socket.dup(fileno)) as listening:
        if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
            listening.setsockopt(socket.IPPROTO_TCP, option, round(1000 * seconds))

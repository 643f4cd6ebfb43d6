"""A watcher who comes back: every event of a run over the WebSocket, whatever ends it meanwhile."""

from __future__ import annotations

import json
import threading
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

WAITS_S = 180.0
PAUSE_S = 0.1


class Watcher:
    """Follows a run from its start; a connection that ends is made again with ``?after=``.

    Args:
        address: HOST:PORT of the API.
        name: The run.
    """

    def __init__(self, address: str, name: str) -> None:
        self._url = f"ws://{address}/ws/{name}"
        self._is_over = threading.Event()
        self.seen: list[tuple[int, str]] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._follow, name=f"watch {name}", daemon=True)
        self._thread.start()

    def until(self, seq: int) -> None:
        """Wait until an event has come, and leave."""
        until = time.monotonic() + WAITS_S
        while (self.seen[-1][0] if self.seen else 0) < seq and time.monotonic() < until:
            time.sleep(0.05)
        self._is_over.set()
        self._thread.join(WAITS_S)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            after = self.seen[-1][0] if self.seen else 0
            try:
                with connect(f"{self._url}?after={after}", open_timeout=10) as socket:
                    self.connections += 1
                    self._read(socket.recv)
            except (OSError, WebSocketException):
                pass  # it is killed, or starts, or the run waits: come back
            time.sleep(PAUSE_S)

    def _read(self, recv) -> None:  # type: ignore[no-untyped-def]
        while not self._is_over.is_set():
            try:
                message = json.loads(recv(timeout=0.5))
            except TimeoutError:
                continue
            if message["type"] == "event":
                self.seen.append((message["seq"], message["data"]["message"]))

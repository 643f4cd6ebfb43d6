"""Connections of ``mmm-workflows serve``: how long a head may be, how long it takes, how many."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from functools import partial
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mmm_workflows.errors import CODES

# Address, headers and what follows a body in parts; four times what browsers send at most.
HEAD_BYTES: Final = 1 << 16
# As HTTP/2 counts a header: many empty ones are no less work than a long one.
HEADER_COSTS: Final = 32
HEAD_S: Final = 20.0
# Requests that stand in line on one connection: a single packet could hold ten thousand.
PIPELINED: Final = 64
# Of the rest of a body whose answer was given already, within HEAD_S.
REST_BYTES: Final = 1 << 20
# Whoever still sends when a connection is closed never reads why.
PARTING_S: Final = 2.0


def _refusal(status: str, code: str, detail: str, *headers: str) -> bytes:
    problem = {
        "type": f"urn:mmm-workflows:error:{code}",
        "title": CODES[code],
        "status": int(status[:3]),
        "detail": detail,
        "code": code,
    }
    body = json.dumps(problem).encode()
    said = (
        f"HTTP/1.1 {status}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "x-content-type-options: nosniff",
        "connection: close",
        *headers,
    )
    return "\r\n".join((*said, "", "")).encode() + body


UNREADABLE: Final = _refusal(
    "400 Bad Request", "request_invalid", "What was sent cannot be read as HTTP/1.1."
)
TOO_LATE: Final = _refusal(
    "408 Request Timeout",
    "request_invalid",
    "The headers did not come within the time that they may take. Send them again.",
)
TOO_LONG: Final = _refusal(
    "431 Request Header Fields Too Large",
    "request_too_large",
    f"The address and the headers are longer than the {HEAD_BYTES >> 10} KiB that are taken.",
)
FULL: Final = _refusal(
    "503 Service Unavailable",
    "service_busy",
    "As many connections are open as are taken at once. Try again in a few seconds.",
    "retry-after: 5",
)


class _TooMuch(Exception):
    """Ends the reading; the parser turns it into an error of its own."""


class Places:
    """The connections of one server, with those that wait for a request in order of coming."""

    def __init__(self, most: int, *, head_s: float = HEAD_S) -> None:
        self.most = most
        self.head_s = head_s
        self.waiting: OrderedDict[Connection, None] = OrderedDict()

    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn makes a connection by, as its option ``http``."""
        return cast("type[asyncio.Protocol]", partial(Connection, places=self))

    def make_room(self) -> bool:
        """Cut the one that has waited longest; False: all are being answered."""
        longest = next((c for c in self.waiting if not c.has_unsent), None)
        if longest is not None:
            longest.cut()
        return longest is not None


class Connection(HttpToolsProtocol):
    """Parts from a caller whose request is not read to the end of its headers, or takes long."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        places: Places,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._places = places
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._head_bytes = 0
        # Received since something was read to its end, and since the timer was set.
        self._unread = self._taken = 0

    @property
    def has_unsent(self) -> bool:
        """Whether the end of an answer is still on its way."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def cut(self) -> None:
        """Give the place up at once."""
        self._is_over = True
        self._wait_no_more()
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if need be that of one who has long asked for nothing."""
        super().connection_made(transport)
        if len(self.connections) > self._places.most and not self._places.make_room():
            self._is_over = True
            transport.write(FULL)
            transport.close()
            return
        self._places.waiting[self] = None
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._is_over = True
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless too much has come that leads to nothing."""
        self._unread += len(data)
        self._taken += len(data)
        if self._is_over:
            if self._unread > REST_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        # What was read may have ended it, or have handed it over to a WebSocket.
        if self._is_over:
            return
        if self._unread > HEAD_BYTES:
            self._part(TOO_LONG)
        elif self._timer is None and not self._is_answering:
            self._set_timer()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, unless an answer to an earlier request is still under way."""
        if self._is_answering:
            self._part(UNREADABLE)
            return
        self._is_over = True
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Say what could not be read."""
        self._part(TOO_LONG if self._head_bytes > HEAD_BYTES else UNREADABLE)

    def on_message_begin(self) -> None:
        """Count from here."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count what there is of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or what follows a body in parts."""
        self._count(len(name) + len(value) + HEADER_COSTS)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Work on the request, or let it stand in line for the one before it."""
        self._unread = 0
        self._wait_no_more()
        if len(self.pipeline) >= PIPELINED:
            raise _TooMuch
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Go on: how much a body may hold is not decided here."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count from here."""
        self._unread = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has come already."""
        super().on_response_complete()
        if not (self._is_over or self._is_answering or self.transport.is_closing()):
            self._places.waiting[self] = None

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            raise _TooMuch

    def _set_timer(self) -> None:
        self._taken = 0
        self._timer = self.loop.call_later(self._places.head_s, self._look)

    def _wait_no_more(self) -> None:
        self._places.waiting.pop(self, None)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._taken > REST_BYTES:
            self._set_timer()
        elif self._unread:
            self._part(TOO_LATE)
        else:
            self.transport.close()

    def _part(self, refusal: bytes) -> None:
        """Close, with the reason where it cannot be taken for the answer to something else."""
        self._is_over = True
        self._stop_timer()
        self._unread = 0
        if self.transport.is_closing():
            return
        if self._is_answering:
            if self.pipeline or self.cycle.response_started or not self.cycle.more_body:
                self.transport.close()
                return
            # It is told now, and must not answer any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(refusal)
        self.transport.write_eof()
        self._timer = self.loop.call_later(PARTING_S, self.transport.close)

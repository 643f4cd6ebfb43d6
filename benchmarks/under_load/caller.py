"""A client that costs the machine next to nothing: kept connections, requests that are bytes."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import httptools

# What was due so long ago and is not sent yet finds no free connection: the service is lost.
MOST_WAITING = 20_000
# Less than any server keeps a connection: a request would meet one that is just being closed.
IDLE_S = 3.0


@dataclass(frozen=True)
class Answer:
    """What came back; ``took_s`` is counted from when the request was due."""

    status: int
    body: bytes
    took_s: float


@dataclass
class Answers:
    """How a phase was answered.

    Attributes:
        took_ms: From the moment that each request was due to the last byte of its answer.
        failed: How many were not answered with 200.
    """

    took_ms: list[float] = field(default_factory=list)
    failed: int = 0
    first_failure: str = ""

    def note(self, answer: Answer) -> None:
        """Count an answer."""
        self.took_ms.append(answer.took_s * 1000)
        if answer.status != 200:
            self.failed += 1
            self.first_failure = self.first_failure or f"{answer.status}: {answer.body[:300]!r}"


class _Connection(asyncio.Protocol):
    """One request at a time over one connection."""

    def __init__(self, is_free: Callable[[_Connection], None]) -> None:
        self._is_free = is_free
        self._used_at = time.monotonic()
        self._done: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._body = bytearray()
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._done

    @property
    def is_usable(self) -> bool:
        return not self._transport.is_closing() and time.monotonic() < self._used_at + IDLE_S

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        done, self._done = self._done, None
        self._used_at = time.monotonic()
        self._is_free(self)
        if done is not None and not done.done():
            done.set_result((self._parser.get_status_code(), bytes(self._body)))

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result((0, repr(error).encode()))
            self._done = None


class Caller:
    """Asks one service; a connection is made when all others wait for their answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: deque[_Connection] = deque()
        self._made: list[_Connection] = []

    @property
    def connections(self) -> int:
        """How many connections were needed."""
        return len(self._made)

    def get(self, path: str) -> bytes:
        """The bytes of a GET."""
        return self._bare("GET", path)

    def delete(self, path: str) -> bytes:
        """The bytes of a DELETE."""
        return self._bare("DELETE", path)

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """The bytes of a POST of JSON."""
        content = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def _bare(self, method: str, path: str) -> bytes:
        return f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n\r\n".encode()

    async def ask(self, request: bytes, *, due: float | None = None) -> Answer:
        """Send a request; status 0 says that the connection was lost or refused."""
        due = time.perf_counter() if due is None else due
        try:
            status, body = await (await self._connection()).send(request)
        except OSError as error:
            status, body = 0, repr(error).encode()
        return Answer(status, body, time.perf_counter() - due)

    async def _connection(self) -> _Connection:
        while self._free:
            # The one that was used last: others may be idle for so long that they are closed.
            connection = self._free.pop()
            if connection.is_usable:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._free.append), "127.0.0.1", self._port
        )
        self._made.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection."""
        for connection in self._made:
            connection.close()


@contextmanager
def calling(port: int) -> Iterator[Caller]:
    """A caller whose connections are closed at the end."""
    caller = Caller(port)
    try:
        yield caller
    finally:
        caller.close()


async def at_rate(
    rate: float, while_: Callable[[], bool], ask: Callable[[int, float], Awaitable[Answer]]
) -> Answers:
    """Ask at a steady rate, whatever the answers take.

    A request counts from the moment it was due, so that a service that stalls is not spared.
    """
    answers, asked = Answers(), set[asyncio.Task[None]]()

    async def one(number: int, due: float) -> None:
        answers.note(await ask(number, due))

    began, number = time.perf_counter(), 0
    while while_():
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(number, due))
        asked.add(task)
        task.add_done_callback(asked.discard)
        number += 1
        if len(asked) > MOST_WAITING:
            raise SystemExit(f"{len(asked)} requests wait for an answer: the service is lost")
    await asyncio.gather(*asked)
    return answers


async def one_after_the_other(
    callers: int, while_: Callable[[], bool], ask: Callable[[int], Awaitable[Answer]]
) -> Answers:
    """So many callers, each of whom asks again as soon as it has its answer."""
    answers = Answers()

    async def call(caller: int) -> None:
        number = caller
        while while_():
            answers.note(await ask(number))
            number += callers

    await asyncio.gather(*(call(caller) for caller in range(callers)))
    return answers

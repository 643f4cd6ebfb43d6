"""Callers who never come to the end of a request are parted from, and hold up nobody else."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
import uvloop
from api.answers import problem
from api.servers import CLI, StartServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from mmm_workflows.cli.connections import HEAD_BYTES, PIPELINED, Places
from mmm_workflows.cli.serve import most_connections
from mmm_workflows.cli.server import Server
from mmm_workflows.config import Settings

PATIENCE_S = 120
AT_ONCE_S = 15
MANY = 1 << 20
GET = b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n"
BEGUN = b"GET /ok HTTP/1.1\r\nHost: localhost\r\nX: "
IN_PARTS = b"POST /size HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

type Loops = Callable[[], asyncio.AbstractEventLoop]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
each_loop = pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop])


UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def _ok(request: Request) -> Response:
    return PlainTextResponse("ok")


async def _size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _unread(request: Request) -> Response:
    return PlainTextResponse("no", 403)


async def _ticks() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.1)


async def _stream(request: Request) -> Response:
    return StreamingResponse(_ticks())


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        await websocket.send_text(message["text"])


ROUTES = [
    Route("/ok", _ok), Route("/size", _size, methods=["POST"]), Route("/stream", _stream),
    Route("/unread", _unread, methods=["POST"]), WebSocketRoute("/echo", _echo),
]  # fmt: skip


@asynccontextmanager
async def served_here(
    *, head_s: float = 60.0, most: int = 100, places: Places | None = None
) -> AsyncIterator[int]:
    """The port of a server in this process."""
    places = places or Places(most, head_s=head_s)
    config = uvicorn.Config(
        Starlette(routes=ROUTES), port=0, log_level="warning", timeout_graceful_shutdown=1,
        http=places.protocol(),
    )  # fmt: skip
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _run(work: Awaitable[None], loops: Loops, caplog: pytest.LogCaptureFixture) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work

    with asyncio.Runner(loop_factory=loops) as runner:
        runner.run(bounded())
    assert not [said for said in caplog.records if said.exc_info or said.levelno >= logging.ERROR]


async def _open(port: int, sent: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    read = bytearray()
    with suppress(ConnectionError):
        while part := await reader.read(1 << 16):
            read += part
    return bytes(read)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
    return int(head.split()[1]), await reader.readexactly(int(lines[b"content-length"]))


def _problem(read: bytes, status: int, code: str) -> None:
    head, _, body = read.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert int(lines[0].split()[1]) == status, read[:200]
    told = dict(line.split(b": ", 1) for line in lines[1:])
    headers = {name.decode(): value.decode() for name, value in told.items()}
    assert headers["x-content-type-options"] == "nosniff" and headers["connection"] == "close"
    problem(httpx.Response(status, headers=headers, content=body), status, code)


@contextmanager
def _asked_meanwhile(url: str) -> Iterator[list[float]]:
    """Seconds that each of many answers took, given while the block goes on."""
    took: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.05):
            began = time.monotonic()
            httpx.get(url, timeout=PATIENCE_S).raise_for_status()
            took.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield took
    finally:
        done.set()
        asking.join()


def _until_cut(address: str, begun: bytes, most: int) -> tuple[int, bytes]:
    """Bytes that were taken of a request without end, and what was answered."""
    host, port = address.split(":")
    taken = len(begun)
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as caller:
        with suppress(ConnectionError):
            caller.sendall(begun)
            while taken < most:
                caller.sendall(b"a" * MANY)
                taken += MANY
        with suppress(ConnectionError):
            return taken, caller.recv(1 << 16)
    return taken, b""


@pytest.mark.parametrize("begun", [BEGUN, b"GET /"], ids=["a header", "an address"])
def test_a_head_without_end_is_cut_while_others_are_answered(served: str, begun: bytes) -> None:
    with _asked_meanwhile(f"http://{served}/health/live") as took:
        taken, read = _until_cut(served, begun, 64 * MANY)
        time.sleep(0.5)
    assert taken < 64 * MANY
    assert read == b"" or read.startswith(b"HTTP/1.1 431 ")
    assert took and max(took) < AT_ONCE_S
    assert httpx.get(f"http://{served}/workflows", timeout=PATIENCE_S).status_code == 200


def test_silent_connections_do_not_take_the_descriptors_of_others(
    start_server: StartServer, tmp_path: Path
) -> None:
    limited = ("sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *CLI, "serve")
    with start_server(limited, tmp_path) as address, ExitStack() as stack:
        host, port = address.split(":")
        for _ in range(200):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
        for path in ("/health/live", "/workflows", "/health"):
            assert httpx.get(f"http://{address}{path}", timeout=PATIENCE_S).status_code == 200
    assert "128 files open, so it takes 64 connections" in (tmp_path / "log").read_text()


def test_a_caller_who_closes_after_its_request_reads_that_it_was_too_long(served: str) -> None:
    host, port = served.split(":")
    for length in (3 * MANY, 40 * MANY):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as caller:
            caller.sendall(
                b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
            )
            caller.sendall(b" " * length)
            assert caller.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


@each_loop
@pytest.mark.parametrize(
    "sent",
    [
        BEGUN + b"a" * 2 * HEAD_BYTES,
        BEGUN + b"a" * 2 * HEAD_BYTES + b"\r\n\r\n",
        b"GET /" + b"a" * 2 * HEAD_BYTES,
        b"GET /ok HTTP/1.1\r\n" + b"a:\r\n" * (HEAD_BYTES // 16) + b"\r\n",
        b"\r\n" * HEAD_BYTES,
        IN_PARTS + b"0\r\nX: " + b"a" * 2 * HEAD_BYTES,
        IN_PARTS + b"1;" + b"a" * 2 * HEAD_BYTES,
        GET.replace(b"/ok", b"/ok?" + b"a" * HEAD_BYTES),
    ],
    ids=[
        "a header without end", "a long header", "an address without end", "many headers",
        "empty lines", "headers behind a body", "the size of a part", "a long address",
    ],
)  # fmt: skip
def test_what_is_too_long_is_answered_431(
    sent: bytes, loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here() as port:
            reader, writer = await _open(port, sent)
            # More than is read at once, and less than is passed over before the answer is read.
            for _ in range(5):
                await asyncio.sleep(0.05)
                writer.write(b"a" * HEAD_BYTES)
            _problem(await _rest(reader), 431, "request_too_large")
            writer.close()
            reader, writer = await _open(port, GET)
            assert await _answer(reader) == (200, b"ok")
            writer.close()

    _run(work(), loops, caplog)


@each_loop
def test_what_is_no_http_is_answered_as_every_other_problem(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here() as port:
            for sent in (b"garbage\r\n\r\n", IN_PARTS + b"no size\r\n"):
                reader, writer = await _open(port, sent)
                _problem(await _rest(reader), 400, "request_invalid")
                writer.close()

    _run(work(), loops, caplog)


@each_loop
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"GET /o", b""),
        (BEGUN, b""),
        (GET, b"GET /o"),
        (GET, BEGUN),
        (b"POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", b"a"),
    ],
    ids=[
        "silence", "half a line", "half a header", "half a next line", "half a next header",
        "half a body that nobody reads",
    ],
)  # fmt: skip
def test_a_request_that_does_not_come_to_its_end_is_not_waited_for(
    first: bytes, then: bytes, loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here(head_s=0.5) as port:
            reader, writer = await _open(port, first)
            if then:
                await _answer(reader)
                writer.write(then)
            read = await _rest(reader)
            if first and b"POST" not in first:
                _problem(read, 408, "request_invalid")
            else:
                assert read == b""
            writer.close()
            reader, writer = await _open(port, GET)
            assert await _answer(reader) == (200, b"ok")
            writer.close()

    _run(work(), loops, caplog)


@each_loop
def test_slow_long_and_many_requests_are_answered(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here(head_s=20) as port:
            reader, writer = await _open(port, BEGUN)
            await asyncio.sleep(1)
            # Two in one packet, the first of them begun a second ago.
            writer.write(b"a\r\n\r\n" + GET + GET)
            for _ in range(3):
                assert await _answer(reader) == (200, b"ok")
            body = b"a" * 8 * MANY
            writer.write(
                b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body + GET)
            assert await _answer(reader) == (200, b"%d" % len(body))
            assert await _answer(reader) == (200, b"ok")
            writer.write(
                IN_PARTS + b"".join(b"400\r\n" + b"a" * 1024 + b"\r\n" for _ in range(9000))
            )
            writer.write(b"0\r\nX-Sum: 1\r\n\r\n" + GET)
            assert await _answer(reader) == (200, b"%d" % (9000 * 1024))
            assert await _answer(reader) == (200, b"ok")
            writer.close()

    _run(work(), loops, caplog)


@each_loop
def test_answers_under_way_and_sockets_outlast_the_time_of_a_head(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here(head_s=0.3) as port:
            reader, writer = await _open(port, GET.replace(b"ok", b"stream"))
            # The next request is begun meanwhile.
            writer.write(b"GET /o")
            async with connect(f"ws://127.0.0.1:{port}/echo") as watcher:
                await asyncio.sleep(1.5)
                await watcher.send("a")
                assert await watcher.recv() == "a"
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(100)) == 100
            writer.close()

    _run(work(), loops, caplog)


@each_loop
def test_more_requests_in_line_than_are_kept_end_the_connection(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here() as port:
            reader, writer = await _open(port, GET * (PIPELINED + 1))
            for _ in range(PIPELINED + 1):
                assert await _answer(reader) == (200, b"ok")
            writer.close()
            reader, writer = await _open(port, GET * 5000)
            assert (await _rest(reader)).count(b"200 OK") < 5000
            writer.close()

    _run(work(), loops, caplog)


@each_loop
def test_who_has_asked_for_nothing_makes_room_and_who_is_answered_does_not(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served_here(most=3) as port:
            watched, watcher = await _open(port, GET.replace(b"ok", b"stream"))
            await watched.readuntil(b"\r\n\r\n")
            async with connect(f"ws://127.0.0.1:{port}/echo") as follower:
                silent, silent_writer = await _open(port)
                reader, writer = await _open(port, GET)
                assert await _answer(reader) == (200, b"ok")
                assert await _rest(silent) == b""
                # All three are in use now: a stream, a socket, and a second stream.
                writer.write(GET.replace(b"ok", b"stream"))
                await reader.readuntil(b"\r\n\r\n")
                refused, refused_writer = await _open(port)
                _problem(await _rest(refused), 503, "service_busy")
                await follower.send("a")
                assert await follower.recv() == "a"
                assert await watched.readexactly(1)
            for each in (watcher, silent_writer, writer, refused_writer):
                each.close()

    _run(work(), loops, caplog)


@pytest.mark.parametrize("open_files", [64, 256, 1024, 4096, 1 << 20, sys.maxsize])
def test_places_leave_files_for_the_work_and_keep_what_the_settings_promise(
    settings: Settings, open_files: int
) -> None:
    most, at_a_time = most_connections(settings, open_files)
    promised = settings.requests_at_once + settings.sockets_at_once
    assert 0 < most < open_files and 0 < at_a_time < open_files - most
    assert most > promised or open_files < promised + 500
    assert most >= 700 or open_files < 1024


@each_loop
def test_a_socket_behind_an_unanswered_request_takes_no_place_for_ever(
    loops: Loops, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> None:
        places = Places(100)
        async with served_here(places=places) as port:
            for _ in range(5):
                reader, writer = await _open(port, GET + UPGRADE)
                await _rest(reader)
                writer.close()
            reader, writer = await _open(port, UPGRADE)
            assert b"101 Switching Protocols" in await reader.readuntil(b"\r\n\r\n")
            writer.close()
            while places.waiting:
                await asyncio.sleep(0.01)

    _run(ask(), loops, caplog)

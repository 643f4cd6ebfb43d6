"""Who stops to read is parted from: a stream, a file and an answer in one piece alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mmm_workflows.cli.server import Server

MANY = 40_000_000


async def _parts() -> AsyncIterator[bytes]:
    for _ in range(MANY // 100_000):
        yield b"x" * 100_000


async def _stream(request: Request) -> Response:
    request.app.state.asked.set()
    return StreamingResponse(_parts())


async def _whole(request: Request) -> Response:
    request.app.state.asked.set()
    return Response(b"x" * MANY)


@asynccontextmanager
async def served(taken_within_s: float) -> AsyncIterator[tuple[Server, int]]:
    app = Starlette(routes=[Route("/stream", _stream), Route("/whole", _whole)])
    app.state.asked = asyncio.Event()
    server = Server(uvicorn.Config(app, port=0, log_level="warning"), taken_within_s=taken_within_s)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _until_held(server: Server, connections: int) -> None:
    async with asyncio.timeout(60):
        while len(server.server_state.connections) != connections:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("path", ["/stream", "/whole"])
def test_a_connection_of_which_nothing_is_taken_is_cut(
    path: str, loops: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def stop_reading() -> int:
        async with served(1) as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            # Not seen in the server's connections: on a slow machine this one may be gone by then.
            async with asyncio.timeout(60):
                await server.config.app.state.asked.wait()
            # Nothing is read, and the connection goes all the same, with what worked for it.
            await _until_held(server, 0)
            async with asyncio.timeout(60):
                while server.server_state.tasks:
                    await asyncio.sleep(0.02)
            read = 0
            with suppress(ConnectionError):
                while part := await asyncio.wait_for(reader.read(1 << 20), 60):
                    read += len(part)
            writer.close()
            return read

    with asyncio.Runner(loop_factory=loops) as runner:
        assert runner.run(stop_reading()) < MANY


async def test_a_slow_reader_gets_all_of_it() -> None:
    async with served(12) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        read = 0
        began = time.monotonic()
        while part := await reader.read(1 << 21):
            read += len(part)
            await asyncio.sleep(0.15)
        # All of it takes longer than nothing may be taken.
        assert time.monotonic() - began > 12
        assert read > MANY
        writer.close()

"""A proxy on the loopback interface that lets a browser reach the public web and nothing else.

A browser resolves names, follows redirects and loads parts of a page by itself, so what it may reach
can only be decided where its bytes leave. Each connection is resolved once by the guard and dialled
at exactly the addresses that the guard answered with.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from mmm_workflows.errors import WebError
from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.proxy_messages import (
    Malformed,
    Request,
    parsed_request,
    parsed_response,
    reply,
)

CHUNK: Final = 1 << 16
GRACE_S: Final = 1.0
KEPT_REFUSALS: Final = 200
LONGEST_HOST: Final = 253
# A server may send a few "103 Early Hints" before its answer.
MOST_INTERIM: Final = 5
SWITCHING: Final = 101
FINAL: Final = 200


@dataclass(frozen=True, kw_only=True)
class ProxyLimits:
    """How much a proxy carries; bytes count in both directions.

    Attributes:
        head_bytes: Of a request's or an answer's first lines.
        head_s: For a client to send them.
        connect_s: For dialling one address.
        connection_s: For one connection, from its first to its last byte.
        total_s: For everything, from the proxy's start.
        connection_bytes: Carried by one connection.
        total_bytes: Carried by all.
        connections: Open at one time.
    """

    head_bytes: int = 16_384
    head_s: float = 10.0
    connect_s: float = 10.0
    connection_s: float = 60.0
    total_s: float = 300.0
    connection_bytes: int = 20_000_000
    total_bytes: int = 50_000_000
    connections: int = 64


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was asked for and not let through; the text comes from the page, so it is hostile."""

    host: str
    port: int
    reason: str


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class EgressProxy:
    """Carries CONNECT and plain GET and HEAD for who knows its credential.

    Use it as an async context manager; leaving it ends every connection.

    Args:
        guard: Says which addresses may be dialled.
        limits: How much is carried before connections are cut.
    """

    def __init__(self, guard: AddressGuard, *, limits: ProxyLimits | None = None) -> None:
        self._guard = guard
        self._limits = limits or ProxyLimits()
        self._username = secrets.token_urlsafe(9)
        self._password = secrets.token_urlsafe(24)
        token = b64encode(f"{self._username}:{self._password}".encode())
        self._expected = b"Basic " + token
        self._refusals: deque[Refusal] = deque(maxlen=KEPT_REFUSALS)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._carried = 0
        self._spent = asyncio.Event()
        self._ends_at = 0.0

    async def __aenter__(self) -> Self:
        self._ends_at = asyncio.get_running_loop().time() + self._limits.total_s
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, limit=self._limits.head_bytes
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        open_now = tuple(self._connections)
        for connection in open_now:
            connection.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Where it listens, as a browser takes it: ``http://127.0.0.1:<port>``."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def credential(self) -> tuple[str, str]:
        """User and password, new for each proxy."""
        return self._username, self._password

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What was refused, oldest first; the last two hundred."""
        return tuple(self._refusals)

    @property
    def bytes_carried(self) -> int:
        """In both directions, by all connections."""
        return self._carried

    @property
    def is_spent(self) -> bool:
        """Whether a connection was cut because too much was carried."""
        return self._spent.is_set()

    async def wait_until_spent(self) -> None:
        """Return when a connection is cut because too much was carried."""
        await self._spent.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + self._limits.connection_s, self._ends_at)):
                await self._answer(_Wire(reader, writer))
        except (TimeoutError, OSError, EOFError):
            # The client or the server is gone or too slow; the client sees a closed connection.
            pass
        finally:
            await _closed(writer)

    async def _answer(self, client: _Wire) -> None:
        """Carry one request of one connection, or say why not."""
        try:
            if len(self._connections) > self._limits.connections:
                raise _Refused(503, "too many connections")
            request = await self._request(client)
            await self._carry(request, client)
        except Malformed as error:
            await client.send(reply(400, str(error)))
        except _Refused as refused:
            await client.send(reply(refused.status, refused.reason))

    async def _request(self, client: _Wire) -> Request:
        try:
            async with asyncio.timeout(self._limits.head_s):
                head = await client.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise _Refused(431, "the head of the request is too long") from None
        except TimeoutError:
            raise _Refused(408, "the head of the request did not come") from None
        request = parsed_request(head)
        if not hmac.compare_digest(request.credential, self._expected):
            raise _Refused(407, "the credential of this proxy is needed")
        if not request.is_tunnel and request.method not in ("GET", "HEAD"):
            raise self._refusal(request, 405, f"method {request.method}")
        return request

    async def _carry(self, request: Request, client: _Wire) -> None:
        server = await self._dialled(request)
        try:
            if request.is_tunnel:
                await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                await server.send(request.forwarded())
                await self._pass_head(server, client)
            await self._join(request, client, server)
        finally:
            server.writer.transport.abort()

    async def _dialled(self, request: Request) -> _Wire:
        """A connection to one of the addresses that the guard answered with."""
        if self._carried >= self._limits.total_bytes:
            self._spent.set()
            raise self._refusal(request, 403, "bytes")
        try:
            addresses = await self._guard.resolve(request.host, request.port)
        except WebError as error:
            status = 403 if error.code == "page_forbidden" else 502
            raise self._refusal(request, status, error.code) from None
        for address in addresses:
            try:
                async with asyncio.timeout(self._limits.connect_s):
                    return _Wire(
                        *await asyncio.open_connection(
                            address, request.port, limit=self._limits.head_bytes
                        )
                    )
            except (OSError, TimeoutError):
                continue
        raise self._refusal(request, 502, "unreachable")

    async def _pass_head(self, server: _Wire, client: _Wire) -> None:
        """Pass on the head of the answer, with nothing in it that keeps the connection."""
        for _ in range(MOST_INTERIM):
            try:
                head = await server.reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                raise _Refused(502, "the head of the answer is too long") from None
            try:
                response = parsed_response(head)
            except Malformed as error:
                raise _Refused(502, str(error)) from None
            if response.status == SWITCHING:
                break
            if response.status >= FINAL:
                await client.send(response.head)
                return
        raise _Refused(502, "the server does not answer as HTTP/1.1 does")

    async def _join(self, request: Request, client: _Wire, server: _Wire) -> None:
        """Carry bytes until the server has ended, the client has gone, or too many were carried."""
        left = _Left(request, self._limits.connection_bytes)
        down = asyncio.create_task(self._pump(server, client, left))
        up = asyncio.create_task(
            self._pump(client, server, left) if request.is_tunnel else client.reader.read(1)
        )
        try:
            # A tunnel ends with both directions. Of plain HTTP the client's next byte is the end:
            # one request per connection leaves nothing to smuggle a second one in.
            when = asyncio.ALL_COMPLETED if request.is_tunnel else asyncio.FIRST_COMPLETED
            await asyncio.wait((down, up), return_when=when)
        finally:
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)

    async def _pump(self, source: _Wire, sink: _Wire, left: _Left) -> None:
        try:
            while chunk := await source.reader.read(CHUNK):
                if self._is_too_much(len(chunk), left):
                    break
                await sink.send(chunk)
            else:
                if sink.writer.can_write_eof():
                    sink.writer.write_eof()
                return
        except OSError:
            pass
        # Cut off: neither side may take the part for the whole.
        for wire in (source, sink):
            wire.writer.transport.abort()

    def _is_too_much(self, more: int, left: _Left) -> bool:
        self._carried += more
        left.bytes -= more
        if left.bytes >= 0 and self._carried <= self._limits.total_bytes:
            return False
        self._spent.set()
        self._refusal(left.request, 403, "bytes")
        return True

    def _refusal(self, request: Request, status: int, reason: str) -> _Refused:
        """An entry in the list of what was refused, as the error to raise."""
        host = request.host[:LONGEST_HOST]
        self._refusals.append(Refusal(host=host, port=request.port, reason=reason))
        return _Refused(status, reason)


@dataclass(frozen=True)
class _Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Let the client read the rest, but do not wait for one that does not."""
    writer.close()
    try:
        async with asyncio.timeout(GRACE_S):
            await writer.wait_closed()
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()


@dataclass
class _Left:
    """What a connection may still carry."""

    request: Request
    bytes: int

"""What the egress proxy carries and what it refuses, asked over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.egress_proxy import EgressProxy, ProxyLimits
from mmm_workflows.tools.proxy_messages import Malformed, parsed_request, parsed_response

PUBLIC = "93.184.216.34"
LOCAL = "127.0.0.1"


class Site:
    """A server on the loopback interface that keeps what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.heads: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
        self.keeps_open = False
        self.endless = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            while self.endless:
                writer.write(b"x" * 10_000)
                await writer.drain()
            if self.keeps_open:
                self.heads.append(await reader.read(1000))
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort() if self.endless else writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, LOCAL, 0)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


def guard(*sites: Site, names: dict[str, Sequence[str]] | None = None) -> AddressGuard:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return (names or {})[host]

    return AddressGuard(allowed=frozenset((LOCAL, s.port) for s in sites), lookup=lookup)


def login(proxy: EgressProxy) -> bytes:
    token = b64encode(":".join(proxy.credential).encode())
    return b"Proxy-Authorization: Basic " + token + b"\r\n"


async def connected(proxy: EgressProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    at = urlsplit(proxy.address)
    assert at.hostname == LOCAL
    return await asyncio.open_connection(at.hostname, at.port)


async def ask(proxy: EgressProxy, data: bytes) -> bytes:
    """Everything that the proxy answers until it closes."""
    reader, writer = await connected(proxy)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(-1), 60)
    finally:
        writer.transport.abort()


def get(proxy: EgressProxy, url: str, extra: bytes = b"") -> bytes:
    return f"GET {url} HTTP/1.1\r\nHost: elsewhere.example\r\n".encode() + (
        login(proxy) + extra + b"\r\n"
    )


def connect(proxy: EgressProxy, authority: str) -> bytes:
    return (
        f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode() + login(proxy) + b"\r\n"
    )


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_plain_request_is_rebuilt_for_the_server_that_its_target_names(site: Site) -> None:
    async with EgressProxy(guard(site)) as proxy:
        extra = (
            b"Accept: text/html\r\nUpgrade: h2c\r\nConnection: keep-alive, X-Other\r\n"
            b"Proxy-Connection: keep-alive\r\nTE: trailers\r\n"
        )
        answer = await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/a%7Eb?c=%2F", extra))
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    assert site.heads == [
        f"GET /a%7Eb?c=%2F HTTP/1.1\r\nHost: {LOCAL}:{site.port}\r\n"
        "Accept: text/html\r\nConnection: close\r\n\r\n".encode()
    ]
    assert proxy.refusals == ()


async def test_a_tunnel_carries_bytes_both_ways(site: Site) -> None:
    site.answer = b"hello back"
    async with EgressProxy(guard(site)) as proxy:
        answer = await ask(proxy, connect(proxy, f"{LOCAL}:{site.port}") + b"hello\r\n\r\n")
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nhello back"
    assert site.heads == [b"hello\r\n\r\n"]
    assert proxy.bytes_carried == len(b"hello\r\n\r\nhello back")


async def test_a_name_is_resolved_once_and_its_addresses_are_dialled(site: Site) -> None:
    asked: list[str] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [LOCAL] if len(asked) == 1 else ["10.0.0.1"]

    rebinding = AddressGuard(allowed=frozenset({(LOCAL, site.port)}), lookup=lookup)
    async with EgressProxy(rebinding) as proxy:
        first = await ask(proxy, get(proxy, f"http://Rebind.example:{site.port}/"))
        assert (status(first), asked) == (200, ["rebind.example"])
        second = await ask(proxy, get(proxy, f"http://rebind.example:{site.port}/"))
    assert status(second) == 403
    assert site.connections == 1
    assert [(r.host, r.reason) for r in proxy.refusals] == [("rebind.example", "page_forbidden")]


FORBIDDEN = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "10.0.0.5",
    "169.254.169.254",
    "192.168.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1]",
    "[64:ff9b::7f00:1]",
    "metadata.google.internal",
    "two.example",
]
NAMES = {
    "metadata.google.internal": ["169.254.169.254"],
    "two.example": [PUBLIC, "127.0.0.1"],
}


@pytest.mark.parametrize("host", FORBIDDEN)
async def test_neither_a_request_nor_a_tunnel_leads_into_a_private_network(host: str) -> None:
    async with EgressProxy(guard(names=NAMES)) as proxy:
        assert status(await ask(proxy, get(proxy, f"http://{host}/"))) == 403
        assert status(await ask(proxy, connect(proxy, f"{host}:443"))) == 403
    plain = host.strip("[]")
    assert [(r.host, r.port, r.reason) for r in proxy.refusals] == [
        (plain, 80, "page_forbidden"),
        (plain, 443, "page_forbidden"),
    ]


@pytest.mark.parametrize("port", [22, 25, 6379, 8080])
async def test_only_the_ports_of_the_web_are_dialled(port: int) -> None:
    async with EgressProxy(guard(names={"a.example": [PUBLIC]})) as proxy:
        assert status(await ask(proxy, connect(proxy, f"a.example:{port}"))) == 403
        assert status(await ask(proxy, get(proxy, f"http://a.example:{port}/"))) == 403
    assert [r.port for r in proxy.refusals] == [port, port]


async def test_a_port_next_to_an_allowed_one_is_not_reached(site: Site) -> None:
    other = Site()
    server = await asyncio.start_server(other.serve, LOCAL, 0)
    other.port = server.sockets[0].getsockname()[1]
    async with server, EgressProxy(guard(site)) as proxy:
        assert status(await ask(proxy, get(proxy, f"http://{LOCAL}:{other.port}/"))) == 403
        assert status(await ask(proxy, connect(proxy, f"{LOCAL}:{other.port}"))) == 403
    assert other.connections == 0


@pytest.mark.parametrize(
    "field", [b"", b"Proxy-Authorization: Basic bm86bm8=\r\n", b"Authorization: Basic bm86bm8=\r\n"]
)
async def test_who_does_not_know_the_credential_is_asked_for_it(site: Site, field: bytes) -> None:
    target = f"http://{LOCAL}:{site.port}/".encode()
    async with EgressProxy(guard(site)) as proxy:
        answer = await ask(proxy, b"GET " + target + b" HTTP/1.1\r\n" + field + b"\r\n")
    assert status(answer) == 407
    assert b'Proxy-Authenticate: Basic realm="egress"' in answer
    assert site.connections == 0


async def test_each_proxy_has_a_credential_and_a_port_of_its_own(site: Site) -> None:
    async with EgressProxy(guard(site)) as one, EgressProxy(guard(site)) as other:
        assert one.address != other.address
        assert one.credential != other.credential
        assert status(await ask(one, get(other, f"http://{LOCAL}:{site.port}/"))) == 407


async def test_one_connection_carries_one_request(site: Site) -> None:
    site.keeps_open = True
    async with EgressProxy(guard(site)) as proxy:
        smuggled = get(proxy, f"http://{LOCAL}:{site.port}/a") + b"GET /secret HTTP/1.1\r\n\r\n"
        await ask(proxy, smuggled)
        async with asyncio.timeout(30):
            while len(site.heads) < 2:
                await asyncio.sleep(0.01)
    assert len(site.heads) == 2
    assert site.heads[0].startswith(b"GET /a HTTP/1.1\r\n")
    assert site.heads[1] == b""


@pytest.mark.parametrize(
    "message",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /etc/passwd HTTP/1.1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.0\r\n\r\n",
        b"GET http://a.example/ HTTP/2\r\n\r\n",
        b"GET https://a.example/ HTTP/1.1\r\n\r\n",
        b"GET ftp://a.example/ HTTP/1.1\r\n\r\n",
        b"GET file:///etc/passwd HTTP/1.1\r\n\r\n",
        b"GET http://user:pass@a.example/ HTTP/1.1\r\n\r\n",
        b"GET http://a.example\\@b.example/ HTTP/1.1\r\n\r\n",
        b"GET http://a.example:99999/ HTTP/1.1\r\n\r\n",
        b"GET http://a.example:/ HTTP/1.1\r\n\r\n",
        b"GET http:///a HTTP/1.1\r\n\r\n",
        b"GET http://a.example/#part HTTP/1.1\r\n\r\n",
        b"GET  http://a.example/ HTTP/1.1\r\n\r\n",
        b"get http://a.example/ HTTP/1.1\r\n\r\n",
        b"CONNECT a.example HTTP/1.1\r\n\r\n",
        b"CONNECT a.example:0 HTTP/1.1\r\n\r\n",
        b"CONNECT [::1%25lo]:443 HTTP/1.1\r\n\r\n",
        b"CONNECT http://a.example:443 HTTP/1.1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nA: b\rX: y\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        parsed_request(message)


@pytest.mark.parametrize(
    "message", [b"HTTP/2 200 OK\r\n\r\n", b"200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA\r\n\r\n"]
)
def test_an_answer_that_is_no_http_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        parsed_response(message)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_plain_requests_only_read(site: Site, method: str) -> None:
    async with EgressProxy(guard(site)) as proxy:
        message = get(proxy, f"http://{LOCAL}:{site.port}/").replace(b"GET", method.encode(), 1)
        assert status(await ask(proxy, message)) == 405
    assert site.connections == 0
    assert [r.reason for r in proxy.refusals] == [f"method {method}"]


async def test_a_long_head_is_refused(site: Site) -> None:
    async with EgressProxy(guard(site)) as proxy:
        answer = await ask(proxy, b"GET http://a.example/" + b"x" * 20_000)
    assert status(answer) == 431


async def test_a_head_that_does_not_come_is_not_waited_for(site: Site) -> None:
    async with EgressProxy(guard(site), limits=ProxyLimits(head_s=0.1)) as proxy:
        assert status(await ask(proxy, b"GET http://a.exam")) == 408


@pytest.mark.parametrize(
    "answer",
    [
        b"not http\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9,
    ],
)
async def test_an_answer_that_cannot_be_passed_on_is_an_error(site: Site, answer: bytes) -> None:
    site.answer = answer
    async with EgressProxy(guard(site)) as proxy:
        assert status(await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/"))) == 502


async def test_an_interim_answer_is_left_out(site: Site) -> None:
    site.answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + site.answer
    async with EgressProxy(guard(site)) as proxy:
        assert status(await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/"))) == 200


async def test_a_server_that_is_down_is_an_error(unused_tcp_port: int) -> None:
    down = Site()
    down.port = unused_tcp_port
    async with EgressProxy(guard(down)) as proxy:
        assert status(await ask(proxy, connect(proxy, f"{LOCAL}:{down.port}"))) == 502
    assert [r.reason for r in proxy.refusals] == ["unreachable"]


@pytest.mark.parametrize("kind", [get, connect])
async def test_a_connection_is_cut_when_it_carries_too_much(
    site: Site, kind: Callable[[EgressProxy, str], bytes]
) -> None:
    site.endless = True
    site.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    target = f"http://{LOCAL}:{site.port}/" if kind is get else f"{LOCAL}:{site.port}"
    limits = ProxyLimits(connection_bytes=50_000)
    async with EgressProxy(guard(site), limits=limits) as proxy:
        extra = b"x\r\n\r\n" if kind is connect else b""
        # A reset may come before or after the client has read what was carried.
        with contextlib.suppress(ConnectionResetError):
            assert len(await ask(proxy, kind(proxy, target) + extra)) < 60_000
        assert proxy.is_spent
        assert [r.reason for r in proxy.refusals] == ["bytes"]
        assert proxy.bytes_carried < 200_000


async def test_nothing_is_dialled_when_all_connections_carried_too_much(site: Site) -> None:
    limits = ProxyLimits(total_bytes=3)
    async with EgressProxy(guard(site), limits=limits) as proxy:
        answers = [
            status(await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/"))) for _ in range(4)
        ]
        assert (answers[0], answers[-1]) == (200, 403)
        assert proxy.is_spent
    assert site.connections < 4


async def test_a_connection_is_cut_when_it_takes_too_long(site: Site) -> None:
    site.keeps_open = True
    start = time.monotonic()
    async with EgressProxy(guard(site), limits=ProxyLimits(connection_s=0.2)) as proxy:
        await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/"))
        await ask(proxy, connect(proxy, f"{LOCAL}:{site.port}"))
    assert time.monotonic() - start < 30


async def test_nothing_is_carried_after_the_time_of_the_proxy(site: Site) -> None:
    async with EgressProxy(guard(site), limits=ProxyLimits(total_s=0.1)) as proxy:
        await asyncio.sleep(0.15)
        assert await ask(proxy, get(proxy, f"http://{LOCAL}:{site.port}/")) == b""
    assert site.connections == 0


async def test_no_more_connections_than_set_are_open(site: Site) -> None:
    async with EgressProxy(guard(site), limits=ProxyLimits(connections=1)) as proxy:
        _, idle = await connected(proxy)
        await asyncio.sleep(0.05)
        answer = await ask(proxy, b"")
        idle.transport.abort()
    assert status(answer) == 503


async def test_leaving_the_proxy_ends_its_connections(site: Site) -> None:
    site.keeps_open = True
    async with EgressProxy(guard(site)) as proxy:
        reader, writer = await connected(proxy)
        writer.write(connect(proxy, f"{LOCAL}:{site.port}"))
        assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        address = urlsplit(proxy.address)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.transport.abort()
    with pytest.raises(OSError):
        await asyncio.open_connection(address.hostname, address.port)


async def test_a_client_that_does_not_read_does_not_hold_the_proxy_open(site: Site) -> None:
    site.endless = True
    site.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    async with EgressProxy(guard(site)) as proxy:
        _, writer = await connected(proxy)
        writer.write(get(proxy, f"http://{LOCAL}:{site.port}/"))
        await asyncio.sleep(0.2)
        start = time.monotonic()
    assert time.monotonic() - start < 30
    writer.transport.abort()


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_strictly_or_refused(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        parsed_request(data + b"\r\n\r\n")
    with contextlib.suppress(Malformed):
        parsed_response(data + b"\r\n\r\n")


@given(
    st.sampled_from([b"http://a.example/", b"http://a.example?q", b"http://[::1]:80/x/../y"]),
    st.lists(st.tuples(st.from_regex(rb"[A-Za-z-]{1,20}", fullmatch=True), st.binary(max_size=30))),
)
def test_what_is_passed_on_has_one_host_and_ends_the_connection(
    target: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    try:
        request = parsed_request(b"GET " + target + b" HTTP/1.1\r\n" + lines + b"\r\n")
    except Malformed:
        return
    head = request.forwarded()
    assert head.count(b"\r\n\r\n") == 1
    assert head.endswith(b"\r\n\r\n")
    sent = [line.partition(b":") for line in head.split(b"\r\n")[1:-2]]
    names = [name.lower() for name, _, _ in sent]
    assert (names.count(b"host"), names.count(b"connection")) == (1, 1)
    assert not {b"transfer-encoding", b"content-length", b"proxy-authorization"} & set(names)
    assert (sent[0][2].strip(), sent[-1][2].strip()) in {
        (b"a.example", b"close"),
        (b"[::1]", b"close"),
    }

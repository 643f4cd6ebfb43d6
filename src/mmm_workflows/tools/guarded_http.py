"""One request to the public web at a time: dialled as checked, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError

from mmm_workflows.errors import WebError
from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.bounded_body import BoundedBody

MOST_HEADERS: Final = 100
LONGEST_HEADER: Final = 8190
CHUNK_BYTES: Final = 65536
# Everything that aiohttp, ssl, the sockets and zlib raise for what a server does.
FAULTS: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, zlib.error)


@dataclass(frozen=True)
class Answer:
    """What a server answered to one request; the body is read only of a page that is there.

    Attributes:
        headers: As the server sent them; names in any case.
        body: Decompressed.
        wire_bytes: Length of the body as it was received.
    """

    url: yarl.URL
    status: int
    headers: Mapping[str, str]
    content_type: str
    charset: str | None
    body: bytes
    wire_bytes: int


class GuardedHttp:
    """Sends plain GET requests without cookies, referrer, proxies or redirects.

    Each request has a connection of its own to the addresses that the guard has just let through.

    Args:
        user_agent: Who asks, with a contact.
        timeout_s: For one answer: name, connection, headers and body.
        trust: Whose certificates are believed; the system's authorities when it is left out.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        user_agent: str,
        timeout_s: float = 15.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._trust = trust
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9",
            "Accept-Encoding": "gzip",
            "Accept-Language": "en",
        }

    async def get(
        self,
        url: yarl.URL,
        *,
        max_bytes: int,
        content_types: frozenset[str] | None = None,
        cut: bool = False,
    ) -> Answer:
        """The answer to one GET of an address that ``checked_url`` has let through.

        Args:
            url: Host in ASCII, without userinfo and fragment.
            max_bytes: Of the body, as received and as decompressed.
            content_types: What the body may be; anything when it is left out.
            cut: Whether a longer body is cut at ``max_bytes``, not refused.

        Raises:
            WebError: Refused or failed, see ``ports.PageReader``; a status is no error here.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(url, max_bytes, content_types, cut)
        except FAULTS as error:
            raise _web_error(error, url, self._timeout_s) from error

    async def _exchange(
        self, url: yarl.URL, max_bytes: int, content_types: frozenset[str] | None, cut: bool
    ) -> Answer:
        host, port = str(url.raw_host), int(url.port or 0)
        addresses = await self._guard.resolve(host, port)
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses),
            use_dns_cache=False,
            force_close=True,
            ssl=self._trust or True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                auto_decompress=False,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
                max_headers=MOST_HEADERS,
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            body = BoundedBody(url, max_bytes=max_bytes, cut=cut)
            if response.status == 200:
                _check_type(response, content_types, url)
                body.expect(response.headers.get("Content-Encoding"), response.content_length)
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    if not body.feed(chunk):
                        break
                body.end()
            return Answer(
                url=url,
                status=response.status,
                headers=response.headers,
                content_type=response.content_type,
                charset=response.charset,
                body=body.content,
                wire_bytes=body.wire_bytes,
            )


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, so that no second look-up is made."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _check_type(
    response: aiohttp.ClientResponse, content_types: frozenset[str] | None, url: yarl.URL
) -> None:
    # Without the header, aiohttp says application/octet-stream, as the standard does.
    if content_types is not None and response.content_type not in content_types:
        found = response.content_type if response.content_type.isprintable() else "another type"
        raise WebError(
            f"{url.host} answered with {found[:60]}; pages are read as "
            f"{', '.join(sorted(content_types))}.",
            code="page_type",
        )


def _web_error(error: Exception, url: yarl.URL, timeout_s: float) -> WebError:
    """Our error for any fault of a library; the server's own words are not repeated."""
    host = url.host
    if isinstance(error, TimeoutError):
        return WebError(
            f"{host} did not send the whole page within {timeout_s:g} s.", code="page_timeout"
        )
    if isinstance(
        error, (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError, ssl.SSLError)
    ):
        return WebError(f"{host} could not show a certificate that is trusted for its name.")
    if isinstance(error, (aiohttp.ClientPayloadError, zlib.error)):
        return WebError(f"{host} broke the page off or sent it garbled.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return WebError(f"{host} takes no connection ({error.os_error.strerror or 'no reason'}).")
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError)):
        return WebError(f"{host} closed the connection before it answered.")
    return WebError(f"{host} sent no HTTP answer that can be read ({type(error).__name__}).")

"""The heads of HTTP messages as the egress proxy takes them: strict, and rebuilt before they go on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE: Final = re.compile(rb"([A-Z]{3,16}) ([\x21-\x7e]+) HTTP/1\.1")
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})( [\t\x20-\x7e\x80-\xff]*)?")
FIELD: Final = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*)" % TOKEN.encode())
ABSOLUTE: Final = re.compile(rb"http://([^/?#]+)((?:[/?][^#]*)?)")
AUTHORITY: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^][:/@?#\\%]+))(?::([0-9]{1,5}))?")
HTTP_PORT: Final = 80
HIGHEST_PORT: Final = 65_535
# Which of two would count is read differently by different servers.
ONLY_ONCE: Final = frozenset({b"host", b"content-length", b"proxy-authorization"})
# Of one hop, or a way to ask for another protocol; the rest is for the server.
NOT_PASSED_ON: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
NOT_PASSED_BACK: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"upgrade",
    }
)

type Fields = tuple[tuple[bytes, bytes], ...]


class Malformed(Exception):
    """A message is not written as HTTP/1.1 wants it, or in a way that could be read in two ways."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request: a tunnel to a host and port, or a plain one for a path there."""

    method: str
    host: str
    port: int
    path: bytes
    fields: Fields

    @property
    def is_tunnel(self) -> bool:
        """Whether the client speaks with the server itself, by TLS or a WebSocket."""
        return self.method == "CONNECT"

    @property
    def credential(self) -> bytes:
        """The value of Proxy-Authorization; empty when there is none."""
        found = [value for name, value in self.fields if name.lower() == b"proxy-authorization"]
        return found[0] if found else b""

    def forwarded(self) -> bytes:
        """The head for the server, which is asked to close after its answer."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == HTTP_PORT else f"{host}:{self.port}"
        passed = [(n, v) for n, v in self.fields if n.lower() not in NOT_PASSED_ON]
        fields = ((b"Host", authority.encode()), *passed, (b"Connection", b"close"))
        return _head(f"{self.method} ".encode() + self.path + b" HTTP/1.1", fields)


@dataclass(frozen=True, kw_only=True)
class Response:
    """The head of an answer, as it goes to the client."""

    status: int
    head: bytes


def parsed_request(head: bytes) -> Request:
    """A request from everything up to and with the blank line.

    Raises:
        Malformed: It is not strict HTTP/1.1, has a body, or its target is of another form.
    """
    first, fields = _parsed(head)
    match = REQUEST_LINE.fullmatch(first)
    if match is None:
        raise Malformed("the request line cannot be read")
    names = [name.lower() for name, _ in fields]
    if any(names.count(name) > 1 for name in ONLY_ONCE):
        raise Malformed("a field stands twice that may stand once")
    has_body = any(n.lower() == b"content-length" and v.strip() != b"0" for n, v in fields)
    if has_body or b"transfer-encoding" in names:
        raise Malformed("requests with a body are not taken")
    method, target = match[1].decode(), match[2]
    host, port, path = _tunnel(target) if method == "CONNECT" else _absolute(target)
    return Request(method=method, host=host, port=port, path=path, fields=fields)


def parsed_response(head: bytes) -> Response:
    """An answer's head from everything up to and with the blank line.

    Raises:
        Malformed: It is not strict HTTP/1.1.
    """
    first, fields = _parsed(head)
    match = STATUS_LINE.fullmatch(first)
    if match is None:
        raise Malformed("the status line cannot be read")
    passed = [(n, v) for n, v in fields if n.lower() not in NOT_PASSED_BACK]
    return Response(status=int(match[1]), head=_head(first, (*passed, (b"Connection", b"close"))))


def reply(status: int, reason: str) -> bytes:
    """An answer of the proxy itself."""
    body = f"{reason}\n".encode("ascii", "replace")
    fields: list[tuple[bytes, bytes]] = [
        (b"Content-Type", b"text/plain"),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        fields.append((b"Proxy-Authenticate", b'Basic realm="egress"'))
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    return _head(line, fields) + body


def _parsed(head: bytes) -> tuple[bytes, Fields]:
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = []
    for line in lines:
        match = FIELD.fullmatch(line)
        if match is None:
            raise Malformed("a header field cannot be read")
        fields.append((match[1], match[2].rstrip(b" \t")))
    return first, tuple(fields)


def _tunnel(target: bytes) -> tuple[str, int, bytes]:
    host, port = _authority(target)
    if port is None:
        raise Malformed("the target is not host:port")
    return host, port, b""


def _absolute(target: bytes) -> tuple[str, int, bytes]:
    match = ABSOLUTE.fullmatch(target)
    if match is None:
        raise Malformed("the target is not an http:// address")
    host, port = _authority(match[1])
    path = match[2] if match[2].startswith(b"/") else b"/" + match[2]
    return host, HTTP_PORT if port is None else port, path


def _authority(text: bytes) -> tuple[str, int | None]:
    """Host and port as they are written; what they may be is for the guard to say."""
    match = AUTHORITY.fullmatch(text)
    if match is None:
        raise Malformed("the target's host cannot be read")
    port = None if match[3] is None else int(match[3])
    if port is not None and not 0 < port <= HIGHEST_PORT:
        raise Malformed("the target's port cannot be read")
    return (match[1] or match[2]).decode("ascii").lower(), port


def _head(first: bytes, fields: list[tuple[bytes, bytes]] | Fields) -> bytes:
    return b"\r\n".join((first, *(name + b": " + value for name, value in fields))) + b"\r\n\r\n"

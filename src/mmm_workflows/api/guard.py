"""What comes before every endpoint: which host was asked, from which page, and with which key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mmm_workflows.api.errors import answer
from mmm_workflows.api.pace import is_slowed
from mmm_workflows.keys import NOBODY, NOBODY_ELSE, Caller, Keyring

# What tells nothing but that the service is there and how it is spoken to.
OPEN: Final = ("/health", "/health/live", "/health/ready", "/docs", "/openapi.json")
OPEN_BELOW: Final = "/docs/"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]@/\\]+)(?::[0-9]{1,5})?")
REFUSED: Final = 4403
# A browser's WebSocket cannot send a header; it offers its key as a protocol of this form.
PROTOCOL: Final = "mmm"
KEY_PROTOCOL: Final = "key."


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who is let in.

    Attributes:
        allow_no_key: Without keys, also where the service listens beyond this machine.
        hosts: Names under which the service is reached, beside those of this machine.
        origins: Pages of other origins that may call it.
    """

    keys: Keyring
    allow_no_key: bool = False
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Refusal:
    status: int
    code: str
    detail: str


class Guard:
    """Lets a request in, with its caller in ``state``, or answers why not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        access: Access = scope["app"].state.access
        found = _examine(scope, access)
        if isinstance(found, _Refusal):
            # Who tries keys is counted as those are who have none.
            if found.status != 401 or not await is_slowed(scope, receive, send):
                await _refuse(found, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = found
        await self._app(scope, receive, send)


def _examine(scope: Scope, access: Access) -> Caller | _Refusal:
    headers = Headers(scope=scope)
    if (refusal := _of_origin(scope, headers, access)) is not None:
        return refusal
    if not access.keys:
        return _without_keys(scope, headers, access) or NOBODY_ELSE
    caller = access.keys.find(_presented(headers))
    if caller is not None:
        return caller
    if _is_open(scope):
        return NOBODY
    return _Refusal(
        401,
        "key_required",
        "There is no key in the request, or one that is not known. Send it as "
        "`Authorization: Bearer KEY`.",
    )


def _of_origin(scope: Scope, headers: Headers, access: Access) -> _Refusal | None:
    """Refuse what another site's page sends: a browser would do it without its user's will."""
    origin = headers.get("origin")
    if origin is None or (scope["type"] == "http" and scope["method"] in SAFE):
        return None
    own = origin.partition("://")[2] == headers.get("host", "")
    if own or origin in access.origins:
        return None
    return _Refusal(
        403,
        "origin_refused",
        f"A page of {origin!r} may not call this service. If it should, add it to CORS_ORIGINS.",
    )


def _without_keys(scope: Scope, headers: Headers, access: Access) -> _Refusal | None:
    host = headers.get("host", "")
    read = HOST.fullmatch(host)
    # A name of another site that was made to lead here (DNS rebinding) would make us its own.
    if read is None or read["name"].lower() not in LOOPBACK_NAMES | access.hosts:
        return _Refusal(
            403,
            "host_refused",
            f"This service was asked for as {host!r}, and without keys it answers to localhost "
            "alone. Set API_KEYS, or add the name to ALLOWED_HOSTS.",
        )
    if not access.allow_no_key and not _is_loopback(scope):
        return _Refusal(
            403,
            "key_required",
            "This service listens beyond its own machine and has no keys. Set API_KEYS "
            "(`mmm-workflows new-key NAME` makes one), or listen on 127.0.0.1.",
        )
    return None


def _is_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    if server is None or server[1] is None:
        return True  # a socket in the file system
    return _names_loopback(server[0])


@lru_cache
def _names_loopback(host: str) -> bool:
    """Whether one of the few addresses that this service listens on is of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _presented(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    offered = headers.get("sec-websocket-protocol", "").split(",")
    keys = [p.strip() for p in offered if p.strip().startswith(KEY_PROTOCOL)]
    return headers.get("x-api-key", keys[0].removeprefix(KEY_PROTOCOL) if keys else "")


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["type"] == "http" and (path in OPEN or path.startswith(OPEN_BELOW))


async def _refuse(refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": REFUSED, "reason": refusal.code})
        return
    headers = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
    response = answer(refusal.status, refusal.code, refusal.detail, headers=headers)
    await response(scope, receive, send)

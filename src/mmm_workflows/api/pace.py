"""How often a caller may ask, and how many are answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mmm_workflows.api.counts import Counts, Room
from mmm_workflows.api.errors import answer
from mmm_workflows.keys import NOBODY, NOBODY_ELSE, Caller

# What a balancer asks must be told also when everybody else has to wait.
ALWAYS_ANSWERED: Final = frozenset({"/health/live", "/health/ready"})
TRY_AGAIN_LATER: Final = 1013


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken; starts are what makes work: starts, uploads, answers, and no cancel."""

    requests_per_minute: int
    starts_per_minute: int
    requests_at_once: int
    sockets_at_once: int
    upload_bytes: int


class Pace:
    """Answers 429 to a caller who asks too often, and 503 where too much is asked at once.

    Counted by ``app.state.counts``: over all replicas where REDIS_URL is set, else per process.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counted."""
        if scope["type"] == "http" and scope["path"] not in ALWAYS_ANSWERED:
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits: Limits = scope["app"].state.limits
        counts: Counts = scope["app"].state.counts
        if await is_slowed(scope, receive, send):
            return
        # Events as they happen stay open as long as a socket does, and are counted with those.
        room: Room = "sockets" if _is_stream(scope) else "requests"
        limit = limits.sockets_at_once if room == "sockets" else limits.requests_at_once
        async with counts.place(room, limit) as is_free:
            if is_free:
                await self._app(scope, receive, send)
                return
        refused = _too_many_open if room == "sockets" else _too_many_at_once
        await refused(limit)(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits: Limits = scope["app"].state.limits
        counts: Counts = scope["app"].state.counts
        if await is_slowed(scope, receive, send):
            return
        async with counts.place("sockets", limits.sockets_at_once) as is_free:
            if is_free:
                await self._app(scope, receive, send)
                return
        await _refuse_socket(receive, send)


async def is_slowed(scope: Scope, receive: Receive, send: Send) -> bool:
    """Count the caller of a request in; whether it asks too often, which it is told then."""
    wait = await _to_wait(scope)
    if wait and scope["type"] == "websocket":
        await _refuse_socket(receive, send)
    elif wait:
        refusal = answer(
            429,
            "too_many_requests",
            f"You ask more often than is allowed. Ask again in {wait} s.",
            headers={"retry-after": str(wait)},
        )
        await refusal(scope, receive, send)
    return wait > 0


async def _refuse_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "busy"})


async def _to_wait(scope: Scope) -> int:
    """Seconds until this caller may ask again; 0: now."""
    limits: Limits = scope["app"].state.limits
    counts: Counts = scope["app"].state.counts
    who = _who(scope)
    wait = await counts.to_wait("requests", limits.requests_per_minute, who)
    if not wait and _is_start(scope):
        wait = await counts.to_wait("starts", limits.starts_per_minute, who)
    return wait


def _too_many_at_once(limit: int) -> JSONResponse:
    return answer(
        503,
        "service_busy",
        f"{limit} requests are being worked on, which is as many as are "
        "taken at once. Ask again in a second.",
        headers={"retry-after": "1"},
    )


def _too_many_open(limit: int) -> JSONResponse:
    return answer(
        503,
        "service_busy",
        f"{limit} sockets and streams are open, which is as many as are "
        "taken at once. Ask again in a few seconds.",
        headers={"retry-after": "5"},
    )


def _who(scope: Scope) -> str:
    """A key by its name, wherever it is used; who has none by address."""
    # A key that is refused is nobody's.
    caller: Caller = scope.get("state", {}).get("caller", NOBODY)
    # By identity: a key may have the name of either.
    if caller is not NOBODY and caller is not NOBODY_ELSE:
        return caller.name
    client = scope.get("client")
    return f"{caller.name}@{_network(client[0]) if client else 'socket'}"


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    """An address as it is counted: of IPv6 its /64, all of which one machine may have."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))


def _is_stream(scope: Scope) -> bool:
    is_events = str(scope["path"]).endswith("/events")
    return is_events and "text/event-stream" in Headers(scope=scope).get("accept", "")


def _is_start(scope: Scope) -> bool:
    path = str(scope["path"])
    # Scenarios are answered from saved draws while a person drags a slider.
    is_instant = path.startswith("/models/")
    # Who has started too much must be able to stop it.
    is_end = path.startswith("/workflow/") and path.endswith("/cancel")
    is_work = not is_instant and not is_end
    return scope["type"] == "http" and scope["method"] == "POST" and is_work

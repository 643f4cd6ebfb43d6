"""Every request and socket is entered once it has ended: which route, how it went, how long."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from uuid_utils import uuid7

from mmm_workflows.api.headers import REQUEST_ID
from mmm_workflows.api.measures import METHODS, OTHER, Measures
from mmm_workflows.keys import Caller
from mmm_workflows.traces import span

FAILED: Final = 500
# Asked for every few seconds by machines.
QUIET: Final = frozenset({"/health/live", "/health/ready", "/metrics"})

logger = logging.getLogger(__name__)


class Ledger:
    """Sees a request first and its answer last, also when another layer refuses it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under an id of its own, and enter it when it has ended."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = str(uuid7())
        # Not taken back at the end: what answers a failure, and a run that was started here,
        # still belong to this request.
        bind_contextvars(request_id=request_id)
        # A socket is open as long as its run takes: it would be a span that says nothing.
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        with span("request", request_id=request_id) as entered:
            status = await self._request(scope, receive, send, request_id)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            entered.told(f"{method} {_route(scope)}", status=status)

    async def _request(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        measures = _measures(scope)
        # What ends without an answer of its own is answered by the layer around this one.
        status = FAILED

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (REQUEST_ID.encode(), request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), own]}
            await send(message)

        started = time.perf_counter()
        try:
            with measures.requests_open.track_inprogress():
                await self._app(scope, receive, sending)
        finally:
            seconds, route = time.perf_counter() - started, _route(scope)
            measures.answered(scope["method"], route, status, seconds)
            logger.log(
                logging.DEBUG if route in QUIET else logging.INFO, "request",
                extra={**_entry(scope, seconds), "method": scope["method"], "status": status},
            )  # fmt: skip
        return status

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        code = None

        async def sending(message: Message) -> None:
            nonlocal code
            if message["type"] == "websocket.close":
                code = message.get("code")
            await send(message)

        started = time.perf_counter()
        try:
            with _measures(scope).sockets_open.track_inprogress():
                await self._app(scope, receive, sending)
        finally:
            entry = _entry(scope, time.perf_counter() - started)
            logger.info("socket", extra={**entry, "code": code})


def _measures(scope: Scope) -> Measures:
    measures: Measures = scope["app"].state.measures
    return measures


def _route(scope: Scope) -> str:
    """The template of the route that was taken; other where none of ours was."""
    return str(getattr(scope.get("route"), "path", OTHER))


def _entry(scope: Scope, seconds: float) -> dict[str, object]:
    caller: Caller | None = scope.get("state", {}).get("caller")
    return {
        "route": _route(scope),
        "ms": round(seconds * 1000, 1),
        "caller": None if caller is None else caller.name,
    }

"""A bound on what one request may send, counted as it arrives."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES: Final = 1 << 20
UPLOAD_BYTES: Final = 100 << 20
TOO_LARGE: Final = 413


class BodyLimit:
    """Refuses a body that is longer than its endpoint takes, without reading it to the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = UPLOAD_BYTES if scope["path"] == "/upload" else JSON_BYTES
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(
                    TOO_LARGE, f"The request is longer than the {limit >> 20} MiB that are taken."
                )
            return message

        await self._app(scope, counted, send)

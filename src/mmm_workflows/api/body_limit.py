"""A bound on what one request may send, counted as it arrives, and on how long it takes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES: Final = 1 << 20
# What stands around a file in its form.
FORM_BYTES: Final = 1 << 14
TOO_LARGE: Final = 413
TOO_SLOW: Final = 408
# Each request that is being read takes a place: who sends slower than this gives it up.
PATIENCE_S: Final = 30.0
SLOWEST_BYTES_PER_S: Final = 1 << 16
HTTP_ERRORS: Final = 400
# How long the rest of a refused request is waited for, and how much of it is passed over.
REST_S: Final = 2.0
REST_BYTES: Final = 1 << 26


class BodyLimit:
    """Refuses a body that is longer than its endpoint takes, without reading it to the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        uploads: int = scope["app"].state.limits.upload_bytes
        limit = uploads + FORM_BYTES if scope["path"] == "/upload" else JSON_BYTES
        seen, is_read = 0, False
        begun = asyncio.get_running_loop().time()

        async def taken() -> Message:
            nonlocal seen, is_read
            message = await receive()
            seen += len(message.get("body", b""))
            is_read = not message.get("more_body", False)
            return message

        async def counted() -> Message:
            until = begun + PATIENCE_S + seen / SLOWEST_BYTES_PER_S
            try:
                async with asyncio.timeout_at(None if is_read else until):
                    message = await taken()
            except TimeoutError as error:
                raise HTTPException(
                    TOO_SLOW,
                    "The request did not come within the time that it may take. Send it again.",
                ) from error
            if seen > limit:
                raise HTTPException(
                    TOO_LARGE, f"The request is longer than the {limit >> 20} MiB that are taken."
                )
            return message

        async def after_reading(message: Message) -> None:
            # Whoever is still sending when the connection is closed never reads the refusal.
            if message["type"] == "http.response.start" and message["status"] >= HTTP_ERRORS:
                most = seen + REST_BYTES
                with suppress(TimeoutError):
                    async with asyncio.timeout(REST_S):
                        while not is_read and seen < most:
                            await taken()
            await send(message)

        await self._app(scope, counted, after_reading)

"""Pages of other origins may read answers only where CORS_ORIGINS names them."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mmm_workflows.api.guard import Access


class Cors:
    """Starlette's CORS over the origins of the settings, which are read when the service starts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._opened: CORSMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, through CORS where an origin is named."""
        access: Access | None = getattr(scope["app"].state, "access", None)
        if access is None or not access.origins:
            await self._app(scope, receive, send)
            return
        if self._opened is None:
            self._opened = CORSMiddleware(
                self._app,
                allow_origins=sorted(access.origins),
                allow_methods=("GET", "POST", "DELETE"),
                allow_headers=("authorization", "content-type", "idempotency-key", "x-api-key"),
            )
        await self._opened(scope, receive, send)

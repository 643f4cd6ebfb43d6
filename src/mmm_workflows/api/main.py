"""The application: ``uvicorn mmm_workflows.api.main:app``, or ``mmm-workflows serve``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mmm_workflows import __version__
from mmm_workflows.api import errors, ws
from mmm_workflows.api.background import Background
from mmm_workflows.api.body_limit import BodyLimit
from mmm_workflows.api.deps import Door, Folders
from mmm_workflows.api.routes import health, runs, starts, uploads
from mmm_workflows.config import Settings, read_settings
from mmm_workflows.workflows.runner import open_runner

PURPOSE = "From a question and a messy file to a defended marketing budget."


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application on these settings, or on the environment's when it starts.

    It opens nothing before it starts. When it stops, runs in progress are cancelled; each can be
    resumed.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        used = settings or read_settings()
        folders = Folders(uploads=used.uploads, models=used.models, outputs=used.outputs)
        async with open_runner(used) as runner, Background(runner) as background:
            app.state.door = Door(runner=runner, background=background, folders=folders)
            yield

    app = FastAPI(
        title="MMM Workflows", version=__version__, description=PURPOSE, lifespan=lifespan
    )
    app.add_middleware(BodyLimit)
    errors.install(app)
    for room in (starts, runs, uploads, health, ws):
        app.include_router(room.router)
    return app


app = create_app()

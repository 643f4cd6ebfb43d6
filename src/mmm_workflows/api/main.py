"""The application: ``uvicorn mmm_workflows.api.main:app``, or ``mmm-workflows serve``."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

from mmm_workflows import __version__, logs, traces
from mmm_workflows.allocator import keep_few_areas
from mmm_workflows.api import docs, errors, openapi, ws
from mmm_workflows.api.body_limit import BodyLimit
from mmm_workflows.api.cors import Cors
from mmm_workflows.api.counts import Counts, LocalCounts
from mmm_workflows.api.deps import Folders, House
from mmm_workflows.api.guard import Access, Guard
from mmm_workflows.api.headers import SecurityHeaders
from mmm_workflows.api.ledger import Ledger
from mmm_workflows.api.measures import Measures
from mmm_workflows.api.opening import Opening
from mmm_workflows.api.pace import Limits, Pace
from mmm_workflows.api.routes import data, health, memory, metrics, models, runs, starts
from mmm_workflows.config import Settings, read_settings
from mmm_workflows.keys import read_keys
from mmm_workflows.workflows.instant import Instant

if TYPE_CHECKING:
    from mmm_workflows.workflows.queue import Queue
    from mmm_workflows.workflows.runner import Runner
    from mmm_workflows.workflows.worker import Worker

    type _Borrow = Callable[[Settings], AbstractAsyncContextManager[Runner]]
    type _Drain = Callable[[Runner], AbstractAsyncContextManager[None]]

PURPOSE = "From a question and a messy file to a defended marketing budget."


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application on these settings, or on the environment's when it starts.

    It opens nothing before it starts. When it stops, runs in progress are put back on the queue,
    where this or another process takes them.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        used = settings or read_settings()
        if settings is None:
            # Given settings say that another program holds the application, and its own log.
            logs.configure(used.log_level, used.log_format, secrets=used.secrets())
            keep_few_areas()
        app.state.access, app.state.limits = _access(used), _limits(used)
        with traces.sent_where_set(used.otel_exporter_otlp_endpoint):
            opening = partial(_open_house, used, is_alone=settings is None)
            async with (
                _counts(used) as app.state.counts,
                Opening(opening) as app.state.opening,
            ):
                yield

    app = FastAPI(
        title="MMM Workflows",
        version=__version__,
        description=PURPOSE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # An address that is none is said to be none, without a detour by a name that a caller gave.
        redirect_slashes=False,
        # FastAPI's own telemetry would send bodies and errors as they are.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.measures, app.state.texts = Measures(), ws.Texts()
    # The last one added is the first to see a request.
    for before in (BodyLimit, Pace, Guard, Cors, Ledger, SecurityHeaders):
        app.add_middleware(before)
    errors.install(app)
    docs.install(app)
    openapi.install(app)
    for room in (starts, runs, data, models, memory, health, metrics, ws):
        app.include_router(room.router)
    return app


async def _open_house(settings: Settings, stack: AsyncExitStack, *, is_alone: bool) -> House:
    # LangGraph and pandas take seconds to load; the loop goes on answering meanwhile.
    open_runner, draining, queue, worker = await asyncio.to_thread(_load)
    runner = await stack.enter_async_context(open_runner(settings))
    await stack.enter_async_context(draining(runner))
    working = worker(runner, at_once=settings.workers, drain_s=settings.drain_s)
    if is_alone:
        # 300,000 objects of libraries stay: to look through them stops all for 0.2 s of CPU.
        gc.collect()
        gc.freeze()
    return House(
        runner=runner,
        worker=await stack.enter_async_context(working),
        queue=queue(runner),
        folders=Folders(
            uploads=settings.uploads,
            models=settings.models,
            outputs=settings.outputs,
            data=settings.data_folders,
        ),
        instant=stack.enter_context(Instant()),
    )


def _load() -> tuple[_Borrow, _Drain, type[Queue], type[Worker]]:
    from mmm_workflows.api.outbox import draining
    from mmm_workflows.workflows.queue import Queue
    from mmm_workflows.workflows.runner import open_runner
    from mmm_workflows.workflows.worker import Worker

    return open_runner, draining, Queue, Worker


def _access(settings: Settings) -> Access:
    keys = settings.api_keys
    return Access(
        keys=read_keys("" if keys is None else keys.get_secret_value()),
        allow_no_key=settings.allow_no_key,
        hosts=frozenset(name.lower() for name in _words(settings.allowed_hosts)),
        origins=frozenset(origin.rstrip("/") for origin in _words(settings.cors_origins)),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        requests_per_minute=settings.requests_per_minute,
        starts_per_minute=settings.starts_per_minute,
        requests_at_once=settings.requests_at_once,
        sockets_at_once=settings.sockets_at_once,
        upload_bytes=settings.upload_bytes,
    )


@asynccontextmanager
async def _counts(settings: Settings) -> AsyncIterator[Counts]:
    if settings.redis_url is None:
        yield LocalCounts()
        return
    # It takes a third of a second to load.
    shared_counts = await asyncio.to_thread(_load_shared_counts)
    async with shared_counts(settings.redis_url.get_secret_value()) as counts:
        yield counts


def _load_shared_counts() -> Callable[[str], AbstractAsyncContextManager[Counts]]:
    from mmm_workflows.api.shared_counts import open_shared_counts

    return open_shared_counts


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


app = create_app()

"""The one place where adapters are chosen, opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from mmm_workflows.bootstrap.memory import MemoryStores, examined_embedder, has_memory
from mmm_workflows.bootstrap.readiness import Readiness, readiness
from mmm_workflows.bootstrap.records import connect_records, open_saver, records_file
from mmm_workflows.bootstrap.sharing import examined_store, forgetting, open_store, shared_store
from mmm_workflows.bootstrap.sources import open_sources
from mmm_workflows.bootstrap.web import executor_opener, web_opener
from mmm_workflows.config import (
    SERVICES,
    Settings,
    child_environment,
    read_settings,
    silence_telemetry,
)
from mmm_workflows.errors import MMMError, ServiceUnavailable, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.checkpoints import Saver
    from mmm_workflows.db.claims import Claims
    from mmm_workflows.db.draining import Drain
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.db.outbox import Outbox
    from mmm_workflows.db.overview import Overview
    from mmm_workflows.db.patience import Patience
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.db.shared_store import SharedStore
    from mmm_workflows.db.views import Views
    from mmm_workflows.llm.budget import Budget
    from mmm_workflows.llm.chat import ChatModel
    from mmm_workflows.ports import Compute, ProgressChannel
    from mmm_workflows.tools.code_executor import CodeExecutor
    from mmm_workflows.tools.fit_child import FitPlace
    from mmm_workflows.tools.models import Models
    from mmm_workflows.tools.pictures import Pictures
    from mmm_workflows.tools.sources import Sources
    from mmm_workflows.tools.web import OpenWeb, WebLimits


@dataclass(frozen=True, kw_only=True)
class Languages:
    """The language models, each None where rules stand in for it, and what a run may ask of them."""

    reasoning: ChatModel | None
    coding: ChatModel | None
    max_calls: int
    max_tokens: int
    max_reply_tokens: int

    @property
    def names(self) -> tuple[str, ...]:
        """The models by name, each once."""
        return tuple(dict.fromkeys(m.name for m in (self.reasoning, self.coding) if m is not None))

    def budget(self) -> Budget:
        """A fresh budget for one execution of a run."""
        from mmm_workflows.llm.budget import Budget

        return Budget(max_calls=self.max_calls, max_tokens=self.max_tokens)


@dataclass(frozen=True, kw_only=True)
class Services:
    """Every adapter of one process, opened."""

    database: str
    runs: RunStore
    claims: Claims
    overview: Overview
    views: Views
    checkpointer: Saver
    artifacts: ArtifactStore
    compute: Compute
    pictures: Pictures
    progress: ProgressChannel
    languages: Languages
    open_executor: Callable[[], Awaitable[CodeExecutor]]
    open_memory: Callable[[], Awaitable[Memory]]
    has_memory: Callable[[], bool]
    outbox: Outbox
    drain: Drain
    web: Literal["off", "on"]
    open_web: OpenWeb
    web_limits: WebLimits
    uploads: ArtifactStore
    sources: Sources
    readiness: Readiness
    home: Path
    models: Models
    patience_s: float

    def patient(self, patience: Patience) -> Services:
        """The same services, for an execution that waits for a database that went away."""
        from mmm_workflows.db.checkpoints import with_patience

        return replace(
            self,
            runs=self.runs.patient(patience),
            checkpointer=with_patience(self.checkpointer, patience),
        )

    async def at_hand(self, paths: Sequence[str]) -> None:
        """Bring what lies at these paths of our folders from what machines share.

        Where ARTIFACTS_URL is not set, and for any other path, nothing happens.
        """
        named = [Path(path) for path in paths]
        for store in (self.artifacts, self.uploads, self.models):
            await store.at_hand(named)

    async def remove_project(self, project: str) -> None:
        """Remove all that is kept of a project, here and where machines share it."""
        for store in (self.artifacts, self.uploads, self.models):
            await store.remove_project(project)


@dataclass
class _Shared:
    services: Services | None = None
    users: int = 0
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


# One set of services per settings and event loop, opened by the first user, closed by the last.
_shared: dict[tuple[Settings, int], _Shared] = {}


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Borrow the services of these settings; the last borrower of an event loop closes them.

    Raises:
        ServiceUnavailable: A service is set that does not answer.
    """
    # The settings themselves: as text all passwords are the same stars.
    key = (settings, id(asyncio.get_running_loop()))
    shared = _shared.setdefault(key, _Shared())
    shared.users += 1
    try:
        async with shared.lock:
            if shared.services is None:
                shared.services = await _open(settings, shared.stack)
        yield shared.services
    finally:
        shared.users -= 1
        if shared.users == 0:
            _shared.pop(key, None)
            await shared.stack.aclose()


async def _open(settings: Settings, stack: AsyncExitStack) -> Services:
    silence_telemetry()
    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.claims import Claims
    from mmm_workflows.db.outbox import Outbox
    from mmm_workflows.db.overview import Overview
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.db.views import Views
    from mmm_workflows.tools.models import Models
    from mmm_workflows.tools.pictures import Pictures
    from mmm_workflows.tools.web import WebLimits

    home = settings.home
    sources = open_sources(settings)
    shared = await open_store(settings)
    database = await _open_records(settings, stack)
    runs, outbox = RunStore(database.engine), Outbox(database.engine)
    stores, drain = await _memory(settings, database.engine, runs, outbox, stack)
    compute = await _open_compute(settings, shared, stack)
    artifacts = ArtifactStore(settings.outputs, shared and shared.below("outputs"))
    uploads = ArtifactStore(settings.uploads, shared and shared.below("uploads"))
    models = Models(settings.models, shared)
    if shared is not None:
        await stack.enter_async_context(forgetting((artifacts, uploads, models)))
    return Services(
        database=database.place,
        runs=runs,
        claims=Claims(database.engine, lease_s=settings.lease_s),
        overview=Overview(database.engine),
        views=Views(database.engine),
        checkpointer=database.checkpointer,
        artifacts=artifacts,
        compute=compute,
        pictures=Pictures(child_environment()),
        progress=await _open_progress(settings, stack),
        languages=await _open_languages(settings),
        open_executor=executor_opener(home / "sandbox"),
        open_memory=stores.open,
        has_memory=partial(has_memory, settings),
        outbox=outbox,
        drain=drain,
        web=settings.web_search,
        open_web=web_opener(settings),
        web_limits=WebLimits(
            queries=settings.research_queries,
            pages=settings.research_pages,
            bytes=settings.research_bytes,
            minutes=settings.research_minutes,
        ),
        readiness=readiness(settings, database.engine, compute, shared),
        home=home,
        uploads=uploads,
        sources=sources,
        models=models,
        patience_s=settings.database_patience_s,
    )


async def _open_progress(settings: Settings, stack: AsyncExitStack) -> ProgressChannel:
    if settings.redis_url is None:
        from mmm_workflows.tools.progress import LocalProgress

        return LocalProgress()
    from mmm_workflows.tools.redis_progress import open_redis_progress

    opened = open_redis_progress(settings.redis_url.get_secret_value())
    return await stack.enter_async_context(opened)


async def _open_compute(
    settings: Settings, shared: SharedStore | None, stack: AsyncExitStack
) -> Compute:
    if settings.dask_scheduler is None:
        from mmm_workflows.tools.compute import LocalCompute

        return LocalCompute(
            settings.models, settings.cache, environment=child_environment(), exchange=shared
        )
    _refuse_without_dask()
    from mmm_workflows.tools.dask_compute import open_dask_compute

    opened = open_dask_compute(
        settings.dask_scheduler, settings.models, place=fit_place, exchange=shared
    )
    return await stack.enter_async_context(opened)


def fit_place() -> FitPlace:
    """What the machine on which this is called gives to its fits, by its own settings."""
    from mmm_workflows.tools.fit_child import FitPlace

    settings = read_settings()
    return FitPlace(settings.cache, child_environment(), shared_store(settings))


def _refuse_without_dask() -> None:
    if find_spec("distributed") is None:
        raise ServiceUnavailable(
            "DASK_SCHEDULER is set, but Dask is not installed: pip install 'mmm-workflows[dask]', "
            "or unset it to fit in processes of this machine.",
            code="service_not_supported",
        )


async def _memory(
    settings: Settings, engine: AsyncEngine, runs: RunStore, outbox: Outbox, stack: AsyncExitStack
) -> tuple[MemoryStores, Drain]:
    from mmm_workflows.db.draining import Drain

    # Entered before the drain, closed after it: a store may be in the middle of a write.
    own = await stack.enter_async_context(AsyncExitStack())
    stores = MemoryStores(settings, engine, own)
    drain = Drain(
        outbox,
        runs,
        open_memory=stores.open,
        is_open=lambda: stores.is_open,
        has_memory=partial(has_memory, settings),
    )
    stack.push_async_callback(drain.aclose)
    if settings.neo4j_uri or settings.chroma_url or settings.ollama_embedding_model:
        # A server that is set and does not answer is said at the start, as a model that is absent.
        await stores.open()
    return stores, drain


@dataclass(frozen=True, kw_only=True)
class _Records:
    place: str
    engine: AsyncEngine
    checkpointer: Saver


async def _open_records(settings: Settings, stack: AsyncExitStack) -> _Records:
    """Records and checkpoints: all in the PostgreSQL that is set, or all in files."""
    from mmm_workflows.db.engine import place
    from mmm_workflows.db.migrate import migrate

    saver = open_saver(settings)  # first: a key that is wrong is refused before a file is made
    engine = await connect_records(settings)
    stack.push_async_callback(engine.dispose)
    await migrate(engine)
    is_file = settings.database_urls is None
    return _Records(
        place=str(records_file(settings)) if is_file else place(engine.url),
        engine=engine,
        checkpointer=await stack.enter_async_context(saver),
    )


async def examine_services(settings: Settings) -> dict[str, str]:
    """What stands behind each service on this machine, one sentence each; opens no run database."""
    silence_telemetry()
    from mmm_workflows.tools.sandbox.probe import probe_sandbox

    given = settings.services_set()
    said = {
        name: f"set to {given[name]}" if name in given else f"not set: {instead}"
        for name, instead in SERVICES.items()
    }
    for name in ("DATABASE_URL", "ASYNC_DATABASE_URL"):
        if name in settings.services_set():
            said[name] = await _examined_database(settings)
    if settings.redis_url is not None:
        said["REDIS_URL"] = await _examined_redis(settings.redis_url.get_secret_value())
    if settings.dask_scheduler is not None:
        said["DASK_SCHEDULER"] = await _examined_dask(settings.dask_scheduler)
    if settings.artifacts_url is not None:
        said["ARTIFACTS_URL"] = await examined_store(settings)
    with TemporaryDirectory() as scratch:
        report = await probe_sandbox(Path(scratch))
    said["code sandbox"] = f"{report.mode}: {report.why}"
    if settings.model is not None or settings.ollama_base_url is not None:
        try:
            languages = await _open_languages(settings)
        except MMMError as error:
            said["language model"] = error.message
        else:
            said["language model"] = " and ".join(languages.names)
    else:
        said["language model"] = "none: rules"
    said.pop("OLLAMA_BASE_URL")
    said["embeddings"] = await examined_embedder(settings)
    return said


async def _examined_database(settings: Settings) -> str:
    from mmm_workflows.db.engine import open_database, place

    try:
        urls = settings.database_urls
        if urls is None:
            return SERVICES["DATABASE_URL"]
        engine = await open_database(urls.asyncpg)
    except MMMError as error:
        return error.message
    await engine.dispose()
    return place(engine.url)


async def _examined_redis(url: str) -> str:
    from mmm_workflows.tools.redis_progress import redis_place

    try:
        return await redis_place(url)
    except MMMError as error:
        return error.message


async def _examined_dask(scheduler: str) -> str:
    try:
        _refuse_without_dask()
        from mmm_workflows.tools.dask_compute import dask_place

        return await dask_place(scheduler)
    except MMMError as error:
        return error.message


async def _open_languages(settings: Settings) -> Languages:
    """The models of these settings, each of them known to be there.

    Raises:
        SettingsError: Two providers are set at once, or one cannot be used.
        ServiceUnavailable: The server cannot be reached, or does not have a model.
    """

    def languages(reasoning: ChatModel | None, coding: ChatModel | None) -> Languages:
        return Languages(
            reasoning=reasoning,
            coding=coding,
            max_calls=settings.model_max_calls,
            max_tokens=settings.model_max_tokens,
            max_reply_tokens=settings.model_reply_tokens,
        )

    if settings.model is not None and settings.ollama_base_url is not None:
        raise SettingsError(
            "MODEL and OLLAMA_BASE_URL are both set, and only one can be the language model. "
            "Unset one of them."
        )
    if settings.model is not None:
        from mmm_workflows.llm.provider import open_provider

        both = await open_provider(settings.model, timeout_s=settings.model_timeout_s)
        return languages(both, both)
    if settings.ollama_base_url is not None:
        from mmm_workflows.llm.ollama import open_ollama

        reasoning, coding = [
            await open_ollama(settings.ollama_base_url, name, timeout_s=settings.model_timeout_s)
            for name in (settings.ollama_reasoning_model, settings.ollama_coding_model)
        ]
        return languages(reasoning, coding)
    return languages(None, None)

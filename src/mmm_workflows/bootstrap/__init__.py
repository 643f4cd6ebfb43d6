"""The one place where adapters are chosen, opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal

from mmm_workflows.bootstrap.memory import has_memory, memory_opener
from mmm_workflows.bootstrap.web import executor_opener, web_opener
from mmm_workflows.config import SERVICES, Settings, child_environment, silence_telemetry
from mmm_workflows.errors import MMMError, ServiceUnavailable, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.checkpoints import Saver
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.db.locks import RunLocks
    from mmm_workflows.db.postgres_locks import PostgresRunLocks
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.llm.budget import Budget
    from mmm_workflows.llm.chat import ChatModel
    from mmm_workflows.ports import Compute, ProgressChannel
    from mmm_workflows.tools.code_executor import CodeExecutor
    from mmm_workflows.tools.web import OpenWeb, WebLimits

# Services that a setting names and that no adapter is there for yet.
NOT_YET: Final = (
    "REDIS_URL",
    "DASK_SCHEDULER",
)


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
    locks: RunLocks | PostgresRunLocks
    checkpointer: Saver
    artifacts: ArtifactStore
    compute: Compute
    progress: ProgressChannel
    languages: Languages
    open_executor: Callable[[], Awaitable[CodeExecutor]]
    open_memory: Callable[[], Awaitable[Memory]]
    has_memory: Callable[[], bool]
    web: Literal["off", "on"]
    open_web: OpenWeb
    web_limits: WebLimits
    uploads: ArtifactStore
    home: Path
    models: Path

    def project_folders(self) -> tuple[Path, ...]:
        """The folders that hold one subfolder per project."""
        return (self.artifacts.root, self.uploads.root, self.models)


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
        ServiceUnavailable: A service is set that cannot be used (``service_not_supported``).
    """
    refuse_unsupported(settings)
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


def refuse_unsupported(settings: Settings) -> None:
    """Say which service is set that this version cannot use; never fall back in silence.

    Raises:
        ServiceUnavailable: At least one is set (``service_not_supported``).
    """
    for name in settings.services_set():
        if name not in NOT_YET:
            continue
        raise ServiceUnavailable(
            f"{name} is set, but this version has no adapter for it yet. "
            f"Unset it to use {SERVICES[name]}.",
            code="service_not_supported",
        )


async def _open(settings: Settings, stack: AsyncExitStack) -> Services:
    silence_telemetry()
    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.tools.compute import LocalCompute
    from mmm_workflows.tools.progress import LocalProgress
    from mmm_workflows.tools.web import WebLimits

    home = settings.home
    database = await _open_records(settings, stack)
    return Services(
        database=database.place,
        runs=RunStore(database.engine),
        locks=database.locks,
        checkpointer=database.checkpointer,
        artifacts=ArtifactStore(settings.outputs),
        compute=LocalCompute(settings.models, settings.cache, environment=child_environment()),
        progress=LocalProgress(),
        languages=await _open_languages(settings),
        open_executor=executor_opener(home / "sandbox"),
        open_memory=await _memory(settings, database.engine, stack),
        has_memory=partial(has_memory, settings),
        web=settings.web_search,
        open_web=web_opener(settings),
        web_limits=WebLimits(
            queries=settings.research_queries,
            pages=settings.research_pages,
            bytes=settings.research_bytes,
            minutes=settings.research_minutes,
        ),
        home=home,
        uploads=ArtifactStore(settings.uploads),
        models=settings.models,
    )


async def _memory(
    settings: Settings, engine: AsyncEngine, stack: AsyncExitStack
) -> Callable[[], Awaitable[Memory]]:
    opened = memory_opener(settings, engine, stack)
    if settings.neo4j_uri is not None or settings.chroma_url is not None:
        # A server that is set and does not answer is said at the start.
        await opened()
    return opened


@dataclass(frozen=True, kw_only=True)
class _Records:
    place: str
    engine: AsyncEngine
    locks: RunLocks | PostgresRunLocks
    checkpointer: Saver


async def _open_records(settings: Settings, stack: AsyncExitStack) -> _Records:
    """Records, locks and checkpoints: all in the PostgreSQL that is set, or all in files."""
    from mmm_workflows.db.checkpoints import open_checkpointer
    from mmm_workflows.db.engine import open_database, place
    from mmm_workflows.db.locks import RunLocks
    from mmm_workflows.db.migrate import migrate

    home, urls, key = settings.home, settings.database_urls, settings.encryption_key
    file = home / "runs.db"
    engine = await open_database(urls.asyncpg if urls else f"sqlite+aiosqlite:///{file}")
    stack.push_async_callback(engine.dispose)
    await migrate(engine)
    if urls is None:
        saver = open_checkpointer(home / "checkpoints.db", key=key)
        return _Records(
            place=str(file),
            engine=engine,
            locks=RunLocks(home / "locks"),
            checkpointer=await stack.enter_async_context(saver),
        )
    # Imported here because the drivers cost a start that needs none of them.
    from mmm_workflows.db.postgres_checkpoints import open_postgres_checkpointer
    from mmm_workflows.db.postgres_locks import PostgresRunLocks

    checkpointer = await stack.enter_async_context(
        open_postgres_checkpointer(urls.psycopg, key=key)
    )
    locks = PostgresRunLocks(engine)
    stack.push_async_callback(locks.aclose)
    return _Records(place=place(engine.url), engine=engine, locks=locks, checkpointer=checkpointer)


async def examine_services(settings: Settings) -> dict[str, str]:
    """What stands behind each service on this machine, one sentence each; opens no run database."""
    silence_telemetry()
    from mmm_workflows.tools.sandbox.probe import probe_sandbox

    said = {
        name: (
            "set, but this version has no adapter for it yet: unset it"
            if name in NOT_YET and name in settings.services_set()
            else f"not set: {instead}"
        )
        for name, instead in SERVICES.items()
    }
    for name in ("DATABASE_URL", "ASYNC_DATABASE_URL"):
        if name in settings.services_set():
            said[name] = await _examined_database(settings)
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

"""Whether each service that is set answers at this moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError, ServiceUnavailable
from mmm_workflows.records import Dependency

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.shared_store import SharedStore
    from mmm_workflows.ports import Compute

TIMEOUT_S: Final = 3.0
# Balancers ask often, and anybody may: the services behind are asked once in so long.
KEPT_S: Final = 2.0

# Events are read from the log without it, and limits counted per process.
SPARED: Final = frozenset({"redis"})

type Check = Callable[[], Awaitable[None]]


class Readiness:
    """Asks every dependency at once; what was found holds for a moment.

    Args:
        checks: By name; each raises what is wrong.
        spared: Those that runs can do without.
        timeout_s: Seconds that each has to answer.
        kept_s: Seconds that an answer holds.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        spared: Collection[str] = (),
        timeout_s: float = TIMEOUT_S,
        kept_s: float = KEPT_S,
    ) -> None:
        self._checks = checks
        self._spared = spared
        self._timeout_s = timeout_s
        self._kept_s = kept_s
        self._turn = asyncio.Lock()
        self._found: tuple[Dependency, ...] = ()
        self._until = 0.0

    async def examine(self) -> tuple[Dependency, ...]:
        """Each dependency by name, and why it does not answer where it does not."""
        async with self._turn:
            if time.monotonic() >= self._until:
                asked = [self._ask(name, check) for name, check in self._checks.items()]
                self._found = tuple(await asyncio.gather(*asked))
                self._until = time.monotonic() + self._kept_s
            return self._found

    async def _ask(self, name: str, check: Check) -> Dependency:
        why = None
        try:
            async with asyncio.timeout(self._timeout_s):
                await check()
        except TimeoutError:
            why = f"no answer within {self._timeout_s:g} s"
        except MMMError as error:
            why = error.message
        return Dependency(name=name, ok=why is None, needed=name not in self._spared, why=why)


def readiness(
    settings: Settings, engine: AsyncEngine, compute: Compute, shared: SharedStore | None
) -> Readiness:
    """The run database, and each service that these settings name."""
    checks: dict[str, Check] = {"database": lambda: _database(engine)}
    if settings.neo4j_uri is not None:
        checks["neo4j"] = lambda: _neo4j(settings)
    if settings.chroma_url is not None:
        chroma = f"{settings.chroma_url.rstrip('/')}/api/v2/heartbeat"
        checks["chroma"] = lambda: _http("Chroma", chroma)
    if settings.ollama_base_url is not None:
        ollama = f"{settings.ollama_base_url.rstrip('/')}/api/tags"
        checks["ollama"] = lambda: _http("Ollama", ollama)
    if settings.redis_url is not None:
        redis = settings.redis_url.get_secret_value()
        checks["redis"] = lambda: _redis(redis)
    if settings.dask_scheduler is not None:
        checks["dask"] = compute.check
    if shared is not None:
        checks["artifacts"] = one_at_a_time(shared.check)
    return Readiness(checks, spared=SPARED)


def one_at_a_time(check: Callable[[], None]) -> Check:
    """A check that blocks; while one hangs, no other thread is taken for it."""
    asked: asyncio.Task[None] | None = None

    async def ask() -> None:
        nonlocal asked
        if asked is None or asked.done():
            asked = asyncio.create_task(asyncio.to_thread(check))
        await asyncio.shield(asked)

    return ask


async def _redis(url: str) -> None:
    from mmm_workflows.tools.redis_progress import redis_place

    try:
        await redis_place(url)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"{error.message} Until then runs go on: watchers in other processes read the event "
            "log, and limits are counted per process."
        ) from error


async def _database(engine: AsyncEngine) -> None:
    from sqlalchemy import text

    from mmm_workflows.db.engine import begin

    async with begin(engine) as connection:
        await connection.execute(text("SELECT 1"))


async def _neo4j(settings: Settings) -> None:
    from mmm_workflows.db.neo4j_client import open_neo4j

    password = settings.neo4j_password
    graph = await open_neo4j(
        settings.neo4j_uri or "",
        user=settings.neo4j_user,
        password="" if password is None else password.get_secret_value(),
    )
    await graph.aclose()


async def _http(name: str, url: str) -> None:
    import httpx

    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnavailable(
            f"The {name} server does not answer ({type(error).__name__})."
        ) from error
    if answer.is_error:
        raise ServiceUnavailable(f"The {name} server answers {answer.status_code}.")

"""The one place where adapters are chosen, opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmm_workflows.config import SERVICES, Settings, child_environment, silence_telemetry
from mmm_workflows.errors import ServiceUnavailable

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.locks import RunLocks
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.ports import Compute, ProgressChannel


@dataclass(frozen=True, kw_only=True)
class Services:
    """Every adapter of one process, opened."""

    runs: RunStore
    locks: RunLocks
    checkpointer: AsyncSqliteSaver
    artifacts: ArtifactStore
    compute: Compute
    progress: ProgressChannel
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
_shared: dict[tuple[str, int], _Shared] = {}


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Borrow the services of these settings; the last borrower of an event loop closes them.

    Raises:
        ServiceUnavailable: A service is set that cannot be used (``service_not_supported``).
    """
    refuse_unsupported(settings)
    key = (settings.model_dump_json(), id(asyncio.get_running_loop()))
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
        raise ServiceUnavailable(
            f"{name} is set, but this version has no adapter for it yet. "
            f"Unset it to use {SERVICES[name]}.",
            code="service_not_supported",
        )


async def _open(settings: Settings, stack: AsyncExitStack) -> Services:
    silence_telemetry()
    from mmm_workflows.db.artifacts import ArtifactStore
    from mmm_workflows.db.checkpoints import open_checkpointer
    from mmm_workflows.db.engine import open_database
    from mmm_workflows.db.locks import RunLocks
    from mmm_workflows.db.migrate import migrate
    from mmm_workflows.db.runs import RunStore
    from mmm_workflows.tools.compute import LocalCompute
    from mmm_workflows.tools.progress import LocalProgress

    home = settings.home
    engine = await open_database(f"sqlite+aiosqlite:///{home / 'runs.db'}")
    stack.push_async_callback(engine.dispose)
    await migrate(engine)
    return Services(
        runs=RunStore(engine),
        locks=RunLocks(home / "locks"),
        checkpointer=await stack.enter_async_context(open_checkpointer(home / "checkpoints.db")),
        artifacts=ArtifactStore(settings.outputs),
        compute=LocalCompute(settings.models, settings.cache, environment=child_environment()),
        progress=LocalProgress(),
        home=home,
        uploads=ArtifactStore(settings.uploads),
        models=settings.models,
    )

"""The databases that the store of runs is held to, and settings that use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from services.postgres_state import for_asyncpg, fresh_database
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.config import Settings
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.services)]

type SettingsOf = Callable[..., Settings]


@asynccontextmanager
async def database(kind: str, folder: Path) -> AsyncIterator[AsyncEngine]:
    """A migrated database of this kind."""
    if kind == "postgres":
        async with fresh_database() as url, _migrated(for_asyncpg(url)) as opened:
            yield opened
    else:
        async with _migrated(f"sqlite+aiosqlite:///{folder / 'runs.db'}") as opened:
            yield opened


@asynccontextmanager
async def _migrated(url: str) -> AsyncIterator[AsyncEngine]:
    opened = await open_database(url)
    try:
        await migrate(opened)
        yield opened
    finally:
        await opened.dispose()


@pytest.fixture(params=BOTH)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A migrated database of each kind."""
    async with database(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of an empty PostgreSQL database."""
    async with fresh_database() as made:
        yield made


@pytest.fixture(params=BOTH)
async def either(request: pytest.FixtureRequest) -> AsyncIterator[str | None]:
    """The address of an empty PostgreSQL database, and None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    async with fresh_database() as made:
        yield made


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    """Makes settings of an address; None is SQLite."""

    def made(url: str | None, home: str = "home", **more: object) -> Settings:
        return Settings(_env_file=None, mmm_home=tmp_path / home, database_url=url, **more)

    return made

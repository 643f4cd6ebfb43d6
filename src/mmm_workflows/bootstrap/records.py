"""How records and checkpoints are plugged together: in the PostgreSQL that is set, or in files."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mmm_workflows.config import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.checkpoints import Saver


def records_file(settings: Settings) -> Path:
    """The run database where no PostgreSQL is set."""
    return settings.home / "runs.db"


def checkpoints_file(settings: Settings) -> Path:
    """The checkpoints where no PostgreSQL is set."""
    return settings.home / "checkpoints.db"


async def connect_records(settings: Settings) -> AsyncEngine:
    """The run database of these settings; ``migrate`` brings it to the present schema."""
    from mmm_workflows.db.engine import open_database

    urls = settings.database_urls
    return await open_database(
        urls.asyncpg if urls else f"sqlite+aiosqlite:///{records_file(settings)}"
    )


def open_saver(settings: Settings) -> AbstractAsyncContextManager[Saver]:
    """The checkpoints of these settings, open for the length of the block.

    Raises:
        SettingsError: Their key is none; nothing was made yet.
    """
    from mmm_workflows.db.checkpoints import open_checkpointer

    urls, key = settings.database_urls, settings.encryption_key
    if urls is None:
        return open_checkpointer(checkpoints_file(settings), key=key)
    # Imported here because the driver costs a start that does not need it.
    from mmm_workflows.db.postgres_checkpoints import open_postgres_checkpointer

    return open_postgres_checkpointer(urls.psycopg, key=key)

"""Brings the database to the tables that this version reads and writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import column, table

from mmm_workflows.db.engine import begin, is_sqlite, open_database
from mmm_workflows.db.tables import REVISIONS
from mmm_workflows.errors import MMMError

SCRIPTS: Final = Path(__file__).parent / "migrations"
ADVISORY_LOCK: Final = 0x4D4D4D  # any number, the same for every process

_VERSION: Final = table("alembic_version", column("version_num"))


async def migrate(engine: AsyncEngine) -> None:
    """Apply the migrations that are missing; at once when there are none.

    Safe when several processes start together: one applies them, the others wait for it.

    Raises:
        MMMError: A newer version of the program made the database (``store_schema``).
    """
    async with begin(engine) as connection:
        if await connection.run_sync(_is_current):
            return
    # Alembic is synchronous and reads files: in its own thread it does not hold up the loop.
    await asyncio.to_thread(asyncio.run, _upgrade_alone(engine.url))


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table(_VERSION.name):
        return False
    found = connection.execute(select(_VERSION.c.version_num)).scalar()
    if found is not None and found not in REVISIONS:
        raise MMMError(
            f"The database {connection.engine.url.render_as_string(hide_password=True)} has the "
            f"schema {found!r}; this version knows {REVISIONS[-1]!r} and older. Use the newer "
            "version of mmm-workflows that wrote it, or another MMM_HOME.",
            code="store_schema",
        )
    return bool(found == REVISIONS[-1])


async def _upgrade_alone(url: URL) -> None:
    engine = await open_database(url.render_as_string(hide_password=False))
    try:
        async with begin(engine, write_lock=True) as connection:
            if not is_sqlite(url):
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": ADVISORY_LOCK})
            # Another process may have been first while this one waited for the lock.
            if not await connection.run_sync(_is_current):
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Imported here because all but the first start find the database at its head (0.2 s of CPU).
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

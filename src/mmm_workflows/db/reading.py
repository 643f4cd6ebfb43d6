"""Reads of the run database that one statement answers."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import Engine, Select, create_engine, event
from sqlalchemy.engine import RowMapping
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as NoneIsFree
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from mmm_workflows.db.engine import (
    BUSY,
    BUSY_TIMEOUT_S,
    UNUSABLE,
    begin,
    is_sqlite,
    unavailable,
    uninterrupted,
)

READERS: Final = 4


class Reader:
    """Runs single statements that only read, over all that was committed before.

    For SQLite it has connections of its own, each used by one thread at a time: aiosqlite sends
    every step of a transaction (begin, cursor, rows, close, commit) through a thread and back,
    which costs many times what the statement does (0.86 ms of CPU for one run, not 0.10).

    Args:
        engine: The run database; when it is disposed of, so is this.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._beside = _read_only(engine) if is_sqlite(engine.url) else None

    async def rows(self, statement: Select[Any]) -> list[RowMapping]:
        """The rows of a statement.

        Raises:
            ServiceUnavailable: The database cannot be reached, or is locked for too long.
        """
        if self._beside is not None:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, self._read, self._beside, statement)
        return await self._ask(statement)

    @uninterrupted
    async def _ask(self, statement: Select[Any]) -> list[RowMapping]:
        async with begin(self._engine) as connection:
            return list((await connection.execute(statement)).mappings().all())

    def _read(self, engine: Engine, statement: Select[Any]) -> list[RowMapping]:
        try:
            with engine.connect() as connection:
                return list(connection.execute(statement).mappings().all())
        except DatabaseError as error:
            if isinstance(error, UNUSABLE) or type(error) is DatabaseError:
                raise unavailable(self._engine.url, error.orig) from error
            raise
        except NoneIsFree as error:
            raise unavailable(self._engine.url, OSError(BUSY)) from error


def _read_only(engine: AsyncEngine) -> Engine:
    beside = create_engine(
        engine.url.set(drivername="sqlite"),
        pool_size=READERS,
        # The one that read last has the pages at hand.
        pool_use_lifo=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    event.listen(beside, "connect", _refuse_writes)
    event.listen(engine.sync_engine, "engine_disposed", lambda _: beside.dispose())
    return beside


def _refuse_writes(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()

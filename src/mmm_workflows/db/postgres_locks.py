"""One live executor per run, on every machine that shares a PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.engine import (
    CONNECT_TIMEOUT_S,
    STATEMENT_TIMEOUT_S,
    unavailable,
    uninterrupted,
)
from mmm_workflows.db.locks import busy
from mmm_workflows.errors import ServiceUnavailable

# PostgreSQL cuts longer names of a session.
NAME_LENGTH: Final = 63
# A machine that is gone without a word holds its runs for a minute, not for two hours.
KEEPALIVE: Final = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
# A session that was ended holds its locks for a moment longer.
RETAKE_TRIES: Final = 20
RETAKE_PAUSE_S: Final = 0.1

_TRY: Final = "SELECT pg_try_advisory_lock($1)"
_FREE: Final = "SELECT pg_advisory_unlock($1)"
_HOLDER: Final = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) | l.objid::bigint = $1
"""


@dataclass
class _Holder:
    """The task that works on a run, and whether its lock was lost to another."""

    task: asyncio.Task[Any]
    is_lost: bool = False

    def lose(self) -> None:
        self.is_lost = True
        self.task.cancel()


class PostgresRunLocks:
    """Advisory locks of one session of the server, one per run; its end frees them all.

    When the session is lost, its locks are taken again on a new one. A holder whose lock cannot be
    had again is stopped: two executors of one run would undo each other's work.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session: asyncpg.Connection | None = None
        self._held: dict[str, _Holder] = {}
        self._turn = asyncio.Lock()
        self._restoring: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def acquire(self, workflow_id: str) -> AsyncIterator[None]:
        """Hold the run for the length of the block.

        Raises:
            RunError: Another caller, here or anywhere, holds it (``run_busy``).
            ServiceUnavailable: The server cannot be reached, or the lock was lost in the block.
        """
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine
        holder = _Holder(task)
        try:
            await self._take(workflow_id, holder)
            yield
        except BaseException as error:
            if not holder.is_lost:
                raise
            task.uncancel()
            raise _lost(workflow_id) from error
        finally:
            if self._held.get(workflow_id) is holder:
                await self._give_back(workflow_id)

    async def aclose(self) -> None:
        """End the session; every lock that is still held becomes free."""
        async with self._turn:
            for task in self._restoring:
                task.cancel()
            session, self._session = self._session, None
            self._held.clear()
        if session is not None:
            await _end(session)

    @uninterrupted
    async def _take(self, workflow_id: str, holder: _Holder) -> None:
        async with self._turn:
            if workflow_id in self._held:
                raise busy(workflow_id, f"this process, {os.getpid()},")
            try:
                session = await self._opened()
                if not await session.fetchval(_TRY, _key(workflow_id)):
                    name = await session.fetchval(_HOLDER, _key(workflow_id))
                    raise busy(workflow_id, name or "another process")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                raise unavailable(self._engine.url, error) from error
            self._held[workflow_id] = holder

    @uninterrupted
    async def _give_back(self, workflow_id: str) -> None:
        async with self._turn:
            del self._held[workflow_id]
            if self._session is None or self._session.is_closed():
                return  # the lock ended with the session
            try:
                await self._session.fetchval(_FREE, _key(workflow_id))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                self._session.terminate()  # frees it, and what else is held is taken again

    async def _opened(self) -> asyncpg.Connection:
        """The session; a new one takes the locks that the lost one held."""
        if self._session is not None and not self._session.is_closed():
            return self._session
        _, arguments = self._engine.dialect.create_connect_args(self._engine.url)
        name = f"mmm-workflows process {os.getpid()} on {socket.gethostname()}"
        session = await asyncpg.connect(
            **arguments,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            server_settings={"application_name": name[:NAME_LENGTH], **KEEPALIVE},
        )
        try:
            for workflow_id, holder in self._held.items():
                if not holder.is_lost and not await _taken_again(session, workflow_id):
                    holder.lose()
        except BaseException:
            session.terminate()
            raise
        self._session = session
        session.add_termination_listener(self._ended)
        return session

    def _ended(self, session: asyncpg.Connection) -> None:
        if session is self._session and self._held:
            task = asyncio.get_running_loop().create_task(self._restore())
            self._restoring.add(task)
            task.add_done_callback(self._restoring.discard)

    async def _restore(self) -> None:
        async with self._turn:
            try:
                await self._opened()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                for holder in self._held.values():
                    holder.lose()


async def _taken_again(session: asyncpg.Connection, workflow_id: str) -> bool:
    for _ in range(RETAKE_TRIES):
        if await session.fetchval(_TRY, _key(workflow_id)):
            return True
        await asyncio.sleep(RETAKE_PAUSE_S)
    return False


async def _end(session: asyncpg.Connection) -> None:
    try:
        await session.close(timeout=CONNECT_TIMEOUT_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        session.terminate()


def _key(workflow_id: str) -> int:
    """The run's number among the advisory locks: 64 bits with a sign."""
    digest = hashlib.sha256(workflow_id.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _lost(workflow_id: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The connection to PostgreSQL that held run {workflow_id} was lost, so the run was "
        f"stopped. When the server is back, `mmm-workflows resume {workflow_id}` goes on with it."
    )

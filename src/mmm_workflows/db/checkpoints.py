"""LangGraph's checkpoints, opened in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from mmm_workflows.db.engine import BUSY_TIMEOUT_S, make_private_file
from mmm_workflows.errors import ServiceUnavailable


@asynccontextmanager
async def open_checkpointer(path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    """A saver on a SQLite file of mode 0600; its thread ends with the block.

    Raises:
        ServiceUnavailable: The file cannot be opened (``service_unavailable``).
        RuntimeError: LangGraph was imported before this package, so that a checkpoint could
            call any function when it is read.
    """
    if not _msgpack.STRICT_MSGPACK_ENABLED:
        raise RuntimeError("import mmm_workflows before langgraph: checkpoints would be unsafe")
    try:
        await asyncio.to_thread(make_private_file, path)
    except OSError as error:
        raise _unusable(path, error.strerror) from error
    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        try:
            await connection.execute("PRAGMA secure_delete=ON")
            saver = AsyncSqliteSaver(connection)
            await saver.setup()
        except aiosqlite.DatabaseError as error:
            raise _unusable(path, error) from error
        yield saver


async def delete_thread(saver: AsyncSqliteSaver, thread_id: str) -> None:
    """Remove the checkpoints of a thread, out of the write-ahead log too."""
    await saver.adelete_thread(thread_id)
    async with saver.lock:
        await saver.conn.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")


def _unusable(path: Path, cause: object) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The checkpoint file {path} cannot be used: {cause}. Set MMM_HOME to a folder that can "
        "be written, or move a damaged file away."
    )

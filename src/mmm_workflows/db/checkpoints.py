"""LangGraph's checkpoints, opened in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import aiosqlite
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from mmm_workflows.db.engine import BUSY_TIMEOUT_S, emptied_log, make_private_file
from mmm_workflows.db.patience import Patience
from mmm_workflows.db.sealing import CheckpointSerializer
from mmm_workflows.errors import ServiceUnavailable

type Saver = BaseCheckpointSaver[str]


@runtime_checkable
class Losable(Protocol):
    """A saver whose database may go away and come back."""

    def patient(self, patience: Patience) -> Saver:
        """The same checkpoints, for an execution that waits for them."""
        ...


def with_patience(saver: Saver, patience: Patience) -> Saver:
    """The saver for an execution that waits for a database that went away."""
    return saver.patient(patience) if isinstance(saver, Losable) else saver


@asynccontextmanager
async def open_checkpointer(path: Path, *, key: bytes | None = None) -> AsyncIterator[Saver]:
    """A saver on a SQLite file of mode 0600; its thread ends with the block.

    Args:
        path: The file; it is made when it is not there.
        key: 32 bytes that encrypt what is saved; None saves it in plain.

    Raises:
        ServiceUnavailable: The file cannot be opened (``service_unavailable``).
        RuntimeError: LangGraph was imported before this package, so that a checkpoint could
            call any function when it is read.
    """
    serializer = CheckpointSerializer(key)
    try:
        await asyncio.to_thread(make_private_file, path)
    except OSError as error:
        raise _unusable(path, error.strerror) from error
    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        try:
            await connection.execute("PRAGMA secure_delete=ON")
            saver = AsyncSqliteSaver(connection, serde=serializer)
            await saver.setup()
        except aiosqlite.DatabaseError as error:
            raise _unusable(path, error) from error
        yield saver


async def delete_thread(saver: Saver, thread_id: str) -> None:
    """Remove the checkpoints of a thread, out of SQLite's write-ahead log too.

    Raises:
        ServiceUnavailable: Another program wrote to the file, or read it, all the while, so that
            the text is still there; done again, this takes it out (``service_unavailable``).
    """
    try:
        await saver.adelete_thread(thread_id)
    except aiosqlite.OperationalError as error:
        if isinstance(saver, AsyncSqliteSaver):
            async with saver.lock:
                await saver.conn.rollback()  # a transaction left open would refuse all later writes
        raise ServiceUnavailable(
            f"The checkpoints could not be deleted: {error}. Another process may be standing still "
            "in the middle of writing them: end it, or let it go on, and delete again."
        ) from error
    if isinstance(saver, AsyncSqliteSaver):
        async with saver.lock:
            is_out = await emptied_log(saver.conn)
        if not is_out:
            raise ServiceUnavailable(
                "Another program is reading the checkpoint file, so deleted text is still on the "
                "disk. End that program, or wait until it is done, and delete again."
            )


def _unusable(path: Path, cause: object) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The checkpoint file {path} cannot be used: {cause}. Set MMM_HOME to a folder that can "
        "be written, or move a damaged file away."
    )

"""LangGraph's checkpoints on a PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection, AsyncCursor, Error
from psycopg.errors import UndefinedTable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import make_url

from mmm_workflows.db.engine import CONNECT_TIMEOUT_S, UNUSABLE_STATES, unavailable
from mmm_workflows.db.patience import Patience
from mmm_workflows.db.sealing import CheckpointSerializer, not_sealed

SETUP_LOCK: Final = 0x4D4D4E  # beside the one of the migrations
SETUP_POLL_S: Final = 0.1
POOL_SIZE: Final = 4
# One connection is used at a time, so that a wait means a server that is gone. A run that ends
# waits so long for each checkpoint that is still to be written.
POOL_WAIT_S: Final = 3
# Its pool says each failure to connect, which is told in our words.
POOL_LOGGER: Final = "psycopg.pool"


@asynccontextmanager
async def open_postgres_checkpointer(
    url: str, *, key: bytes | None = None
) -> AsyncIterator[PostgresSaver]:
    """A saver on a PostgreSQL, its tables made; its connections end with the block.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        key: 32 bytes that encrypt what is saved; None saves it in plain.

    Raises:
        ServiceUnavailable: The server cannot be reached or used (``service_unavailable``).
        RuntimeError: LangGraph was imported before this package (see ``CheckpointSerializer``).
    """
    serializer = CheckpointSerializer(key)
    options: dict[str, Any] = {
        "autocommit": True,
        "prepare_threshold": 0,
        "row_factory": dict_row,
        "connect_timeout": CONNECT_TIMEOUT_S,
    }
    with _told_in_our_words(url):
        async with await AsyncConnection.connect(url, **options) as connection:
            await _set_up(connection)
    logging.getLogger(POOL_LOGGER).setLevel(logging.ERROR)
    pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
        url,
        open=False,
        kwargs=options,
        min_size=1,
        max_size=POOL_SIZE,
        timeout=POOL_WAIT_S,
        # For longer, it would pause for minutes between its attempts, and find the server late.
        reconnect_timeout=POOL_WAIT_S,
        # A connection that the server ended while nobody used it is replaced, not handed out.
        check=AsyncConnectionPool.check_connection,
    )
    async with pool:
        yield PostgresSaver(pool, url, serializer)


class PostgresSaver(AsyncPostgresSaver):
    """A saver that keeps every value among the blobs, and fails in our words.

    Upstream writes text and numbers at the top of a state into a jsonb column as they are, past
    the serializer and so past its encryption; here each value goes into the blobs, in a list of
    its own.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[DictRow]],
        url: str,
        serializer: CheckpointSerializer,
        *,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(pool, serde=serializer)
        self._url = url
        self._pool = pool
        self._serializer = serializer
        self._is_sealing = serializer.is_sealing
        self._patience = patience

    def patient(self, patience: Patience) -> PostgresSaver:
        """The same checkpoints, for an execution that waits for them."""
        return PostgresSaver(self._pool, self._url, self._serializer, patience=patience)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        wrapped = {name: [value] for name, value in checkpoint["channel_values"].items()}
        kept: Checkpoint = {**checkpoint, "channel_values": wrapped}
        put = super().aput
        return await self._tried(lambda: put(config, kept, metadata, new_versions))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Save what a step wrote."""
        put = super().aput_writes
        await self._tried(lambda: put(config, writes, task_id, task_path))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The latest checkpoint of a thread, or the one that is named."""
        get = super().aget_tuple
        return await self._tried(lambda: get(config))

    async def _tried[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """All of them are safe to make again: a row is known by its key, and stays as it is."""
        return await (self._patience.keep_trying(attempt) if self._patience else attempt())

    def _load_blobs(self, blob_values: list[tuple[bytes, bytes, bytes]]) -> dict[str, Any]:
        return {name: value[0] for name, value in super()._load_blobs(blob_values).items()}

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        if self._is_sealing and value["checkpoint"].get("channel_values"):
            raise not_sealed()
        return await super()._load_checkpoint_tuple(value)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        with _told_in_our_words(self._url):
            async with super()._cursor(pipeline=pipeline) as cursor:
                yield cursor


async def _set_up(connection: AsyncConnection[DictRow]) -> None:
    """Make or migrate the tables, one process at a time."""
    if await _is_set_up(connection):
        return
    # Asked again and again: a session that waited within a statement would hold a snapshot, for
    # which the CREATE INDEX CONCURRENTLY of the one that holds the lock waits in turn.
    while not await _locked(connection):  # noqa: ASYNC110
        await asyncio.sleep(SETUP_POLL_S)
    try:
        await AsyncPostgresSaver(connection).setup()
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", (SETUP_LOCK,))


async def _is_set_up(connection: AsyncConnection[DictRow]) -> bool:
    try:
        query = await connection.execute("SELECT max(v) AS last FROM checkpoint_migrations")
    except UndefinedTable:
        return False
    row = await query.fetchone()
    last = len(AsyncPostgresSaver.MIGRATIONS) - 1
    return row is not None and row["last"] is not None and row["last"] >= last


async def _locked(connection: AsyncConnection[DictRow]) -> bool:
    query = await connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (SETUP_LOCK,))
    row = await query.fetchone()
    return row is not None and row["got"]


@contextmanager
def _told_in_our_words(url: str) -> Iterator[None]:
    try:
        yield
    except Error as error:
        # One that says no state was raised by the driver: there is no connection.
        if not (error.sqlstate or UNUSABLE_STATES[0]).startswith(UNUSABLE_STATES):
            raise
        raise unavailable(make_url(url), error) from error

"""The graph on a Neo4j server (5.26 or newer), by the official driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, LiteralString
from urllib.parse import urlsplit

from neo4j import AsyncDriver, AsyncGraphDatabase, AsyncManagedTransaction, unit_of_work
from neo4j.exceptions import AuthError, ClientError, DriverError, Neo4jError
from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.db import cypher
from mmm_workflows.db import graph_transactions as transactions
from mmm_workflows.db.engine import uninterrupted
from mmm_workflows.db.graph_transactions import Script
from mmm_workflows.errors import MMMError, ServiceUnavailable, SettingsError
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Period

SCHEMES: Final = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
DEFAULT_PORT: Final = 7687
EXPECTED: Final = f"Expected {', '.join(SCHEMES)} and a host, as in bolt://127.0.0.1:7687."
# Another client made the same constraint or index in between.
_MADE_BY_ANOTHER: Final = (
    "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
    "Neo.ClientError.Schema.ConstraintAlreadyExists",
    "Neo.ClientError.Schema.IndexAlreadyExists",
    "Neo.ClientError.Schema.ConstraintWithNameAlreadyExists",
    "Neo.ClientError.Schema.IndexWithNameAlreadyExists",
)
# Errors by which the server says that it, not the statement, is the cause.
_SERVER: Final = (
    "Neo.TransientError.",
    "Neo.DatabaseError.",
    "Neo.ClientError.Security.",
    "Neo.ClientError.Database.",
    "Neo.ClientError.Cluster.",
    "Neo.ClientError.General.",
    "Neo.ClientError.Transaction.",
)

type Work[T] = Callable[[AsyncManagedTransaction], Awaitable[T]]


class Neo4jLimits(BaseModel):
    """How long the server is waited for, in seconds, and how many connections are kept.

    Attributes:
        connect_timeout_s: For a connection, and for a free one when all are in use.
        query_timeout_s: For one transaction, on the server; it is ended there.
        retry_s: How long a transaction that failed for a passing reason is tried again.
        connections: Open at once, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_timeout_s: float = Field(5.0, gt=0)
    query_timeout_s: float = Field(30.0, gt=0)
    retry_s: float = Field(10.0, ge=0)
    connections: int = Field(10, ge=1)

    @property
    def whole_s(self) -> float:
        """When a call is given up even if the server says nothing at all."""
        return 2 * self.connect_timeout_s + self.query_timeout_s + self.retry_s


async def open_neo4j(
    uri: str,
    *,
    user: str,
    password: str,
    database: str = "neo4j",
    limits: Neo4jLimits | None = None,
) -> Neo4jGraph:
    """The graph on a server that answered; ``await graph.aclose()`` closes its connections.

    Raises:
        SettingsError: The address is none that Neo4j has, or holds a user or password.
        ServiceUnavailable: The server cannot be reached, refuses the user or lacks the database.
    """
    address = _checked(uri)
    held = limits or Neo4jLimits()
    driver = AsyncGraphDatabase.driver(
        uri,
        auth=(user, password),
        connection_timeout=held.connect_timeout_s,
        connection_acquisition_timeout=2 * held.connect_timeout_s,
        max_connection_pool_size=held.connections,
        max_transaction_retry_time=held.retry_s,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
    )
    graph = Neo4jGraph(driver, database=database, address=address, limits=held)
    try:
        await graph.check()
    except BaseException:
        await graph.aclose()
        raise
    return graph


class Neo4jGraph:
    """``ports.Graph`` over a driver; every method is one transaction, tried again by the driver."""

    def __init__(
        self, driver: AsyncDriver, *, database: str, address: str, limits: Neo4jLimits
    ) -> None:
        self._driver = driver
        self._database = database
        self._address = address
        self._limits = limits

    async def check(self) -> None:
        """Ask the server and its database for one answer, without trying again.

        Raises:
            ServiceUnavailable: There is no answer.
        """
        async with self._told(), self._driver.session(database=self._database) as session:
            await (await session.run(cypher.ANSWER)).consume()

    @uninterrupted
    async def prepare(self) -> None:
        """Make the constraints and indexes that are missing; safe beside others that do the same.

        Raises:
            ServiceUnavailable: The server cannot be reached or failed.
        """
        for statement in cypher.NEO4J_SCHEMA:
            async with self._told():
                try:
                    await self._state(statement)
                except Neo4jError as error:
                    if error.code not in _MADE_BY_ANOTHER:
                        raise
        async with self._told():
            await self._state(cypher.NEO4J_AWAIT_INDEXES)

    async def add(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Write nodes and edges in one transaction; those that are there stay as they are.

        Raises:
            ServiceUnavailable: The server cannot be reached or failed; the write may be repeated.
            MMMError: An end of an edge is not there.
        """
        await self._write(lambda: transactions.add(nodes, edges, labels=True))

    async def expire(self, project: str, edge_ids: Sequence[str], *, at: datetime) -> None:
        """Say from when on edges are known to hold no more; the first moment stays.

        Raises:
            ServiceUnavailable: The server cannot be reached or failed; the write may be repeated.
        """
        await self._write(lambda: transactions.expire(project, edge_ids, at=at))

    async def nodes(
        self, project: str, *, kind: NodeKind | None = None, ids: Sequence[str] | None = None
    ) -> list[Node]:
        """The nodes of a project, by kind or id, ordered by id."""
        return await self._read(lambda: transactions.nodes(project, kind=kind, ids=ids))

    async def neighbourhood(
        self,
        project: str,
        ids: Sequence[str],
        *,
        hops: int = 2,
        at: datetime | None = None,
        about: Period | None = None,
    ) -> tuple[list[Node], list[Edge]]:
        """These nodes and what is reached over at most ``hops`` edges; see ``ports.Graph``."""
        return await self._read(
            lambda: transactions.neighbourhood(project, ids, hops=hops, at=at, about=about)
        )

    async def edges_near(
        self,
        project: str,
        ids: Sequence[str],
        *,
        hops: int = 2,
        at: datetime | None = None,
        about: Period | None = None,
    ) -> list[Edge]:
        """The edges of a neighbourhood without its nodes."""
        return await self._read(
            lambda: transactions.edges_near(project, ids, hops=hops, at=at, about=about)
        )

    async def edges_of_kinds(
        self, project: str, ids: Sequence[str], kinds: Sequence[EdgeKind], *, at: datetime | None
    ) -> list[Edge]:
        """The edges of some kinds at some nodes that were written by a moment, ended ones too."""
        return await self._read(lambda: transactions.edges_of_kinds(project, ids, kinds, at=at))

    async def everything(self, project: str) -> tuple[list[Node], list[Edge]]:
        """The whole graph of a project, expired edges included."""
        return await self._read(lambda: transactions.everything(project))

    async def forget(self, project: str, *, workflow_id: str | None = None) -> int:
        """Delete what a run wrote, or a whole project; the number of nodes that are gone.

        The server's transaction log may hold the text until it is rotated out.

        Raises:
            ServiceUnavailable: The server cannot be reached or failed; it may be repeated.
        """
        return await self._write(lambda: transactions.forget(project, workflow_id=workflow_id))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._driver.close()

    @uninterrupted
    async def _write[T](self, script: Script[T]) -> T:
        async with self._told(), self._driver.session(database=self._database) as session:
            return await session.execute_write(self._timed(script))

    async def _read[T](self, script: Script[T]) -> T:
        async with self._told(), self._driver.session(database=self._database) as session:
            return await session.execute_read(self._timed(script))

    def _timed[T](self, script: Script[T]) -> Work[T]:
        @unit_of_work(timeout=self._limits.query_timeout_s)
        async def work(transaction: AsyncManagedTransaction) -> T:
            return await _driven(transaction, script)

        return work

    async def _state(self, statement: LiteralString) -> None:
        async def work(transaction: AsyncManagedTransaction) -> None:
            await (await transaction.run(statement)).consume()

        async with self._driver.session(database=self._database) as session:
            await session.execute_write(work)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Turn the driver's and the server's errors into ours, and wait no longer than agreed."""
        try:
            async with asyncio.timeout(self._limits.whole_s):
                yield
        except TimeoutError as error:
            raise self._unreachable(f"no answer in {self._limits.whole_s:g} s") from error
        except AuthError as error:
            raise self._unreachable(
                f"it refuses the user ({error.code}); set NEO4J_USER and NEO4J_PASSWORD"
            ) from error
        except Neo4jError as error:
            code = error.code or "no code"
            if code.startswith(_SERVER):
                raise self._unreachable(code) from error
            raise MMMError(f"Neo4j at {self._address} refused a statement: {code}.") from error
        except (DriverError, OSError) as error:
            raise self._unreachable(type(error).__name__) from error

    def _unreachable(self, cause: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The graph on Neo4j at {self._address}, database {self._database!r}, cannot be used: "
            f"{cause}. Check NEO4J_URI and that the server runs, then try again."
        )


class _TryAgain(DriverError):
    """What the driver's own retrying takes for a passing failure."""

    def is_retryable(self) -> bool:
        """True: the driver tries again as after a deadlock."""
        return True


async def _driven[T](transaction: AsyncManagedTransaction, script: Script[T]) -> T:
    steps = script()
    try:
        step = next(steps)
        while True:
            answer = await transaction.run(step.statement, step.parameters)
            step = steps.send(await answer.values())
    except StopIteration as done:
        result: T = done.value
        return result
    except ClientError as error:
        if error.code == "Neo.ClientError.Statement.EntityNotFound":
            raise _TryAgain(error.code) from error
        raise
    except transactions.Overtaken as error:
        raise _TryAgain("a deletion came in between") from error


def _checked(uri: str) -> str:
    """Host and port, for messages: an address may hold secrets that it must not."""
    try:
        parts = urlsplit(uri)
        scheme, host, port = parts.scheme, parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise SettingsError(f"NEO4J_URI cannot be read: {error}. {EXPECTED}") from None
    if parts.username is not None or parts.password is not None:
        raise SettingsError(
            "NEO4J_URI holds a user or a password. Set NEO4J_USER and NEO4J_PASSWORD instead."
        )
    if scheme not in SCHEMES or not host:
        raise SettingsError(f"NEO4J_URI has the scheme {scheme!r} and host {host!r}. {EXPECTED}")
    return f"{host}:{port}"

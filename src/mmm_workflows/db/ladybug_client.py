"""The graph without a server: Ladybug, an embedded Cypher database in one file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

from mmm_workflows.allocator import cleared
from mmm_workflows.db import graph_transactions as transactions
from mmm_workflows.db.engine import uninterrupted
from mmm_workflows.db.graph_transactions import Script
from mmm_workflows.db.ladybug_file import GraphFile
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Period

POOL_BYTES: Final = 256 * 1024 * 1024
PREPARE_WAIT_S: Final = 10.0
PREPARE_POLL_S: Final = 0.05


async def open_ladybug(
    folder: Path, *, pool_bytes: int = POOL_BYTES, threads: int = 2
) -> LadybugGraph:
    """The graph in a folder; ``await graph.aclose()`` ends its thread and frees the file.

    The first opener owns the file: it alone writes. Any other opener, in this process or another,
    reads; its writes are refused until the owner has ended, then it becomes the owner.

    Raises:
        ServiceUnavailable: The folder or the file cannot be used (``service_unavailable``).
    """
    graph = LadybugGraph(GraphFile(folder, pool_bytes=pool_bytes, threads=threads))
    try:
        await graph.open()
    except BaseException:
        await graph.aclose()
        raise
    return graph


class LadybugGraph:
    """``ports.Graph`` over a ``GraphFile``, whose calls run one by one in a thread of their own."""

    def __init__(self, file: GraphFile) -> None:
        self._file = file
        # One thread is one writer: Ladybug fails a second write transaction at once.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ladybug")
        self._is_closed = False

    @property
    def is_owner(self) -> bool:
        """Whether writes are taken here, or by another opener."""
        return self._file.is_owner

    async def open(self) -> None:
        """Open the file; needed once, before everything else."""
        await self._in_thread(self._file.open)

    async def prepare(self) -> None:
        """See that the tables are there; safe beside any other opener that does the same.

        Raises:
            ServiceUnavailable: Another process owns the file and does not make the tables.
        """
        until = time.monotonic() + PREPARE_WAIT_S
        while True:
            try:
                await self._in_thread(self._file.open)
                await self._read(lambda: transactions.nodes("", kind=None, ids=()))
            except ServiceUnavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(PREPARE_POLL_S)
            else:
                return

    async def add(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Write nodes and edges in one transaction; those that are there stay as they are.

        Raises:
            ServiceUnavailable: Another process owns the file, or it cannot be used.
            MMMError: An end of an edge is not there.
        """
        await self._write(lambda: transactions.add(nodes, edges, labels=False))

    async def expire(self, project: str, edge_ids: Sequence[str], *, at: datetime) -> None:
        """Say from when on edges are known to hold no more; the first moment stays.

        Raises:
            ServiceUnavailable: Another process owns the file, or it cannot be used.
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

        Raises:
            ServiceUnavailable: Another process owns the file, or it cannot be used.
        """
        return await self._in_thread(lambda: self._file.forget(project, workflow_id=workflow_id))

    async def aclose(self) -> None:
        """Close the file and end the thread; a second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            await self._in_thread(self._file.close)
            self._thread.shutdown()

    async def _write[T](self, script: Script[T]) -> T:
        return await self._in_thread(lambda: self._file.write(script))

    async def _read[T](self, script: Script[T]) -> T:
        return await self._in_thread(lambda: self._file.read(script))

    @uninterrupted
    async def _in_thread[T](self, work: Callable[[], T]) -> T:
        def clear() -> T:
            # Ladybug writes its pages whole, with what was in their memory before.
            with cleared():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, clear)

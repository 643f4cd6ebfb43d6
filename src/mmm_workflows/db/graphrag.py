"""Memory: what earlier runs found and decided, by meaning, by words and by what hangs together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.db.recalling import SPARE, WIDER, Recalling
from mmm_workflows.db.stores import Stores, attempt
from mmm_workflows.mmm.knowledge import Edge, Node, NodeKind, Passage
from mmm_workflows.mmm.recall import WEIGHTS, Recall, Repair, Scope, Way, WayUse
from mmm_workflows.mmm.standing import VERSIONED, contradictions, no_longer_current
from mmm_workflows.ports import Embedder, Graph, Keywords, Vectors

EMBEDDED_AT_ONCE: Final = 256


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What is kept of a project, by ids.

    Attributes:
        workflow_ids: The runs that wrote any of it.
        has_graph: Whether the graph could be looked at.
    """

    passages: frozenset[str]
    nodes: frozenset[str]
    edges: frozenset[str]
    workflow_ids: frozenset[str]
    has_graph: bool


class Memory:
    """Keeps passages in three stores and finds them again; the text in ``keywords`` is the truth.

    Args:
        keywords: The text of all passages, in the run database.
        vectors: None where there is no vector store.
        embedder: The model whose vectors are stored; None where there is none.
        graph: None where there is no graph.
        absent: Why a store is None, told with every answer.
        weights: How much each way counts in the order.
    """

    def __init__(
        self,
        keywords: Keywords,
        *,
        vectors: Vectors | None = None,
        embedder: Embedder | None = None,
        graph: Graph | None = None,
        absent: Mapping[Way, str] | None = None,
        weights: Mapping[Way, float] = WEIGHTS,
    ) -> None:
        self.stores = Stores(
            keywords=keywords,
            maybe_vectors=vectors,
            maybe_embedder=embedder,
            maybe_graph=graph,
            absent=dict(absent or {}),
        )
        self._weights = weights

    async def recall(
        self,
        question: str,
        *,
        scope: Scope,
        k: int,
        ways: Collection[Way] = tuple(Way),
    ) -> Recall:
        """The ``k`` passages of a project that may answer, with the ways that were used.

        A way whose store is absent or fails is left out and said to be; without the text in
        the run database there is nothing to return. What was superseded says by what, and stands
        below it; without the graph nothing is known to be.

        Args:
            question: In plain words; it is searched for and never run as a query.
            scope: The project, and what of it may answer.
            k: At most so many.
            ways: Those that count in the order; the graph is walked from what the others find.

        Raises:
            ServiceUnavailable: The run database cannot be read.
        """
        recalling = Recalling(
            stores=self.stores,
            weights=self._weights,
            question=question,
            scope=scope,
            depth=(k + SPARE) * (WIDER if scope.current else 1),
            ways=ways,
        )
        return await recalling.run(k)

    async def remember(
        self,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        passages: Sequence[Passage],
        *,
        ways: Collection[Way] = tuple(Way),
    ) -> tuple[WayUse, ...]:
        """Write to all stores, or to those of some ways, the text first; which of them took it.

        What is there stays as it is, so the whole call can be made again when a store that did
        not take it is back.

        Raises:
            ServiceUnavailable: The run database cannot be written; nothing was.
        """
        uses: list[WayUse] = []
        if Way.KEYWORDS in ways:
            await self.stores.keywords.add(passages)
            uses.append(WayUse(way=Way.KEYWORDS, count=len(passages)))
        if Way.VECTORS in ways:
            uses.append((await attempt(Way.VECTORS, self._index(passages), 0))[1])
        if Way.GRAPH in ways:
            uses.append((await attempt(Way.GRAPH, self._link(nodes, edges), None))[1])
        return tuple(uses)

    async def holdings(self, project: str) -> Holdings:
        """What is kept of a project, by ids."""
        passages = await self.stores.keywords.passages(project)
        nothing: tuple[list[Node], list[Edge]] = ([], [])
        (nodes, edges), graph = await attempt(Way.GRAPH, self.everything(project), nothing)
        return Holdings(
            passages=frozenset(passage.passage_id for passage in passages),
            nodes=frozenset(node.node_id for node in nodes),
            edges=frozenset(edge.edge_id for edge in edges),
            workflow_ids=frozenset(known.workflow_id for known in (*passages, *nodes, *edges)),
            has_graph=graph.ran,
        )

    async def everything(self, project: str) -> tuple[list[Node], list[Edge]]:
        """The whole graph of a project.

        Raises:
            ServiceUnavailable: There is no graph here.
        """
        return await self.stores.graph.everything(project)

    async def around(self, project: str, ids: Sequence[str]) -> tuple[list[Node], list[Edge]]:
        """Some nodes of a project, and what stands beside them now.

        Raises:
            ServiceUnavailable: There is no graph here.
        """
        return await self.stores.graph.neighbourhood(project, ids, hops=1)

    async def forget(
        self,
        project: str,
        *,
        workflow_id: str | None = None,
        ways: Collection[Way] = tuple(Way),
    ) -> tuple[WayUse, ...]:
        """Delete what a run wrote, or a whole project, from all stores or some; which of them did.

        A store that did not is to be asked again; vectors that are left over have lost their
        text and are dropped by ``repair``.

        Raises:
            ServiceUnavailable: The run database cannot be written.
        """
        uses: list[WayUse] = []
        if Way.KEYWORDS in ways:
            await self.stores.keywords.forget(project, workflow_id=workflow_id)
            uses.append(WayUse(way=Way.KEYWORDS))
        if Way.VECTORS in ways:
            gone = self._forget_vectors(project, workflow_id)
            uses.append((await attempt(Way.VECTORS, gone, None))[1])
        if Way.GRAPH in ways:
            uses.append((await attempt(Way.GRAPH, self._forget_graph(project, workflow_id), 0))[1])
        return tuple(uses)

    async def repair(self, project: str) -> Repair:
        """Give a vector to each passage without one, drop vectors without text, count lost nodes.

        Safe to run at any time, and again after a process that ran it has died.

        Raises:
            ServiceUnavailable: The run database cannot be read.
        """
        passages = await self.stores.keywords.passages(project)
        (indexed, dropped), vectors = await attempt(
            Way.VECTORS, self._reindex(project, passages), (0, 0)
        )
        lost, graph = await attempt(Way.GRAPH, self._lost_nodes(project, passages), ())
        stores = (WayUse(way=Way.KEYWORDS, count=len(passages)), vectors, graph)
        return Repair(indexed=indexed, dropped=dropped, without_node=lost, stores=stores)

    async def index(self, project: str) -> WayUse:
        """Give a vector to each passage of a project without one; whether the store could.

        Raises:
            ServiceUnavailable: The run database cannot be read.
        """
        passages = await self.stores.keywords.passages(project)
        return (await attempt(Way.VECTORS, self._index_missing(project, passages), 0))[1]

    async def rebuild(self, project: str) -> Repair:
        """Make all vectors of a project anew from its text, as after a change of the model."""
        await attempt(Way.VECTORS, self._forget_vectors(project, None), None)
        return await self.repair(project)

    async def _index(self, passages: Sequence[Passage]) -> int:
        vectors, embedder = self.stores.vectors, self.stores.embedder
        for start in range(0, len(passages), EMBEDDED_AT_ONCE):
            some = passages[start : start + EMBEDDED_AT_ONCE]
            await vectors.add(some, await embedder.embed([passage.text for passage in some]))
        return len(passages)

    async def _link(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        await self.stores.graph.add(nodes, edges)
        for project in dict.fromkeys(node.project for node in nodes):
            await self._settle(project, [n for n in nodes if n.project == project])

    async def _settle(self, project: str, nodes: Sequence[Node]) -> None:
        """Let what is new end what it replaces, and stand against what it contradicts."""
        graph = self.stores.graph
        versioned = [node.node_id for node in nodes if node.kind in VERSIONED]
        if versioned:
            _, around = await graph.neighbourhood(project, versioned, hops=1)
            for at, edge_ids in no_longer_current(around).items():
                await graph.expire(project, edge_ids, at=at)
        new = [node.node_id for node in nodes if node.kind is NodeKind.CLAIM]
        if new:
            _, joined = await graph.neighbourhood(project, new, hops=1)
            claims = await graph.nodes(project, kind=NodeKind.CLAIM)
            await graph.add((), contradictions(claims, new, joined))

    async def _forget_vectors(self, project: str, workflow_id: str | None) -> None:
        # No model is needed to delete.
        await self.stores.vectors.forget(project, workflow_id=workflow_id)

    async def _forget_graph(self, project: str, workflow_id: str | None) -> int:
        return await self.stores.graph.forget(project, workflow_id=workflow_id)

    async def _reindex(self, project: str, passages: Sequence[Passage]) -> tuple[int, int]:
        there = await self.stores.vectors.ids(project)
        left_over = there - {passage.passage_id for passage in passages}
        if left_over:
            # A single vector cannot be deleted without a trace; all of them can.
            await self.stores.vectors.forget(project)
            there = set()
        missing = [passage for passage in passages if passage.passage_id not in there]
        return await self._index(missing), len(left_over)

    async def _index_missing(self, project: str, passages: Sequence[Passage]) -> int:
        there = await self.stores.vectors.ids(project)
        missing = [passage for passage in passages if passage.passage_id not in there]
        # No model is needed where none is missing.
        return await self._index(missing) if missing else 0

    async def _lost_nodes(self, project: str, passages: Sequence[Passage]) -> tuple[str, ...]:
        wanted = sorted({passage.node_id for passage in passages})
        there = {node.node_id for node in await self.stores.graph.nodes(project, ids=wanted)}
        return tuple(name for name in wanted if name not in there)

"""Memory: what earlier runs found and decided, by meaning, by words and by what hangs together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.knowledge import Edge, Hit, Node, Passage
from mmm_workflows.mmm.recall import (
    WEIGHTS,
    Ranking,
    Reached,
    Recall,
    Recalled,
    Repair,
    Way,
    WayUse,
    fuse,
    spread,
    total,
)
from mmm_workflows.ports import Embedder, Graph, Keywords, Vectors

HOPS: Final = 2
# How many passages more than asked for each way may put forward: with the constant 60, a long list
# lifts what stands low in two of them above what stands first in one (measured, see WEIGHTS).
SPARE: Final = 3
# From how many passages the graph is walked.
SEEDS: Final = 3
EMBEDDED_AT_ONCE: Final = 256


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
        self._keywords = keywords
        self._maybe_vectors = vectors
        self._maybe_embedder = embedder
        self._maybe_graph = graph
        self._absent = dict(absent or {})
        self._weights = weights

    async def recall(
        self,
        question: str,
        *,
        project: str,
        k: int,
        at: datetime | None = None,
        ways: Collection[Way] = tuple(Way),
    ) -> Recall:
        """The ``k`` passages of a project that may answer, with the ways that were used.

        A way whose store is absent or fails is left out and said to be; without the text in
        the run database there is nothing to return.

        Args:
            question: In plain words; it is searched for and never run as a query.
            project: Nothing of another project is looked at.
            k: At most so many.
            at: As known at that moment; None for now.
            ways: Those that count in the order; the graph is walked from what the others find.

        Raises:
            ServiceUnavailable: The run database cannot be read.
        """
        depth = k + SPARE
        (meant, by_meaning), (said, by_words) = await asyncio.gather(
            _attempt(Way.VECTORS, self._by_meaning(question, project, depth, at), []),
            _attempt(Way.KEYWORDS, self._by_words(question, project, depth, at), []),
        )
        text = await self._text(project, {hit.passage_id for hit in (*meant, *said)}, at)
        rankings: dict[Way, Ranking] = {
            way: [(hit.passage_id, hit.score) for hit in hits if hit.passage_id in text]
            for way, hits in ((Way.VECTORS, meant), (Way.KEYWORDS, said))
        }
        uses, reached = [by_meaning, by_words], dict[str, Reached]()
        if Way.GRAPH in ways:
            walk = self._by_graph(self._seeds(rankings, text), project, at)
            reached, by_graph = await _attempt(Way.GRAPH, walk, {})
            nearby = await self._about(project, reached, depth, at)
            text |= nearby
            rankings[Way.GRAPH] = [
                (name, reached[p.node_id].strength) for name, p in nearby.items()
            ]
            uses.append(by_graph.model_copy(update={"count": len(nearby)}))
        chosen = {way: ranking for way, ranking in rankings.items() if way in ways}
        found = tuple(
            Recalled(
                passage=text[name], score=total(parts), parts=parts, path=_path(text[name], reached)
            )
            for name, parts in fuse(chosen, weights=self._weights)[:k]
        )
        used = tuple(use for use in uses if use.way in ways)
        return Recall(question=question, project=project, at=at, found=found, ways=used)

    async def remember(
        self, nodes: Sequence[Node], edges: Sequence[Edge], passages: Sequence[Passage]
    ) -> tuple[WayUse, ...]:
        """Write to all stores, the text first; which of them took it.

        What is there stays as it is, so the whole call can be made again when a store that did
        not take it is back.

        Raises:
            ServiceUnavailable: The run database cannot be written; nothing was.
        """
        await self._keywords.add(passages)
        _, vectors = await _attempt(Way.VECTORS, self._index(passages), 0)
        _, graph = await _attempt(Way.GRAPH, self._link(nodes, edges), None)
        return WayUse(way=Way.KEYWORDS, count=len(passages)), vectors, graph

    async def workflow_ids(self, project: str) -> set[str]:
        """The runs of a project of which something is kept."""
        return {p.workflow_id for p in await self._keywords.passages(project)}

    async def everything(self, project: str) -> tuple[list[Node], list[Edge]]:
        """The whole graph of a project.

        Raises:
            ServiceUnavailable: There is no graph here.
        """
        return await self._graph.everything(project)

    async def forget(self, project: str, *, workflow_id: str | None = None) -> tuple[WayUse, ...]:
        """Delete what a run wrote, or a whole project, from all stores; which of them did.

        A store that did not is to be asked again; vectors that are left over have lost their
        text and are dropped by ``repair``.

        Raises:
            ServiceUnavailable: The run database cannot be written.
        """
        await self._keywords.forget(project, workflow_id=workflow_id)
        _, vectors = await _attempt(Way.VECTORS, self._forget_vectors(project, workflow_id), None)
        _, graph = await _attempt(Way.GRAPH, self._forget_graph(project, workflow_id), 0)
        return WayUse(way=Way.KEYWORDS), vectors, graph

    async def repair(self, project: str) -> Repair:
        """Give a vector to each passage without one, drop vectors without text, count lost nodes.

        Safe to run at any time, and again after a process that ran it has died.

        Raises:
            ServiceUnavailable: The run database cannot be read.
        """
        passages = await self._keywords.passages(project)
        (indexed, dropped), vectors = await _attempt(
            Way.VECTORS, self._reindex(project, passages), (0, 0)
        )
        lost, graph = await _attempt(Way.GRAPH, self._lost_nodes(project, passages), ())
        stores = (WayUse(way=Way.KEYWORDS, count=len(passages)), vectors, graph)
        return Repair(indexed=indexed, dropped=dropped, without_node=lost, stores=stores)

    async def rebuild(self, project: str) -> Repair:
        """Make all vectors of a project anew from its text, as after a change of the model."""
        await _attempt(Way.VECTORS, self._forget_vectors(project, None), None)
        return await self.repair(project)

    async def _by_meaning(
        self, question: str, project: str, k: int, at: datetime | None
    ) -> list[Hit]:
        vectors = self._vectors
        vector = (await self._embedder.embed([question]))[0]
        return await vectors.nearest(vector, project=project, k=k, until=at)

    async def _by_words(
        self, question: str, project: str, k: int, at: datetime | None
    ) -> list[Hit]:
        return await self._keywords.search(question, project=project, k=k, until=at)

    async def _by_graph(
        self, seeds: Mapping[str, float], project: str, at: datetime | None
    ) -> dict[str, Reached]:
        if not seeds:
            return {}
        _, edges = await self._graph.neighbourhood(project, sorted(seeds), hops=HOPS, at=at)
        return spread(seeds, edges, hops=HOPS)

    def _seeds(
        self, rankings: Mapping[Way, Ranking], text: Mapping[str, Passage]
    ) -> dict[str, float]:
        """The nodes of the best passages found directly, weighted by their scores."""
        seeds: dict[str, float] = {}
        for name, parts in fuse(rankings, weights=self._weights)[:SEEDS]:
            node = text[name].node_id
            seeds[node] = seeds.get(node, 0.0) + total(parts)
        return seeds

    async def _text(
        self, project: str, ids: Collection[str], at: datetime | None
    ) -> dict[str, Passage]:
        return _known(await self._keywords.passages(project, sorted(ids)), at)

    async def _about(
        self, project: str, reached: Mapping[str, Reached], k: int, at: datetime | None
    ) -> dict[str, Passage]:
        """The passages about the nodes that got most, in the order of what they got."""
        nodes = sorted(reached, key=lambda node: (-reached[node].strength, node))[: 2 * k]
        found = _known(await self._keywords.about(project, nodes), at)
        order = sorted(found, key=lambda name: (-reached[found[name].node_id].strength, name))
        return {name: found[name] for name in order[:k]}

    async def _index(self, passages: Sequence[Passage]) -> int:
        vectors, embedder = self._vectors, self._embedder
        for start in range(0, len(passages), EMBEDDED_AT_ONCE):
            some = passages[start : start + EMBEDDED_AT_ONCE]
            await vectors.add(some, await embedder.embed([passage.text for passage in some]))
        return len(passages)

    async def _link(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        await self._graph.add(nodes, edges)

    async def _forget_vectors(self, project: str, workflow_id: str | None) -> None:
        # No model is needed to delete.
        if self._maybe_vectors is None:
            raise self._is_absent(Way.VECTORS)
        await self._maybe_vectors.forget(project, workflow_id=workflow_id)

    async def _forget_graph(self, project: str, workflow_id: str | None) -> int:
        return await self._graph.forget(project, workflow_id=workflow_id)

    async def _reindex(self, project: str, passages: Sequence[Passage]) -> tuple[int, int]:
        there = await self._vectors.ids(project)
        left_over = there - {passage.passage_id for passage in passages}
        if left_over:
            # A single vector cannot be deleted without a trace; all of them can.
            await self._vectors.forget(project)
            there = set()
        missing = [passage for passage in passages if passage.passage_id not in there]
        return await self._index(missing), len(left_over)

    async def _lost_nodes(self, project: str, passages: Sequence[Passage]) -> tuple[str, ...]:
        wanted = sorted({passage.node_id for passage in passages})
        there = {node.node_id for node in await self._graph.nodes(project, ids=wanted)}
        return tuple(name for name in wanted if name not in there)

    @property
    def _vectors(self) -> Vectors:
        if self._maybe_vectors is None:
            raise self._is_absent(Way.VECTORS)
        return self._maybe_vectors

    @property
    def _embedder(self) -> Embedder:
        if self._maybe_embedder is None:
            raise self._is_absent(Way.VECTORS)
        return self._maybe_embedder

    @property
    def _graph(self) -> Graph:
        if self._maybe_graph is None:
            raise self._is_absent(Way.GRAPH)
        return self._maybe_graph

    def _is_absent(self, way: Way) -> ServiceUnavailable:
        return ServiceUnavailable(self._absent.get(way, f"There is no store for {way}."))


async def _attempt[T](way: Way, work: Coroutine[Any, Any, T], otherwise: T) -> tuple[T, WayUse]:
    """What a store answered; where it cannot be used, what stands for nothing, and why."""
    try:
        answer = await work
    except ServiceUnavailable as error:
        return otherwise, WayUse(way=way, reason=error.message)
    return answer, WayUse(way=way, count=len(answer) if isinstance(answer, list) else 0)


def _known(passages: Iterable[Passage], at: datetime | None) -> dict[str, Passage]:
    return {p.passage_id: p for p in passages if at is None or p.created_at <= at}


def _path(passage: Passage, reached: Mapping[str, Reached]) -> tuple[Edge, ...]:
    found = reached.get(passage.node_id)
    return found.path if found else ()

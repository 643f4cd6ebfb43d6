"""How passages are found: by meaning and words at once, then by what hangs on those in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mmm_workflows.db.stores import Stores, attempt
from mmm_workflows.db.superseding import superseded
from mmm_workflows.mmm.knowledge import Edge, Hit, Passage
from mmm_workflows.mmm.recall import (
    Ranking,
    Reached,
    Recall,
    Recalled,
    Scope,
    ScorePart,
    Superseded,
    Way,
    WayUse,
    fuse,
    newest_first,
    spread,
    total,
)

HOPS: Final = 2
# How many passages more than asked for each way may put forward: with the constant 60, a long list
# lifts what stands low in two of them above what stands first in one (measured, see WEIGHTS).
SPARE: Final = 3
# From how many passages the graph is walked.
SEEDS: Final = 3
# How many times as many each way puts forward where not all of a project may answer, and how many
# vectors are looked at at most for it.
WIDER: Final = 4
MOST_VECTORS: Final = 2048

type _Fused = list[tuple[str, tuple[ScorePart, ...]]]


@dataclass(frozen=True, kw_only=True)
class Recalling:
    """One question to the stores; see ``Memory.recall``.

    Attributes:
        depth: How many passages each way puts forward.
        ways: Those that count in the order.
    """

    stores: Stores
    weights: Mapping[Way, float]
    question: str
    scope: Scope
    depth: int
    ways: Collection[Way]

    async def run(self, k: int) -> Recall:
        """The ``k`` best passages."""
        (meant, by_meaning), (said, by_words) = await asyncio.gather(
            attempt(Way.VECTORS, self._by_meaning(), []),
            attempt(Way.KEYWORDS, self._by_words(), []),
        )
        text = await self._text({hit.passage_id for hit in (*meant, *said)})
        rankings: dict[Way, Ranking] = {
            way: [(hit.passage_id, hit.score) for hit in hits if hit.passage_id in text]
            for way, hits in ((Way.VECTORS, meant), (Way.KEYWORDS, said))
        }
        direct = fuse(rankings, weights=self.weights)[: self.depth]
        reached, by_graph = await attempt(Way.GRAPH, self._walk(direct, text), {})
        # Beside each other: one is in the run database, the other in the graph.
        nearby, (ended, by_graph) = await asyncio.gather(
            self._about(reached), self._superseded([text[n] for n, _ in direct], by_graph)
        )
        rankings[Way.GRAPH] = [(name, reached[p.node_id].strength) for name, p in nearby.items()]
        chosen = {way: ranking for way, ranking in rankings.items() if way in self.ways}
        fused = fuse(chosen, weights=self.weights)[: self.depth]
        text |= nearby
        asked = {name for name, _ in direct}
        further = [text[name] for name, _ in fused if name not in asked]
        more, by_graph = await self._superseded(further, by_graph)
        ended |= more
        found = self._told(fused, text, reached, ended)
        uses = (by_meaning, by_words, by_graph.model_copy(update={"count": len(nearby)}))
        return Recall(
            question=self.question,
            scope=self.scope,
            found=tuple(found[:k]),
            ways=tuple(use for use in uses if use.way in self.ways),
        )

    def _told(
        self,
        fused: _Fused,
        text: Mapping[str, Passage],
        reached: Mapping[str, Reached],
        ended: Mapping[str, Superseded],
    ) -> list[Recalled]:
        return newest_first(
            [
                Recalled(
                    passage=text[name],
                    score=total(parts),
                    parts=parts,
                    path=_path(text[name], reached),
                    superseded=ended.get(name),
                )
                for name, parts in fused
                if not (self.scope.current and name in ended)
            ]
        )

    async def _by_meaning(self) -> list[Hit]:
        vectors, project, k = self.stores.vectors, self.scope.project, self.depth
        vector = (await self.stores.embedder.embed([self.question]))[0]
        if self.scope.is_whole:
            return await vectors.nearest(vector, project=project, k=k)
        # A vector knows no period, and to ask for a moment costs more than to look at more of them.
        wanted, until = WIDER * k, None
        while True:
            hits = await vectors.nearest(vector, project=project, k=wanted, until=until)
            there = await self._text({hit.passage_id for hit in hits})
            kept = [hit for hit in hits if hit.passage_id in there]
            if len(kept) >= k or len(hits) < wanted or wanted >= MOST_VECTORS:
                return kept[:k]
            wanted, until = min(WIDER * wanted, MOST_VECTORS), self.scope.at

    async def _by_words(self) -> list[Hit]:
        scope = self.scope
        return await self.stores.keywords.search(
            self.question, project=scope.project, k=self.depth, until=scope.at, about=scope.about
        )

    async def _walk(self, direct: _Fused, text: Mapping[str, Passage]) -> dict[str, Reached]:
        """What is reached from the nodes of the best passages found directly."""
        seeds: dict[str, float] = {}
        for name, parts in direct[:SEEDS]:
            node = text[name].node_id
            seeds[node] = seeds.get(node, 0.0) + total(parts)
        if not seeds or Way.GRAPH not in self.ways:
            return {}
        scope = self.scope
        edges = await self.stores.graph.edges_near(
            scope.project, sorted(seeds), hops=HOPS, at=scope.at, about=scope.about
        )
        return spread(seeds, edges, hops=HOPS)

    async def _superseded(
        self, passages: Collection[Passage], by_graph: WayUse
    ) -> tuple[dict[str, Superseded], WayUse]:
        """What took the place of each, and whether the graph still answers; else it is let be."""
        graph = self.stores.maybe_graph
        if not passages or graph is None or not by_graph.ran:
            return {}, by_graph
        asked = superseded(graph, passages, project=self.scope.project, at=self.scope.at)
        ended, use = await attempt(Way.GRAPH, asked, {})
        return ended, by_graph if use.ran else use

    async def _text(self, ids: Collection[str]) -> dict[str, Passage]:
        return self._held(await self.stores.keywords.passages(self.scope.project, sorted(ids)))

    async def _about(self, reached: Mapping[str, Reached]) -> dict[str, Passage]:
        """The passages about the nodes that got most, in the order of what they got."""
        nodes = sorted(reached, key=lambda node: (-reached[node].strength, node))[: 2 * self.depth]
        found = self._held(await self.stores.keywords.about(self.scope.project, nodes))
        order = sorted(found, key=lambda name: (-reached[found[name].node_id].strength, name))
        return {name: found[name] for name in order[: self.depth]}

    def _held(self, passages: Iterable[Passage]) -> dict[str, Passage]:
        return {p.passage_id: p for p in passages if self.scope.holds(p)}


def _path(passage: Passage, reached: Mapping[str, Reached]) -> tuple[Edge, ...]:
    found = reached.get(passage.node_id)
    return found.path if found else ()

"""How several ways of finding passages are brought into one order, and what is told of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from mmm_workflows.mmm.knowledge import Edge, Passage


class Way(StrEnum):
    """A way of finding passages."""

    VECTORS = "vectors"
    KEYWORDS = "keywords"
    GRAPH = "graph"


# Cormack, Clarke and Buettcher (2009): so large that a first rank of one way does not outweigh
# middling ranks of two.
CONSTANT: Final = 60
# Measured on the later half of the labelled set (benchmarks/reports/retrieval.md): best on a broad
# plateau; words alone bring up many passages that share one word by chance.
WEIGHTS: Final[Mapping[Way, float]] = {Way.VECTORS: 1.0, Way.KEYWORDS: 0.75, Way.GRAPH: 0.5}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScorePart(_Value):
    """What one way adds to a passage's score.

    Attributes:
        rank: Its place in the order of that way, from 1.
        own_score: Cosine (vectors), bm25 (keywords) or what flowed to its node (graph).
        share: ``weight / (60 + rank)``.
    """

    way: Way
    rank: int
    own_score: float
    share: float


class Recalled(_Value):
    """A passage that may answer, why it stands where it stands, and how it was reached.

    Attributes:
        path: The edges from a passage that was found directly to this one's node; empty where it
            was found directly alone.
    """

    passage: Passage
    score: float
    parts: tuple[ScorePart, ...]
    path: tuple[Edge, ...] = ()


class WayUse(_Value):
    """Whether a way of finding, or its store, could be used, and what it gave.

    Attributes:
        reason: Why it could not be used; None where it was.
    """

    way: Way
    count: int = 0
    reason: str | None = None

    @property
    def ran(self) -> bool:
        """Whether it was used."""
        return self.reason is None


class Recall(_Value):
    """What is known that may answer a question, best first, and by which ways it was looked for."""

    question: str
    project: str
    at: datetime | None
    found: tuple[Recalled, ...]
    ways: tuple[WayUse, ...]

    @property
    def missing(self) -> tuple[WayUse, ...]:
        """The ways that could not be used."""
        return tuple(use for use in self.ways if not use.ran)


class Repair(_Value):
    """What a repair pass put right, and what it could not.

    Attributes:
        indexed: Passages that had no vector and have one now.
        dropped: Vectors of passages that are no more.
        without_node: Nodes that passages are about and that the graph does not have.
        stores: Which stores could be looked at.
    """

    indexed: int
    dropped: int
    without_node: tuple[str, ...]
    stores: tuple[WayUse, ...]


type Ranking = Sequence[tuple[str, float]]


def fuse(
    rankings: Mapping[Way, Ranking],
    *,
    weights: Mapping[Way, float] = WEIGHTS,
    constant: int = CONSTANT,
) -> list[tuple[str, tuple[ScorePart, ...]]]:
    """Ids by weighted reciprocal rank, best first, ties by id; each with the parts of its score."""
    parts: defaultdict[str, list[ScorePart]] = defaultdict(list)
    for way in Way:
        for rank, (name, own_score) in enumerate(rankings.get(way, ()), start=1):
            share = weights[way] / (constant + rank)
            parts[name].append(ScorePart(way=way, rank=rank, own_score=own_score, share=share))
    order = sorted(parts, key=lambda name: (-total(parts[name]), name))
    return [(name, tuple(parts[name])) for name in order]


def total(parts: Iterable[ScorePart]) -> float:
    """The score of a passage."""
    return sum(part.share for part in parts)


class Reached(_Value):
    """How much of the seeds' weight came to a node, and over which edges the first of it."""

    strength: float
    path: tuple[Edge, ...]


def spread(seeds: Mapping[str, float], edges: Sequence[Edge], *, hops: int) -> dict[str, Reached]:
    """Let the weight of seed nodes flow over edges, either way, and say what each node got.

    A node gives its weight in equal parts to its neighbours, so that what hangs on a node with
    many (a model with twenty results) gets little, and what hangs on one with few gets much.

    Args:
        seeds: Node id -> weight.
        edges: Those of the neighbourhood.
        hops: How far the weight flows.
    """
    neighbours: defaultdict[str, dict[str, Edge]] = defaultdict(dict)
    for edge in sorted(edges, key=lambda edge: edge.edge_id):
        neighbours[edge.source].setdefault(edge.target, edge)
        neighbours[edge.target].setdefault(edge.source, edge)
    paths: dict[str, tuple[Edge, ...]] = dict.fromkeys(seeds, ())
    strength: defaultdict[str, float] = defaultdict(float)
    flow = dict(seeds)
    for _ in range(hops):
        next_flow: defaultdict[str, float] = defaultdict(float)
        for node, weight in sorted(flow.items(), key=lambda item: (-item[1], item[0])):
            for other, edge in sorted(neighbours[node].items()):
                next_flow[other] += weight / len(neighbours[node])
                paths.setdefault(other, (*paths[node], edge))
        for node, weight in next_flow.items():
            strength[node] += weight
        flow = dict(next_flow)
    return {
        node: Reached(strength=value, path=paths[node]) for node, value in strength.items() if value
    }

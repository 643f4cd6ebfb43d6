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
        path: The edges to this one's node from that of another passage that was found directly;
            empty where it hangs on none of them.
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
    """How much of the seeds' weight came to a node, and over which edges from another seed."""

    strength: float
    path: tuple[Edge, ...]


type _Trail = tuple[str, tuple[Edge, ...]]


def spread(seeds: Mapping[str, float], edges: Sequence[Edge], *, hops: int) -> dict[str, Reached]:
    """Let the weight of seed nodes flow over edges, either way, and say what each node got.

    A node gives its weight in equal parts to its neighbours, so that what hangs on a node with
    many (a model with twenty results) gets little, and what hangs on one with few gets much.

    Args:
        seeds: Node id -> weight.
        edges: Those of the neighbourhood.
        hops: How far the weight flows.
    """
    neighbours = _neighbours(edges)
    strength: defaultdict[str, float] = defaultdict(float)
    paths: dict[str, tuple[Edge, ...]] = {}
    flow = dict(seeds)
    trails: dict[str, _Trail] = {seed: (seed, ()) for seed in seeds}
    for _ in range(hops):
        flow, trails = _flow_on(flow, trails, neighbours)
        for node, weight in flow.items():
            strength[node] += weight
        for node, (_, path) in trails.items():
            paths.setdefault(node, path)
    return {
        node: Reached(strength=value, path=paths.get(node, ())) for node, value in strength.items()
    }


def _neighbours(edges: Sequence[Edge]) -> Mapping[str, Mapping[str, Edge]]:
    found: defaultdict[str, dict[str, Edge]] = defaultdict(dict)
    for edge in sorted(edges, key=lambda edge: edge.edge_id):
        found[edge.source].setdefault(edge.target, edge)
        found[edge.target].setdefault(edge.source, edge)
    return found


def _flow_on(
    flow: Mapping[str, float],
    trails: Mapping[str, _Trail],
    neighbours: Mapping[str, Mapping[str, Edge]],
) -> tuple[dict[str, float], dict[str, _Trail]]:
    """One hop further: what each node gets, and from which seed the most of it came."""
    onward: defaultdict[str, float] = defaultdict(float)
    onward_trails: dict[str, _Trail] = {}
    for node, weight in sorted(flow.items(), key=lambda item: (-item[1], item[0])):
        around = neighbours.get(node, {})
        for other, edge in sorted(around.items()):
            onward[other] += weight / len(around)
            # What flows back to its own seed says nothing about how that was reached.
            if node in trails and trails[node][0] != other:
                seed, path = trails[node]
                onward_trails.setdefault(other, (seed, (*path, edge)))
    return dict(onward), onward_trails

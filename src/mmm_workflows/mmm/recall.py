"""How several ways of finding passages are brought into one order, and what is told of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from mmm_workflows.mmm.knowledge import Edge, NodeKind, Passage, Period


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


class Scope(_Value):
    """Of what is known, what may answer.

    Attributes:
        project: Nothing of another one is looked at.
        at: As known at that moment; None for now.
        about: What speaks of some of these days, or names no time; None for all.
        current: Leave out what was superseded.
    """

    project: str
    at: datetime | None = None
    about: Period | None = None
    current: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all of the project may answer."""
        return self.at is None and self.about is None and not self.current

    def holds(self, passage: Passage) -> bool:
        """Whether a passage was known by then and speaks of the time that is asked about."""
        is_known = self.at is None or passage.created_at <= self.at
        return is_known and (self.about is None or passage.speaks_of(self.about))


class Superseded(_Value):
    """What took the place of a passage's thing, when, and on what evidence."""

    node_id: str
    name: str
    workflow_id: str
    at: datetime
    evidence: str


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
        superseded: What took the place of what it is about; None where it is current, or where
            the graph could not be asked.
    """

    passage: Passage
    score: float
    parts: tuple[ScorePart, ...]
    path: tuple[Edge, ...] = ()
    superseded: Superseded | None = None


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
    """What is known that may answer a question, best first, and by which ways it was looked for.

    Attributes:
        waiting: How many writes of the project memory has yet to take: what they say may be missing.
    """

    question: str
    scope: Scope
    found: tuple[Recalled, ...]
    ways: tuple[WayUse, ...]
    waiting: int = 0

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
        linked: Runs whose nodes, edges or text a store lacked and has again.
        forgotten: Runs that are no more and of which something was left.
    """

    indexed: int
    dropped: int
    without_node: tuple[str, ...]
    stores: tuple[WayUse, ...]
    linked: int = 0
    forgotten: int = 0


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


def newest_first(found: Sequence[Recalled]) -> list[Recalled]:
    """The same, with each superseded passage below those of its kind that took its place."""
    ordered = [each for each in found if each.superseded is None]
    ended = [(each, each.superseded) for each in found if each.superseded is not None]
    # What was replaced last comes first: it may be what took the place of another.
    for each, by in sorted(ended, key=lambda pair: pair[1].at, reverse=True):
        ordered.insert(_place(each, by, ordered), each)
    return ordered


def _place(old: Recalled, by: Superseded, ordered: Sequence[Recalled]) -> int:
    """Where its score puts it, or after the last one that replaces it, whichever is lower."""
    above = [
        i
        for i, each in enumerate(ordered, start=1)
        if (each.superseded is None and each.score >= old.score)
        or _replaces(each.passage, old.passage, by)
    ]
    place = max(above, default=0)
    while place < len(ordered) and ordered[place].superseded and ordered[place].score >= old.score:
        place += 1
    return place


def _replaces(new: Passage, old: Passage, by: Superseded) -> bool:
    """Whether one is about what took the other's place; of a channel or a choice, what its run says."""
    if old.kind is NodeKind.CHANNEL:
        return new.node_id == old.node_id and new.workflow_id == by.workflow_id
    if old.kind is NodeKind.DECISION:
        return new.kind is old.kind and new.workflow_id == by.workflow_id
    return new.node_id == by.node_id


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

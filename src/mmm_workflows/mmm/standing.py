"""What new knowledge does to what stood before: what it replaces, and what it contradicts.

Both follow from what is stored, in whatever order it came, so that saying it again changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Final

from pydantic import JsonValue

from mmm_workflows.mmm.claim_scale import plain
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Passage, node_id

# What can come in versions; a channel or a page cannot.
VERSIONED: Final = (NodeKind.ANALYSIS, NodeKind.DATASET, NodeKind.MODEL, NodeKind.SCENARIO)
# What a run says of these stands and falls with the run and with what it made.
OF_ITS_RUN: Final = (NodeKind.CHANNEL, NodeKind.DECISION)
# The edges that say what took the place of what.
REPLACING: Final = (EdgeKind.SUPERSEDES, EdgeKind.PRODUCED)


def no_longer_current(edges: Iterable[Edge]) -> Mapping[datetime, Sequence[str]]:
    """The ids of the edges that ended because something newer took their place, by when it did.

    What made an older version no longer made the current one, and what that is about is what the
    newer one says. What it was made from, cites and decided stays true.

    Args:
        edges: All that touch the things in question.
    """
    known = list(edges)
    replaced: defaultdict[str, list[datetime]] = defaultdict(list)
    for edge in known:
        if edge.kind is EdgeKind.SUPERSEDES:
            replaced[edge.target].append(edge.created_at)
    ended: defaultdict[datetime, list[str]] = defaultdict(list)
    for edge in known:
        # An edge that was written later says that the old version is in use again, until the next.
        since = [at for at in replaced[_says_what_is_current(edge)] if edge.created_at < at]
        if since and edge.expired_at is None:
            ended[min(since)].append(edge.edge_id)
    return dict(ended)


def stands_with(passage: Passage) -> str | None:
    """The node that a passage stands and falls with; None where it cannot be superseded."""
    if passage.kind in OF_ITS_RUN:
        return node_id(passage.project, NodeKind.ANALYSIS, passage.workflow_id)
    return passage.node_id if passage.kind in VERSIONED else None


def replaced_by(edges: Iterable[Edge]) -> Mapping[str, Edge]:
    """The newest edge that says what took the place of a thing, by the thing that is no longer current.

    Args:
        edges: All of the kinds ``REPLACING`` that touch the things in question.
    """
    newest: dict[tuple[EdgeKind, str], Edge] = {}
    for edge in sorted(edges, key=lambda edge: (edge.created_at, edge.edge_id)):
        newest[edge.kind, edge.target] = edge
    gone = {target: edge for (kind, target), edge in newest.items() if kind is EdgeKind.SUPERSEDES}
    for target, edge in list(gone.items()):
        made = newest.get((EdgeKind.PRODUCED, target))
        # A run that made it again later says that it is in use again.
        if made is not None and made.created_at > edge.created_at:
            del gone[target]
    return gone


def edges_on_standing(edges: Iterable[Edge], things: Collection[str]) -> list[Edge]:
    """Those of some edges that say whether one of some things is current."""
    return [edge for edge in edges if _says_what_is_current(edge) in things]


def _says_what_is_current(edge: Edge) -> str:
    """The thing whose standing an edge speaks of; empty where it speaks of none."""
    if edge.kind is EdgeKind.PRODUCED:
        return edge.target
    return edge.source if edge.kind is EdgeKind.ABOUT else ""


def stated(claim: Claim) -> dict[str, JsonValue]:
    """What a claim's node holds, so that another run's claim can be compared with it."""
    made = plain(claim)
    figures: dict[str, JsonValue] = (
        {} if isinstance(made, str)
        else {"quantity": made.quantity, "low": made.low, "high": made.high}
    )  # fmt: skip
    return {
        "claim_id": claim.claim_id,
        "channel": claim.channel,
        "geography": claim.geography,
        "category": claim.category,
        **figures,
    }


def contradictions(
    claims: Sequence[Node], new: Collection[str], edges: Iterable[Edge] = ()
) -> list[Edge]:
    """An edge per pair of claims that give one quantity of one channel in ranges that do not meet.

    Claims of two named countries or two named categories do not contradict each other. The edge is
    the later run's, and runs from its claim.

    Args:
        claims: Their nodes, with what ``stated`` says of them.
        new: The ids of those of which one is in each pair.
        edges: What is there already; a pair that it joins is left out.
    """
    joined = {frozenset((e.source, e.target)) for e in edges if e.kind is EdgeKind.CONTRADICTS}
    alike: defaultdict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in sorted(claims, key=lambda node: (node.created_at, node.workflow_id, node.node_id)):
        if node.properties.get("quantity") is not None:
            alike[str(node.properties["quantity"]), str(node.properties["channel"])].append(node)
    return [
        Edge(
            project=later.project,
            workflow_id=later.workflow_id,
            created_at=later.created_at,
            source=later.node_id,
            target=earlier.node_id,
            kind=EdgeKind.CONTRADICTS,
            evidence=f"{_range(later)} against {_range(earlier)}: {_quantity(later)}",
        )
        for group in alike.values()
        for earlier, later in combinations(group, 2)
        if not {earlier.node_id, later.node_id}.isdisjoint(new)
        and frozenset((earlier.node_id, later.node_id)) not in joined
        and _contradict(earlier, later)
    ]


def _contradict(one: Node, other: Node) -> bool:
    for place in ("geography", "category"):
        if len({one.properties[place], other.properties[place]} - {None}) == 2:
            return False
    highest_low = max(_number(node, "low") for node in (one, other))
    return min(_number(node, "high") for node in (one, other)) < highest_low


def _number(node: Node, key: str) -> float:
    value = node.properties[key]
    assert isinstance(value, int | float)  # what ``stated`` writes
    return float(value)


def _range(node: Node) -> str:
    low, high = figure(_number(node, "low")), figure(_number(node, "high"))
    return low if low == high else f"{low} to {high}"


def _quantity(node: Node) -> str:
    return f"{node.properties['quantity']} of {node.properties['channel']}".replace("_", "-")

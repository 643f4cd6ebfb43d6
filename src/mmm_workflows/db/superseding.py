"""Which passages speak of what something newer took the place of, as the graph says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, Passage
from mmm_workflows.mmm.recall import Superseded
from mmm_workflows.mmm.standing import REPLACING, replaced_by, stands_with
from mmm_workflows.ports import Graph


async def superseded(
    graph: Graph, passages: Collection[Passage], *, project: str, at: datetime | None
) -> dict[str, Superseded]:
    """What took the place of each passage that is no longer current, by the passage's id.

    Args:
        graph: Where it is looked up.
        passages: Of one project.
        project: Theirs.
        at: As known at that moment; None for now.

    Raises:
        ServiceUnavailable: The graph cannot be read.
    """
    owners = {p.passage_id: owner for p in passages if (owner := stands_with(p)) is not None}
    asked = set(owners.values())
    edges = await graph.edges_of_kinds(project, sorted(asked), REPLACING, at=at) if asked else []
    made: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges:
        if edge.kind is EdgeKind.PRODUCED and edge.source in asked:
            made[edge.source].add(edge.target)
    further = {target for targets in made.values() for target in targets} - asked
    if further:
        edges += await graph.edges_of_kinds(project, sorted(further), REPLACING, at=at)
    gone = replaced_by(edges)
    # What its run made comes after the thing itself: that a dataset is old says more than its run.
    told = {
        name: next((gone[each] for each in (owner, *sorted(made[owner])) if each in gone), None)
        for name, owner in owners.items()
    }
    ended = {name: edge for name, edge in told.items() if edge is not None}
    newer = sorted({edge.source for edge in ended.values()})
    known = {n.node_id: n for n in await graph.nodes(project, ids=newer)} if newer else {}
    return {name: _superseded(edge, known) for name, edge in ended.items()}


def _superseded(edge: Edge, known: Mapping[str, Node]) -> Superseded:
    by = known.get(edge.source)
    return Superseded(
        node_id=edge.source,
        name=f"{by.kind} {by.name}" if by else edge.source,
        # Whose it is, which is not always who found out.
        workflow_id=by.workflow_id if by else edge.workflow_id,
        at=edge.created_at,
        evidence=edge.evidence,
    )

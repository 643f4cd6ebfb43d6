"""A graph in a list: the port's promise in a few lines, for tests of what is built on it."""

from __future__ import annotations

from datetime import datetime

from mmm_workflows.mmm.knowledge import Edge, Node


class PlainGraph:
    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], Node] = {}
        self._edges: dict[str, Edge] = {}

    async def add(self, nodes, edges) -> None:
        for node in nodes:
            self._nodes.setdefault((node.project, node.node_id), node)
        for edge in edges:
            self._edges.setdefault(edge.edge_id, edge)

    async def expire(self, project, edge_ids, *, at) -> None:
        for name in edge_ids:
            self._edges[name] = self._edges[name].model_copy(update={"expired_at": at})

    async def nodes(self, project, *, kind=None, ids=None) -> list[Node]:
        return [
            node
            for (owner, name), node in sorted(self._nodes.items())
            if owner == project and kind in (None, node.kind) and (ids is None or name in ids)
        ]

    async def neighbourhood(self, project, ids, *, hops=2, at: datetime | None = None):
        edges = [
            edge
            for edge in self._edges.values()
            if edge.project == project
            and (at is None or edge.created_at <= at)
            and (edge.expired_at is None or (at is not None and edge.expired_at > at))
        ]
        reached, taken = set(ids), {}
        for _ in range(hops):
            step = [edge for edge in edges if {edge.source, edge.target} & reached]
            taken.update({edge.edge_id: edge for edge in step})
            reached |= {name for edge in step for name in (edge.source, edge.target)}
        return await self.nodes(project, ids=reached), [taken[name] for name in sorted(taken)]

    async def everything(self, project):
        edges = [edge for edge in self._edges.values() if edge.project == project]
        return await self.nodes(project), edges

    async def forget(self, project, *, workflow_id=None) -> int:
        def goes(value) -> bool:
            return value.project == project and workflow_id in (None, value.workflow_id)

        gone = [key for key, node in self._nodes.items() if goes(node)]
        for key in gone:
            del self._nodes[key]
        self._edges = {name: edge for name, edge in self._edges.items() if not goes(edge)}
        return len(gone)

"""Nodes and edges for the tests, short to write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind

MADE = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def node(project: str, node_id: str, **values: Any) -> Node:
    given = {"workflow_id": "run", "kind": NodeKind.CLAIM, "name": node_id, "created_at": MADE}
    return Node(project=project, node_id=node_id, **{**given, **values})


def edge(project: str, source: str, target: str, **values: Any) -> Edge:
    given = {"workflow_id": "run", "kind": EdgeKind.USES, "created_at": MADE}
    return Edge(project=project, source=source, target=target, **{**given, **values})


def day(number: int) -> datetime:
    return datetime(2026, 6, number, tzinfo=UTC)

"""Nodes and edges as the rows that the graph's statements write and read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mmm_workflows.db.cypher import OPEN_END, OPEN_START
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, digest

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def node_key(project: str, node_id: str) -> str:
    """What a node is found by: short whatever its id is, and never equal across projects."""
    return digest(project, node_id)


def node_row(node: Node) -> dict[str, Any]:
    """The row that MERGE_NODES takes.

    Raises:
        ValueError: A property is no JSON (NaN, infinity), or a moment has no time zone.
    """
    return {
        "key": node_key(node.project, node.node_id),
        "project": node.project,
        "node_id": node.node_id,
        "kind": str(node.kind),
        "name": node.name,
        "properties": json.dumps(node.properties, allow_nan=False),
        "workflow_id": node.workflow_id,
        "writers": json.dumps([node.workflow_id]),
        "created_at": microseconds(node.created_at),
        "schema_version": node.schema_version,
    }


def node_of(row: Sequence[Any]) -> Node:
    """The node that a row of NODES or NODES_BY_KEY says."""
    project, node_id, kind, name, properties, workflow_id, created_at, schema_version = row
    return Node(
        project=project,
        node_id=node_id,
        kind=NodeKind(kind),
        name=name,
        properties=json.loads(properties),
        workflow_id=workflow_id,
        created_at=moment(created_at),
        schema_version=schema_version,
    )


def edge_row(edge: Edge) -> dict[str, Any]:
    """The row that MERGE_EDGES takes.

    Raises:
        ValueError: A moment has no time zone.
    """
    return {
        "edge_id": edge.edge_id,
        "source_key": node_key(edge.project, edge.source),
        "target_key": node_key(edge.project, edge.target),
        "project": edge.project,
        "source": edge.source,
        "target": edge.target,
        "kind": str(edge.kind),
        "evidence": edge.evidence,
        "workflow_id": edge.workflow_id,
        "valid_from": microseconds(edge.valid_from) if edge.valid_from else OPEN_START,
        "valid_to": microseconds(edge.valid_to) if edge.valid_to else OPEN_END,
        "created_at": microseconds(edge.created_at),
        "expired_at": microseconds(edge.expired_at) if edge.expired_at else OPEN_END,
        "schema_version": edge.schema_version,
    }


def edge_of(row: Sequence[Any]) -> Edge:
    """The edge that a row of EDGES or EDGES_OF says."""
    project, source, target, kind, evidence, workflow_id = row[:6]
    valid_from, valid_to, created_at, expired_at, schema_version = row[6:]
    return Edge(
        project=project,
        source=source,
        target=target,
        kind=EdgeKind(kind),
        evidence=evidence,
        workflow_id=workflow_id,
        valid_from=None if valid_from == OPEN_START else moment(valid_from),
        valid_to=None if valid_to == OPEN_END else moment(valid_to),
        created_at=moment(created_at),
        expired_at=None if expired_at == OPEN_END else moment(expired_at),
        schema_version=schema_version,
    )


def microseconds(value: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly.

    Raises:
        ValueError: The moment has no time zone.
    """
    if value.utcoffset() is None:
        raise ValueError(f"The moment {value.isoformat()} has no time zone. Give it one, as UTC.")
    return (value - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """The moment of some microseconds since 1970, in UTC."""
    return EPOCH + value * MICROSECOND

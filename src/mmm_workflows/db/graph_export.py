"""The graph as GraphML, which Gephi, yEd, Cytoscape and networkx open."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Final

import networkx as nx

from mmm_workflows.mmm.knowledge import Edge, Node

# Text that starts like this is a formula to a spreadsheet, or markup to the labels of Java tools.
_ACTIVE: Final = re.compile(r"^\s*[=+\-@<&|%]")
# What XML 1.0 cannot hold, and the marks that turn text around.
_UNFIT: Final = re.compile(
    "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)


def graphml(nodes: Sequence[Node], edges: Sequence[Edge]) -> bytes:
    """A GraphML document, the same for the same graph.

    Nodes are numbered ``n0``, ``n1``... in the order of their ids, since an id may hold what XML
    cannot. Every value is plain text: what another program could take for a formula or for
    markup gets an apostrophe in front, and characters that are not fit for XML become U+FFFD.

    Args:
        nodes: All ends of ``edges``.
        edges: Parallel ones are kept.
    """
    graph = nx.MultiDiGraph()
    ordered = sorted(nodes, key=lambda node: node.node_id)
    number = {node.node_id: f"n{place}" for place, node in enumerate(ordered)}
    for node in ordered:
        graph.add_node(number[node.node_id], **_node_values(node))
    for edge in sorted(edges, key=lambda edge: edge.edge_id):
        ends = (number[edge.source], number[edge.target])
        graph.add_edge(*ends, key=edge.edge_id, **_edge_values(edge))
    written = io.BytesIO()
    nx.write_graphml(graph, written)
    return written.getvalue()


def _node_values(node: Node) -> dict[str, str]:
    values = {
        "label": node.name,
        "node_id": node.node_id,
        "kind": str(node.kind),
        "project": node.project,
        "workflow_id": node.workflow_id,
        "created_at": node.created_at.isoformat(),
        "properties": json.dumps(node.properties, ensure_ascii=False, sort_keys=True),
    }
    return {name: _plain(value) for name, value in values.items()}


def _edge_values(edge: Edge) -> dict[str, str]:
    moments = {name: getattr(edge, name) for name in ("valid_from", "valid_to", "expired_at")}
    values = {
        "label": str(edge.kind),
        "kind": str(edge.kind),
        "project": edge.project,
        "workflow_id": edge.workflow_id,
        "evidence": edge.evidence,
        "created_at": edge.created_at.isoformat(),
        **{name: moment.isoformat() for name, moment in moments.items() if moment is not None},
    }
    return {name: _plain(value) for name, value in values.items()}


def _plain(text: str) -> str:
    fit = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"'{fit}" if _ACTIVE.match(fit) else fit

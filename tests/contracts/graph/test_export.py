"""The graph as GraphML: any reader of XML opens it, and nothing in it can act."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import networkx as nx
import pytest

from mmm_workflows.db.graph_export import graphml
from mmm_workflows.mmm.knowledge import EdgeKind, NodeKind

from .test_hostile import HOSTILE
from .values import day, edge, node


def read(document: bytes) -> nx.MultiDiGraph:
    return nx.read_graphml(io.BytesIO(document), force_multigraph=True)


def test_all_that_is_known_is_in_the_document() -> None:
    nodes = [
        node("p", "b", kind=NodeKind.MODEL, properties={"roas": 1.5, "of": ["TV"]}),
        node("p", "a", name="Ä & <co>"),
    ]
    edges = [
        edge("p", "a", "b", evidence="page 3", valid_from=day(1), expired_at=day(2)),
        edge("p", "a", "b", kind=EdgeKind.CITES),
        edge("p", "b", "b", workflow_id="other"),
    ]
    graph = read(graphml(nodes, edges))
    assert [data["node_id"] for _, data in graph.nodes(data=True)] == ["a", "b"]
    assert graph.nodes["n0"]["label"] == "Ä & <co>"
    assert graph.nodes["n1"]["kind"] == "Model"
    assert graph.nodes["n1"]["properties"] == '{"of": ["TV"], "roas": 1.5}'
    found = {(a, b, data["kind"]): data for a, b, data in graph.edges(data=True)}
    assert set(found) == {("n0", "n1", "USES"), ("n0", "n1", "CITES"), ("n1", "n1", "USES")}
    first = found["n0", "n1", "USES"]
    assert first["evidence"] == "page 3"
    assert first["valid_from"] == "2026-06-01T00:00:00+00:00"
    assert "valid_to" not in first


def test_the_same_graph_gives_the_same_bytes_in_any_order() -> None:
    nodes = [node("p", name) for name in "cab"]
    edges = [edge("p", *pair) for pair in ("ab", "bc", "ca")]
    assert graphml(nodes, edges) == graphml(nodes[::-1], edges[::-1])
    assert read(graphml([], [])).number_of_nodes() == 0


@pytest.mark.parametrize(
    "text", [*HOSTILE, "<html><img src='http://x/'>", "]]>", "&xxe;", "+1", "@a"]
)
def test_hostile_text_is_plain_text_in_the_document(text: str) -> None:
    nodes = [node("p", text, name=text, properties={text: text}), node("p", "kept")]
    document = graphml(nodes, [edge("p", text, "kept", evidence=text)])
    root = ElementTree.fromstring(document)  # a parser that knows nothing of ours
    assert {child.tag.rpartition("}")[2] for child in root.iter()} <= {
        "graphml",
        "key",
        "graph",
        "node",
        "edge",
        "data",
    }
    assert b"<!" not in document
    graph = read(document)
    assert graph.number_of_nodes() == 2
    values = [
        value
        for _, data in [*graph.nodes(data=True), *((a, d) for a, _, d in graph.edges(data=True))]
        for value in data.values()
    ]
    assert values
    for value in values:
        assert isinstance(value, str)
        assert value.lstrip()[:1] not in {"=", "+", "-", "@", "<", "&", "|", "%"}


def test_text_that_acts_nowhere_is_left_as_it_is() -> None:
    for text in ("plain", "a=b", "1 < 2", "'quoted'", "ümlaut 😀", "a\nb"):
        assert read(graphml([node("p", text)], [])).nodes["n0"]["label"] == text

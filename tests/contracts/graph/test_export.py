"""The graph as GraphML: any reader of XML opens it, and nothing in it can act."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import igraph
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


def read_elsewhere(document: bytes, folder: Path) -> igraph.Graph:
    """The same document, read by a C library that shares no code with the one that wrote it."""
    file = folder / "graph.graphml"
    file.write_bytes(document)
    return igraph.Graph.Read_GraphML(str(file))


def test_another_tool_reads_the_same_nodes_edges_and_values(tmp_path: Path) -> None:
    texts = [*HOSTILE, "Ä & <co>", "línea 🙂", "a\nb", "]]>", "日本語"]
    nodes = [node("p", text, name=text, properties={"of": text}) for text in texts]
    edges = [edge("p", texts[0], text, evidence=text) for text in texts]
    edges += [edge("p", texts[0], texts[1], kind=EdgeKind.CITES, valid_from=day(1))]
    document = graphml(nodes, edges)
    here, there = read(document), read_elsewhere(document, tmp_path)
    assert (there.vcount(), there.ecount()) == (len(texts), len(edges))
    assert (there.vcount(), there.ecount()) == (here.number_of_nodes(), here.number_of_edges())
    assert there.is_directed()
    names = there.vs["id"]
    assert {v["id"]: said(v.attributes()) for v in there.vs} == {
        name: said(data) for name, data in here.nodes(data=True)
    }
    assert sorted((names[e.source], names[e.target], said(e.attributes())) for e in there.es) == (
        sorted((source, target, said(data)) for source, target, data in here.edges(data=True))
    )


def test_an_empty_graph_opens_in_another_tool(tmp_path: Path) -> None:
    assert read_elsewhere(graphml([], []), tmp_path).vcount() == 0


def said(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is said of a node or edge; igraph adds its id, and "" where nothing is said."""
    return sorted((name, value) for name, value in values.items() if name != "id" and value)

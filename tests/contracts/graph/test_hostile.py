"""Text that tries to become Cypher stays text, in every place that takes text."""

from __future__ import annotations

import json

import pytest

from mmm_workflows.mmm.knowledge import NodeKind

from .conftest import AnyGraph
from .values import day, edge, node

HOSTILE = [
    "`",
    "``",
    "`) DETACH DELETE n //",
    "'",
    "\\'",
    '"',
    '\\"',
    "' OR 1=1 //",
    "' }) DETACH DELETE n //",
    "} DETACH DELETE",
    '"}) MATCH (m) DETACH DELETE m RETURN ("',
    "\\u0027 OR 1=1 //",
    "\\u0060) DETACH DELETE n //",
    "\u02bc OR 1=1",
    "$project",
    "${project}",
    "{project}",
    "%s%s%n",
    "; MATCH (n) DETACH DELETE n;",
    "*/ MATCH (n) DETACH DELETE n /*",
    "// comment",
    "COPY (MATCH (n) RETURN n.*) TO '/tmp/graph-injection.csv'",
    "LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "CALL db.labels()",
    "Claim`:`Admin",
    "x\x00y",
    "\x00",
    "\x1b[2J",
    "\n\r\t\v\f",
    " ",
    "\u202eevil\u202c",
    "e\u0301 é",
    "\u200b\ufeff",
    "\ufffe\uffff",
    "😀👩\u200d👩",
    "null",
    "NaN",
    "[]",
    "{}",
    "0",
    "true",
    "2026-01-01T00:00:00Z",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "x" * 100_000,
]


async def test_hostile_text_comes_back_and_nothing_else_changes(
    graph: AnyGraph, project: str
) -> None:
    kept = node(project, "kept", kind=NodeKind.DECISION)
    await graph.add([kept], [])
    nodes = [
        node(project, f"{n} {text}", name=text, properties={text: [text, {text: text}]})
        for n, text in enumerate(HOSTILE)
    ]
    edges = [
        edge(project, n.node_id, "kept", evidence=text, workflow_id=text)
        for n, text in zip(nodes, HOSTILE, strict=True)
    ]
    await graph.add(nodes, edges)
    found, joined = await graph.everything(project)
    assert found == sorted([kept, *nodes], key=lambda n: n.node_id)
    assert joined == sorted(edges, key=lambda e: e.edge_id)
    found, joined = await graph.neighbourhood(project, ["kept"])
    assert (len(found), len(joined)) == (len(HOSTILE) + 1, len(HOSTILE))


async def test_hostile_arguments_find_and_delete_only_their_own(
    graph: AnyGraph, project: str
) -> None:
    await graph.add([node(project, "kept")], [edge(project, "kept", "kept")])
    before = await graph.everything(project)
    for text in HOSTILE:
        assert await graph.nodes(text) == []
        assert await graph.nodes(project, ids=[text]) == []
        assert await graph.neighbourhood(project, [text]) == ([], [])
        assert await graph.everything(text) == ([], [])
        await graph.expire(project, [text], at=day(1))
        await graph.expire(text, [text, before[1][0].edge_id], at=day(1))
    assert await graph.everything(project) == before


@pytest.mark.parametrize("text", [t for t in HOSTILE if len(t) < 1000])
async def test_a_run_with_a_hostile_name_is_forgotten_alone(
    graph: AnyGraph, project: str, text: str
) -> None:
    others = ["other", json.dumps(text), text + "x", "x" + text]
    for n, workflow_id in enumerate([text, *others]):
        await graph.add([node(project, f"{n}", workflow_id=workflow_id)], [])
        await graph.add([node(project, "shared", workflow_id=workflow_id)], [])
    assert await graph.forget(project, workflow_id=text) == 1
    left = {n.node_id: n.workflow_id for n in await graph.nodes(project)}
    assert left == {"1": "other", "2": others[1], "3": others[2], "4": others[3], "shared": "other"}

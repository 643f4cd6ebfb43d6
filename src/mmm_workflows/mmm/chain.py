"""The chain from a number down to the cells and pages that it rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, JsonValue

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, node_id
from mmm_workflows.mmm.results import Value

CELLS_SHOWN: Final = 5
CHUNK_BYTES: Final = 1 << 20


class LinkKind(StrEnum):
    """What a link of the chain is."""

    NUMBER = "number"
    FINDING = "finding"
    CLAIM = "claim"
    PAGE = "page"
    RUN = "run"
    DECISION = "decision"
    SCENARIO = "scenario"
    PROGRAM = "program"
    MODEL = "model"
    DRAWS = "draws"
    SPEC = "spec"
    PRIORS = "priors"
    DATASET = "dataset"
    SERIES = "series"
    CLEANING = "cleaning"
    SOURCE = "source"
    ARTIFACT = "artifact"
    NODE = "node"


# Under which kind of node and by which field a link stands in the graph.
IN_GRAPH: Final = {
    LinkKind.RUN: NodeKind.ANALYSIS,
    LinkKind.MODEL: NodeKind.MODEL,
    LinkKind.DATASET: NodeKind.DATASET,
    LinkKind.CLAIM: NodeKind.CLAIM,
}


class FileState(StrEnum):
    """Whether what lies at a path is what was written down."""

    SAME = "the same content"
    CHANGED = "changed since"
    GONE = "gone"


class Link(Value):
    """One step of the chain, and what it rests on.

    Attributes:
        says: What it is in one sentence, from stored values.
        sha256: Of its content as it was kept or read.
        state: What lies at ``path`` now; None where nothing was looked at.
        facts: Its stored values, whole.
        later: What is known of it since: what took its place, what contradicts it.
        missing: Why the chain ends here although it should go on.
    """

    kind: LinkKind
    name: str
    says: str = ""
    path: str | None = None
    sha256: str | None = None
    state: FileState | None = None
    workflow_id: str | None = None
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    later: tuple[str, ...] = ()
    missing: str | None = None
    rests_on: tuple[Link, ...] = ()

    def all(self) -> Iterator[Link]:
        """This link and all below it."""
        yield self
        for link in self.rests_on:
            yield from link.all()


class Lineage(Value):
    """A chain, and whether the graph could be asked for what came later.

    Attributes:
        graph: Why it could not be; None where it was.
    """

    asked: str
    project: str
    chain: Link
    graph: str | None = None


def state_of(path: Path, sha256: str) -> FileState:
    """Compare a file with the hash that was written down for it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return FileState.GONE
    return FileState.SAME if digest.hexdigest() == sha256 else FileState.CHANGED


def lines(link: Link, depth: int = 0) -> Iterator[str]:
    """The chain as text, one step per line, what it rests on further in."""
    indent = "  " * depth
    says = f": {link.says}" if link.says else ""
    yield f"{indent}{link.kind} {link.name}{says}"
    if link.sha256 is not None:
        state = f"; at {link.path}: {link.state}" if link.state is not None else ""
        yield f"{indent}    sha256 {link.sha256}{state}"
    cells = link.facts.get("cells")
    if isinstance(cells, list):
        for cell in cells[:CELLS_SHOWN]:
            yield f"{indent}    {_cell(cell)}"
        if len(cells) > CELLS_SHOWN:
            yield f"{indent}    and {len(cells) - CELLS_SHOWN} more cells (all with --json)"
    for later in link.later:
        yield f"{indent}    since then: {later}"
    if link.missing is not None:
        yield f"{indent}    the chain ends here: {link.missing}"
    for below in link.rests_on:
        yield from lines(below, depth + 1)


def _cell(cell: JsonValue) -> str:
    if isinstance(cell, dict):
        return f"{cell['where']}: typed {cell['typed']!r}, read as {cell['value']!r}"
    return str(cell)


def graph_ids(link: Link, project: str) -> dict[str, str]:
    """The node of each link that stands in the graph: node id -> the link's key."""
    return {
        node_id(project, IN_GRAPH[each.kind], _key(each)): _key(each)
        for each in link.all()
        if each.kind in IN_GRAPH
    }


def marked(
    link: Link, ids: Mapping[str, str], nodes: Sequence[Node], edges: Sequence[Edge]
) -> Link:
    """The chain with what took the place of its links since, and what contradicts them.

    Args:
        link: The chain.
        ids: As ``graph_ids`` gives them.
        nodes: Those around them.
        edges: Those that touch them.
    """
    names = {node.node_id: f"{node.kind} {node.name}" for node in nodes}
    since: dict[str, list[str]] = {}
    for edge in edges:
        on, of = f"on {edge.created_at:%Y-%m-%d}", f"{edge.evidence} (run {edge.workflow_id})"
        if edge.kind is EdgeKind.SUPERSEDES and edge.target in ids:
            said = f"superseded {on} by {names[edge.source]}: {of}"
            since.setdefault(ids[edge.target], []).append(said)
        if edge.kind is EdgeKind.CONTRADICTS:
            for this, that in ((edge.source, edge.target), (edge.target, edge.source)):
                if this in ids:
                    said = f"contradicted {on} by {names[that]}: {of}"
                    since.setdefault(ids[this], []).append(said)
    return _marked(link, since)


def _marked(link: Link, since: Mapping[str, Sequence[str]]) -> Link:
    return link.model_copy(
        update={
            "later": tuple(since.get(_key(link), ())) if link.kind in IN_GRAPH else (),
            "rests_on": tuple(_marked(below, since) for below in link.rests_on),
        }
    )


def _key(link: Link) -> str:
    """What the node of a link was made of: its path, its run, or its id."""
    return link.path or link.workflow_id or link.name


def chain_of_node(
    node: Node, nodes: Sequence[Node], edges: Sequence[Edge], *, above: frozenset[str] = frozenset()
) -> Link:
    """What a node of the graph rests on, as its edges say; no node below itself."""
    known = {each.node_id: each for each in nodes}
    above = above | {node.node_id}
    below = [
        chain_of_node(known[edge.target], nodes, edges, above=above).model_copy(
            update={"says": _edge_in_words(edge)}
        )
        for edge in sorted(edges, key=lambda edge: (edge.kind, edge.target))
        if edge.source == node.node_id and edge.target in known and edge.target not in above
    ]
    return Link(
        kind=LinkKind.NODE,
        name=f"{node.kind} {node.name}",
        workflow_id=node.workflow_id,
        facts={"node_id": node.node_id, **node.properties},
        rests_on=tuple(below),
    )


def _edge_in_words(edge: Edge) -> str:
    ended = f", until {edge.expired_at:%Y-%m-%d}" if edge.expired_at else ""
    return f"{edge.kind} since {edge.created_at:%Y-%m-%d}{ended}, on {edge.evidence}"

"""What the graph does in one transaction, step by step, without knowing which database it is.

Each transaction is a generator: it yields a ``Step``, is sent the rows of the answer, and returns
its result. An adapter drives it, and drives a new one when the database asks for another try.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import UTC, datetime
from itertools import batched
from typing import Any, Final, LiteralString, NamedTuple

from mmm_workflows.db import cypher
from mmm_workflows.db.graph_rows import (
    edge_of,
    edge_row,
    microseconds,
    node_key,
    node_of,
    node_row,
)
from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Period
from mmm_workflows.mmm.standing import VERSIONED, edges_on_standing, no_longer_current

BATCH: Final = 1000

type Row = list[Any]
type Transaction[T] = Generator[Step, list[Row], T]
type Script[T] = Callable[[], Transaction[T]]


class Overtaken(Exception):
    """Another transaction deleted what this one had just found; a new try sees that."""


class Step(NamedTuple):
    """A fixed statement and the values that it is run with."""

    statement: LiteralString
    parameters: dict[str, Any]


def add(nodes: Sequence[Node], edges: Sequence[Edge], *, labels: bool) -> Transaction[None]:
    """Write nodes, then edges; what is there stays, and a node remembers who wrote it as well.

    Args:
        nodes: To be written.
        edges: To be written; both ends must be there or among ``nodes``.
        labels: Give each node its kind as a label.
    """
    # In one order everywhere: writers that lock in the same order do not wait in a circle.
    first: dict[str, Node] = {}
    for node in nodes:
        first.setdefault(node_key(node.project, node.node_id), node)
    rows = [node_row(first[key]) for key in sorted(first)]
    written_by: dict[str, list[str]] = {}
    for part in batched(rows, BATCH):
        found = yield Step(cypher.MERGE_NODES, {"rows": list(part)})
        written_by.update((key, json.loads(writers)) for key, writers in found)
        if labels:
            yield Step(cypher.NEO4J_LABEL_NODES, {"rows": list(part)})
    new = {key: [w for w in found if w not in written_by[key]] for key, found in _writers(nodes)}
    yield from _adopt({key: writers for key, writers in new.items() if writers})
    yield from _add_edges(edges, set(first))


def _writers(nodes: Sequence[Node]) -> Iterable[tuple[str, Iterable[str]]]:
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        found.setdefault(node_key(node.project, node.node_id), {})[node.workflow_id] = None
    return found.items()


def _adopt(adopting: dict[str, list[str]]) -> Transaction[None]:
    for part in batched(sorted(adopting), BATCH):
        yield Step(cypher.LOCK_NODES, {"keys": list(part)})
        found = yield Step(cypher.WRITERS, {"keys": list(part)})
        if len(found) < len(part):
            raise Overtaken
        rows = []
        for key, stored in found:
            writers = json.loads(stored)
            writers += [writer for writer in adopting[key] if writer not in writers]
            rows.append(_writers_row(key, writers))
        yield from _if_any(cypher.SET_WRITERS, "rows", rows)


def _add_edges(edges: Sequence[Edge], written: set[str]) -> Transaction[None]:
    rows = {edge.edge_id: edge_row(edge) for edge in reversed(edges)}
    ends = {row[end] for row in rows.values() for end in ("source_key", "target_key")}
    there: set[str] = set()
    for keys in batched(sorted(ends), BATCH):
        there.update(row[0] for row in (yield Step(cypher.KEYS, {"keys": list(keys)})))
    if ends - there:
        if (ends - there) & written:
            raise Overtaken
        lost = next(r for r in rows.values() if not {r["source_key"], r["target_key"]} <= there)
        raise MMMError(
            f"An edge {lost['kind']} from {lost['source']!r} to {lost['target']!r} cannot be kept: "
            f"project {lost['project']!r} does not have both nodes. Add them with it or before it."
        )
    for part in batched((rows[edge_id] for edge_id in sorted(rows)), BATCH):
        found = yield Step(cypher.MERGE_EDGES, {"rows": list(part)})
        if len(found) < len(part):
            raise Overtaken


def expire(project: str, edge_ids: Sequence[str], *, at: datetime) -> Transaction[None]:
    """Set ``expired_at`` of edges that have none; the first moment stays."""
    values = {"project": project, "at": microseconds(at), "open_end": cypher.OPEN_END}
    for part in batched(sorted(set(edge_ids)), BATCH):
        yield Step(cypher.LOCK_EDGES, {"edge_ids": list(part)})
        yield Step(cypher.EXPIRE_EDGES, {**values, "edge_ids": list(part)})


def nodes(
    project: str, *, kind: NodeKind | None, ids: Sequence[str] | None
) -> Transaction[list[Node]]:
    """The nodes of a project, by kind or id, ordered by id."""
    kinds = [str(kind)] if kind else [str(each) for each in NodeKind]
    if ids is None:
        rows = yield Step(cypher.NODES, {"project": project, "kinds": kinds})
    else:
        keys = {node_key(project, node_id) for node_id in ids}
        rows = yield from _by_key(keys)
    found = [node_of(row) for row in rows]
    return sorted((n for n in found if n.kind in kinds), key=_node_order)


def neighbourhood(
    project: str, ids: Sequence[str], *, hops: int, at: datetime | None, about: Period | None
) -> Transaction[tuple[list[Node], list[Edge]]]:
    """The nodes within some hops of others, these included, and the edges that led there."""
    edges = yield from edges_near(project, ids, hops=hops, at=at, about=about)
    reached = {*ids, *(end for edge in edges for end in (edge.source, edge.target))}
    rows = yield from _by_key({node_key(project, node_id) for node_id in reached})
    return _whole([node_of(row) for row in rows], edges)


def edges_near(
    project: str, ids: Sequence[str], *, hops: int, at: datetime | None, about: Period | None
) -> Transaction[list[Edge]]:
    """The edges within some hops of nodes, in order."""
    asked = {
        "project": project,
        "at": microseconds(at or datetime.now(UTC)),
        "after": microseconds(about.begins) if about else cypher.OPEN_START,
        "before": microseconds(about.ends) if about else cypher.OPEN_END,
    }
    reached = set(ids)
    met: dict[tuple[Any, ...], Row] = {}
    frontier = reached
    for _ in range(hops):
        rows: list[Row] = []
        for part in batched(sorted(node_key(project, node_id) for node_id in frontier), BATCH):
            rows += yield Step(cypher.EDGES_OF, {**asked, "keys": list(part)})
        # Most come twice, once from each end: they are told apart before they are read.
        met.update(((*row[1:4], row[5]), row) for row in rows)
        frontier = {end for row in rows for end in row[1:3]} - reached
        reached = reached | frontier
        if not frontier:
            break
    return sorted(map(edge_of, met.values()), key=lambda edge: edge.edge_id)


def edges_of_kinds(
    project: str, ids: Sequence[str], kinds: Sequence[EdgeKind], *, at: datetime | None
) -> Transaction[list[Edge]]:
    """The edges of some kinds at some nodes that were written by a moment, in order."""
    asked = {
        "project": project,
        "kinds": [str(kind) for kind in kinds],
        "at": microseconds(at or datetime.now(UTC)),
    }
    edges: dict[str, Edge] = {}
    for part in batched(sorted({node_key(project, node_id) for node_id in ids}), BATCH):
        rows = yield Step(cypher.EDGES_OF_KINDS, {**asked, "keys": list(part)})
        edges.update((edge.edge_id, edge) for edge in map(edge_of, rows))
    return [edges[edge_id] for edge_id in sorted(edges)]


def everything(project: str) -> Transaction[tuple[list[Node], list[Edge]]]:
    """The nodes and edges of a project, expired ones included, both in order."""
    found = yield from nodes(project, kind=None, ids=None)
    rows = yield Step(cypher.EDGES, {"project": project})
    return _whole(found, (edge_of(row) for row in rows))


def forget(project: str, *, workflow_id: str | None) -> Transaction[int]:
    """Delete what a run wrote, or a project; the number of nodes that are gone.

    A node that another run wrote as well stays and is that run's from then on; edges of other
    runs go only with a node that goes. What the run had replaced is current again, unless another
    run replaced it too.
    """
    freed: set[str] = set()
    if workflow_id is None:
        rows = yield Step(cypher.PROJECT_KEYS, {"project": project})
        gone = sorted(row[0] for row in rows)
    else:
        values = {"project": project, "workflow_id": workflow_id}
        replaced = {"kind": str(EdgeKind.SUPERSEDES), "kinds": [str(kind) for kind in VERSIONED]}
        freed = {row[0] for row in (yield Step(cypher.TARGETS_OF_RUN, {**values, **replaced}))}
        yield Step(cypher.DELETE_EDGES_OF_RUN, values)
        gone = yield from _leave(project, workflow_id)
    for keys in batched(gone, BATCH):
        yield Step(cypher.DELETE_NODES, {"keys": list(keys)})
    yield from _judge_anew(project, freed)
    return len(gone)


def _judge_anew(project: str, node_ids: set[str]) -> Transaction[None]:
    """End what says that some things are current where it ended, and nowhere else."""
    for part in batched(sorted(node_ids), BATCH):
        values = {"project": project, "keys": [node_key(project, each) for each in part]}
        edges = [edge_of(row) for row in (yield Step(cypher.ALL_EDGES_OF, values))]
        edges = list({edge.edge_id: edge for edge in edges}.values())
        ended = {edge.edge_id for edge in edges_on_standing(edges, part) if edge.expired_at}
        opened = {"project": project, "open_end": cypher.OPEN_END}
        for some in batched(sorted(ended), BATCH):
            yield Step(cypher.LOCK_EDGES, {"edge_ids": list(some)})
            yield Step(cypher.OPEN_EDGES, {**opened, "edge_ids": list(some)})
        current = [
            edge.model_copy(update={"expired_at": None}) if edge.edge_id in ended else edge
            for edge in edges
        ]
        for at, edge_ids in no_longer_current(current).items():
            yield from expire(project, edge_ids, at=at)


def _leave(project: str, workflow_id: str) -> Transaction[list[str]]:
    """Take a run off the writers of its nodes; the keys of those that nobody else wrote."""
    mark = json.dumps(workflow_id)
    rows = yield Step(cypher.KEYS_WRITTEN_BY, {"project": project, "mark": mark})
    gone = []
    for keys in batched(sorted(row[0] for row in rows), BATCH):
        yield Step(cypher.LOCK_NODES, {"keys": list(keys)})
        found = yield Step(cypher.WRITERS, {"keys": list(keys)})
        kept = []
        for key, stored in found:
            writers = [writer for writer in json.loads(stored) if writer != workflow_id]
            if writers:
                kept.append(_writers_row(key, writers))
            else:
                gone.append(key)
        yield from _if_any(cypher.SET_WRITERS, "rows", kept)
    return gone


def _by_key(keys: set[str]) -> Transaction[list[Row]]:
    rows: list[Row] = []
    for part in batched(sorted(keys), BATCH):
        rows += yield Step(cypher.NODES_BY_KEY, {"keys": list(part)})
    return rows


def _if_any(statement: LiteralString, name: str, rows: list[dict[str, Any]]) -> Transaction[None]:
    if rows:
        yield Step(statement, {name: rows})


def _writers_row(key: str, writers: list[str]) -> dict[str, Any]:
    return {"key": key, "writers": json.dumps(writers), "workflow_id": writers[0]}


def _whole(found: list[Node], edges: Iterable[Edge]) -> tuple[list[Node], list[Edge]]:
    """Both in order, without edges to a node that another transaction just deleted."""
    ids = {node.node_id for node in found}
    kept = [edge for edge in edges if edge.source in ids and edge.target in ids]
    return sorted(found, key=_node_order), sorted(kept, key=lambda edge: edge.edge_id)


def _node_order(node: Node) -> str:
    return node.node_id

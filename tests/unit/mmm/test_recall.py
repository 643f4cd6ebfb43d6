"""The order that several ways are brought into, and what flows over a graph."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Passage
from mmm_workflows.mmm.recall import (
    WEIGHTS,
    Recalled,
    Superseded,
    Way,
    fuse,
    newest_first,
    spread,
    total,
)

names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
rankings = st.fixed_dictionaries({way: names.map(lambda n: [(x, 1.0) for x in n]) for way in Way})


def edge(source: str, target: str) -> Edge:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Edge(
        source=source, target=target, kind=EdgeKind.BASED_ON, workflow_id="r", created_at=moment
    )


def test_a_share_is_the_weight_over_sixty_and_the_rank() -> None:
    fused = fuse({Way.VECTORS: [("a", 0.9), ("b", 0.8)], Way.KEYWORDS: [("b", 3.0)]})
    assert [name for name, _ in fused] == ["b", "a"]
    assert total(fused[0][1]) == pytest.approx(1 / 62 + WEIGHTS[Way.KEYWORDS] / 61)
    assert [(p.way, p.rank, p.own_score) for p in fused[0][1]] == [
        (Way.VECTORS, 2, 0.8),
        (Way.KEYWORDS, 1, 3.0),
    ]


def test_equal_scores_are_ordered_by_id() -> None:
    weights = dict.fromkeys(Way, 1.0)
    one = {Way.VECTORS: [("b", 1.0)], Way.KEYWORDS: [("a", 1.0)], Way.GRAPH: [("c", 1.0)]}
    assert [name for name, _ in fuse(one, weights=weights)] == ["a", "b", "c"]


@given(rankings)
def test_every_passage_of_every_way_is_there_once_and_scores_add_up(ranked) -> None:
    fused = fuse(ranked)
    found = [name for name, _ in fused]
    assert len(found) == len(set(found))
    assert set(found) == {name for ranking in ranked.values() for name, _ in ranking}
    scores = [total(parts) for _, parts in fused]
    assert scores == sorted(scores, reverse=True)


@given(names)
def test_one_way_alone_keeps_its_order(ranked) -> None:
    assert [name for name, _ in fuse({Way.GRAPH: [(x, 1.0) for x in ranked]})] == ranked


def test_weight_flows_over_two_edges_and_no_further() -> None:
    edges = [edge("a", "b"), edge("c", "b"), edge("c", "d")]
    reached = spread({"a": 1.0}, edges, hops=2)
    assert reached["b"].strength == 1.0
    assert reached["c"].strength == 0.5
    assert "d" not in reached
    assert [(e.source, e.target) for e in reached["c"].path] == [("a", "b"), ("c", "b")]


def test_a_node_with_many_neighbours_gives_each_of_them_little() -> None:
    edges = [edge("seed", "few"), edge("seed", "hub"), edge("few", "x")]
    edges += [edge("hub", f"y{i}") for i in range(20)]
    reached = spread({"seed": 1.0}, edges, hops=2)
    assert reached["x"].strength > 5 * reached["y0"].strength


def test_two_edges_between_two_nodes_count_as_one_way_to_go() -> None:
    double = [edge("a", "b"), edge("b", "a"), edge("a", "c")]
    assert spread({"a": 1.0}, double, hops=1)["b"].strength == 0.5


def test_the_order_of_the_edges_does_not_matter() -> None:
    edges = [edge(a, b) for a, b in ("ab", "bc", "ac", "cd", "ae", "ed")]
    assert spread({"a": 1.0, "d": 0.5}, edges, hops=2) == spread(
        {"d": 0.5, "a": 1.0}, edges[::-1], hops=2
    )


def found(name: str, score: float, *, by: str = "", hours: int = 0, **about: str) -> Recalled:
    """A passage of a run of its own name, about the node of that name, superseded or not."""
    at = datetime(2026, 1, 1, hours, tzinfo=UTC)
    values = {"workflow_id": name, "node_id": name, "kind": "Model", **about}
    passage = Passage.model_validate({"passage_id": name, "text": name, "where": "/x", **values})
    replaced = Superseded(node_id=by, name=by, workflow_id=by, at=at, evidence="") if by else None
    return Recalled(passage=passage, score=score, parts=(), superseded=replaced)


def order(*recalled: Recalled) -> list[str]:
    return [each.passage.passage_id for each in newest_first(recalled)]


def test_what_was_superseded_stands_below_what_took_its_place() -> None:
    assert order(
        found("oldest", 0.9, by="old", hours=1),
        found("old", 0.8, by="new", hours=2),
        found("other", 0.7),
        found("elsewhere", 0.65, by="not found"),
        found("new", 0.6),
        found("last", 0.5),
    ) == ["other", "elsewhere", "new", "old", "oldest", "last"]
    # Of two that one thing replaced, the better one stays the better one.
    twins = [found(name, score, by="new") for name, score in (("a", 0.9), ("b", 0.8))]
    assert order(*twins, found("new", 0.5)) == ["new", "a", "b"]
    assert order(found("new", 0.9), *twins, found("last", 0.1)) == ["new", "a", "b", "last"]


def test_of_a_channel_only_what_the_newer_run_says_of_it_stands_above() -> None:
    tv = {"kind": "Channel", "node_id": "tv"}
    assert order(
        found("old tv", 0.9, by="new", **tv),
        found("radio", 0.8, kind="Channel", node_id="radio", workflow_id="new"),
        found("new tv", 0.7, workflow_id="new", **tv),
        found("new choice", 0.6, kind="Decision", workflow_id="new"),
    ) == ["radio", "new tv", "old tv", "new choice"]

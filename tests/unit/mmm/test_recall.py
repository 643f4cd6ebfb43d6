"""The order that several ways are brought into, and what flows over a graph."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.knowledge import Edge, EdgeKind
from mmm_workflows.mmm.recall import WEIGHTS, Way, fuse, spread, total

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

"""Causal graphs of plans: no circle, and what to control for."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.causal import BUDGET, DEMAND, complete_graph, default_graph, role_of
from mmm_workflows.mmm.plan import CausalEdge, CausalGraph, read_plan


def graph_of(*edges: str, unobserved: tuple[str, ...] = ()) -> CausalGraph:
    pairs = [edge.split(">") for edge in edges]
    return CausalGraph(
        edges=tuple(CausalEdge(cause=a, effect=b) for a, b in pairs), unobserved=unobserved
    )


def test_a_circle_is_refused_and_named() -> None:
    with pytest.raises(SpecError, match=r"circle: .*A -> B -> C|B -> C -> A|C -> A -> B") as caught:
        graph_of("A>B", "B>C", "C>A", "C>D")
    assert caught.value.code == "graph_cyclic"
    assert "D" not in caught.value.message.split("circle: ")[1].split(".")[0]
    with pytest.raises(SpecError, match="TV -> TV"):
        graph_of("TV>TV")


def test_a_circle_in_a_plan_that_a_person_wrote_is_refused_and_named() -> None:
    edges = [{"cause": "TV", "effect": "Sales"}, {"cause": "Sales", "effect": "TV"}]
    with pytest.raises(SpecError, match="circle") as caught:
        read_plan({"causal_graph": {"edges": edges}})
    assert caught.value.code == "graph_cyclic"


@pytest.mark.parametrize(
    ("edges", "role"),
    [
        (("V>X", "V>Y", "X>Y"), "confounder"),
        (("X>V", "V>Y"), "mediator"),
        (("X>V", "Y>V", "X>Y"), "collider"),
        (("Y>V", "X>Y"), "collider"),
        (("V>Y", "X>Y"), "precision"),
        (("V>X", "X>Y"), "instrument"),
        (("X>Y", "X>V"), "unrelated"),
        (("U>V", "U>X", "V>Y", "X>Y"), "confounder"),
        (("A>X", "A>V", "B>V", "B>Y", "X>Y"), "unrelated"),
    ],
)
def test_the_role_of_a_variable_follows_from_the_graph(edges: tuple[str, ...], role: str) -> None:
    assert role_of(graph_of(*edges), "V", "X", "Y") == role


def test_mediators_and_colliders_are_not_to_be_controlled_for() -> None:
    graph = default_graph("Sales", ["TV"], ["Price", "Website_Visits", "Attributed_Orders"])
    roles = {r.variable: r for r in graph.roles}
    assert roles["Website_Visits"].role == "mediator"
    assert roles["Attributed_Orders"].role == "collider"
    for name in ("Website_Visits", "Attributed_Orders"):
        assert not roles[name].control_for
        assert roles[name].why.startswith("do not control for it")
    [adjustment] = graph.adjustments
    assert adjustment.control_for == ("Price", "Season")
    assert adjustment.identified


def test_a_channel_that_demand_sets_is_said_to_be_not_identified() -> None:
    graph = default_graph("Sales", ["TV", "Search"], ["Price"])
    by_channel = {a.channel: a for a in graph.adjustments}
    assert by_channel["TV"].identified
    assert "Search" not in by_channel["TV"].control_for
    assert not by_channel["Search"].identified
    assert DEMAND in by_channel["Search"].why and BUDGET not in by_channel["Search"].why
    assert {r.role for r in graph.roles if (r.channel, r.variable) == ("TV", "Search")} == {
        "mediator"
    }


NAMES = "XYABCD"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from([(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]])))
def test_an_adjustment_that_is_said_to_identify_closes_every_back_door(
    edges: set[tuple[str, str]],
) -> None:
    # In the order X Y A B C D nothing could move X, so the names are dealt out anew.
    dealt = dict(zip(NAMES, "ABXCYD", strict=True))
    graph = graph_of(*(f"{dealt[a]}>{dealt[b]}" for a, b in edges), unobserved=("A",))
    [*adjustments] = complete_graph(graph, "Y", ["X"]).adjustments
    for adjustment in adjustments:
        net = nx.DiGraph((e.cause, e.effect) for e in graph.edges)
        below = nx.descendants(net, "X")
        assert not below & set(adjustment.control_for)
        assert "A" not in adjustment.control_for
        net.remove_edges_from(list(net.out_edges("X")))
        closed = nx.is_d_separator(net, {"X"}, {"Y"}, set(adjustment.control_for))
        assert closed is adjustment.identified


def test_a_mediator_never_closes_a_back_door() -> None:
    graph = graph_of("U>X", "U>M", "X>M", "M>Y", unobserved=("U",))
    [adjustment] = complete_graph(graph, "Y", ["X"]).adjustments
    assert adjustment.control_for == ()
    assert not adjustment.identified
    assert "through U" in adjustment.why

"""Which variable moves which, what each is to a channel's effect, and what to control for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import networkx as nx

from mmm_workflows.mmm.channel_words import kind_of_channel
from mmm_workflows.mmm.expectations import demand_reason
from mmm_workflows.mmm.names import words_of
from mmm_workflows.mmm.plan import Adjustment, CausalEdge, CausalGraph, CausalRole, VariableRole

DEMAND: Final = "Demand (not observed)"
BUDGET: Final = "Budget plan (not observed)"
SEASON: Final = "Season"
# Columns that media moves and that lead to the target.
MEDIATOR_WORDS: Final = frozenset(
    {"traffic", "visits", "visitors", "sessions", "clicks", "impressions", "awareness",
     "consideration", "leads", "carts", "downloads", "installs", "queries", "footfall"}
)  # fmt: skip
# Columns that media and the target move together.
COLLIDER_WORDS: Final = frozenset(
    {"attributed", "lastclick", "conversionrate", "marketshare", "stockout", "stock", "inventory",
     "reviews", "rating"}
)  # fmt: skip
# Drivers that are also looked at when media is planned.
PLANNED_WITH_MEDIA: Final = frozenset(
    {"promotion", "promotions", "promo", "holidays", "holiday", "discount", "price", "launches",
     "school", "trial", "incentives", "competitor", "weather", "temperature"}
)  # fmt: skip
_UPPER_FUNNEL: Final = frozenset({"TV", "Radio", "OOH", "Print", "Online video"})


def default_graph(target: str, channels: Sequence[str], controls: Sequence[str]) -> CausalGraph:
    """The graph that is usual for these names, with the roles and adjustments that follow."""
    edges = [_edge(SEASON, target, "demand has a yearly season")]
    edges += [e for c in channels for e in _channel_edges(c, target, channels)]
    edges += [e for c in controls for e in _control_edges(c, target, channels)]
    edges.append(_edge(DEMAND, target, "people buy when they want to"))
    return complete_graph(
        CausalGraph(edges=_once(edges), unobserved=(DEMAND, BUDGET)), target, channels
    )


def complete_graph(graph: CausalGraph, target: str, channels: Sequence[str]) -> CausalGraph:
    """A graph with the role of each variable and the adjustment of each channel worked out.

    Variables are judged for the total effect of one channel on the target at a time.
    """
    net = _network(graph)
    known = [c for c in channels if c in net and target in net]
    roles = [role for c in known for role in _roles(net, graph, c, target)]
    adjustments = [_adjustment(net, graph, c, target) for c in known]
    return graph.model_copy(update={"roles": tuple(roles), "adjustments": tuple(adjustments)})


def role_of(graph: CausalGraph, variable: str, channel: str, target: str) -> CausalRole:
    """What a variable is to the total effect of a channel on the target."""
    return _role(_network(graph), variable, channel, target)


def _channel_edges(channel: str, target: str, channels: Sequence[str]) -> list[CausalEdge]:
    reason = demand_reason(channel)
    edges = [
        _edge(channel, target, "it is advertised to sell"),
        _edge(SEASON, channel, "campaigns are booked for the season"),
        (
            _edge(DEMAND, channel, reason)
            if reason is not None
            else _edge(BUDGET, channel, "one budget is shared out over the channels")
        ),
    ]
    if kind_of_channel(channel) in _UPPER_FUNNEL:
        edges += [
            _edge(channel, other, "what is seen is searched for")
            for other in channels
            if kind_of_channel(other) == "Search"
        ]
    return edges


def _control_edges(control: str, target: str, channels: Sequence[str]) -> list[CausalEdge]:
    words = set(words_of(control)) | {"".join(words_of(control))}
    if words & COLLIDER_WORDS:
        back = [_edge(c, control, "media moves it") for c in channels]
        return [*back, _edge(target, control, "sales move it")]
    if words & MEDIATOR_WORDS or {"brand", "search"} <= words:
        into = [_edge(c, control, "media brings it about") for c in channels]
        return [*into, _edge(control, target, "it leads to the purchase")]
    edges = [_edge(control, target, "it moves demand")]
    if words & PLANNED_WITH_MEDIA:
        edges += [_edge(control, c, "media is planned around it") for c in channels]
    return edges


def _roles(net: nx.DiGraph, graph: CausalGraph, channel: str, target: str) -> list[VariableRole]:
    observed = [n for n in net if n not in (*graph.unobserved, channel, target)]
    return [_judged(net, n, channel, target) for n in sorted(observed)]


def _judged(net: nx.DiGraph, variable: str, channel: str, target: str) -> VariableRole:
    role = _role(net, variable, channel, target)
    reason = {
        "confounder": f"it moves {target}, and it moves {channel} or shares a cause with it",
        "mediator": f"do not control for it: part of the effect of {channel} runs through it",
        "collider": f"do not control for it: it is an effect of {target}, so holding it fixed "
        f"makes {channel} look related to what it is not",
        "precision": f"it moves {target} alone, so it narrows the estimate",
        "instrument": f"do not control for it: it moves {target} only through {channel}, so holding "
        "it fixed makes hidden confounding worse",
        "unrelated": f"it lies on no path from {channel} to {target}",
    }[role]
    return VariableRole(
        channel=channel,
        variable=variable,
        role=role,
        control_for=role in ("confounder", "precision"),
        why=reason,
    )


def _role(net: nx.DiGraph, variable: str, channel: str, target: str) -> CausalRole:
    below_channel = variable in nx.descendants(net, channel)
    if variable in nx.descendants(net, target):
        # Holding an effect of the target fixed selects on the target, whoever else moves it.
        return "collider"
    if below_channel:
        return "mediator" if target in nx.descendants(net, variable) else "unrelated"
    without = net.subgraph(set(net) - {channel})
    moves_target = target in nx.descendants(without, variable)
    above = nx.ancestors(net, channel)
    if not moves_target:
        return "instrument" if variable in above else "unrelated"
    shares_a_cause = variable in above or above & nx.ancestors(net, variable)
    return "confounder" if shares_a_cause else "precision"


def _adjustment(net: nx.DiGraph, graph: CausalGraph, channel: str, target: str) -> Adjustment:
    """A smallest set of observed variables that blocks every back door (Pearl's criterion)."""
    doors = net.copy()
    doors.remove_edges_from(list(net.out_edges(channel)))
    allowed = set(net) - set(graph.unobserved) - {channel, target} - nx.descendants(net, channel)
    found = nx.find_minimal_d_separator(doors, {channel}, {target}, restricted=allowed)
    if found is not None:
        chosen = tuple(sorted(found))
        listed = ", ".join(chosen) or "nothing"
        why = f"holding {listed} fixed closes every back door from {channel} to {target}"
        return Adjustment(
            channel=channel, target=target, control_for=chosen, identified=True, why=why
        )
    best = {v for v in allowed if _role(net, v, channel, target) == "confounder"}
    hidden = [u for u in graph.unobserved if u in doors
              and not nx.is_d_separator(doors, {channel}, {u}, best)
              and not nx.is_d_separator(doors, {u}, {target}, best)]  # fmt: skip
    return Adjustment(
        channel=channel,
        target=target,
        control_for=tuple(sorted(best)),
        identified=False,
        why=f"no observed variable closes the back door through {', '.join(sorted(hidden))}; an "
        "experiment would",
    )


def _network(graph: CausalGraph) -> nx.DiGraph:
    net = nx.DiGraph()
    net.add_edges_from((e.cause, e.effect) for e in sorted(graph.edges, key=_ends))
    return net


def _ends(edge: CausalEdge) -> tuple[str, str]:
    return edge.cause, edge.effect


def _edge(cause: str, effect: str, why: str) -> CausalEdge:
    return CausalEdge(cause=cause, effect=effect, why=why)


def _once(edges: Sequence[CausalEdge]) -> tuple[CausalEdge, ...]:
    return tuple({_ends(e): e for e in edges}.values())

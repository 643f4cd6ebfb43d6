"""What threatens that a plan's effects can be told from data, by rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.causal import PLANNED_WITH_MEDIA
from mmm_workflows.mmm.expectations import demand_reason
from mmm_workflows.mmm.names import words_of
from mmm_workflows.mmm.plan import CausalGraph, PlanRisk

YEARS_NEEDED: Final = 2.0
_PROMOTIONS: Final = PLANNED_WITH_MEDIA & {
    "promotion", "promotions", "promo", "discount", "trial", "incentives", "price"
}  # fmt: skip


def risks_of(
    graph: CausalGraph,
    channels: Sequence[str],
    controls: Sequence[str],
    *,
    years: float | None = None,
    geographies: int | None = None,
    country: str | None = None,
) -> tuple[PlanRisk, ...]:
    """The risks of a plan, the gravest first.

    Args:
        graph: The plan's graph with its roles.
        channels: The plan's channels.
        controls: The plan's controls.
        years: How long the history is; None when it is not known.
        geographies: How many series there are; None when it is not known, and one is assumed.
        country: The country of the holidays, when one is known.
    """
    found = [
        *_demand_driven(channels),
        *_post_treatment(graph, channels),
        *_mediated(graph, channels),
        *_promotions(controls),
        *_together(channels, geographies),
        *_history(years),
        *_series(geographies),
        *_country(country),
    ]
    return tuple(found)


def _demand_driven(channels: Sequence[str]) -> list[PlanRisk]:
    return [
        PlanRisk(
            kind="demand_driven_channel",
            what=f"The spend of {channel} follows demand.",
            why=f"{reason}; it is high when sales are high anyway, so its effect is overstated",
            action=f"Run a holdout or geo experiment for {channel}, or add a measure of demand that "
            "media does not move; until then read its return as an upper end.",
            variables=(channel,),
        )
        for channel in channels
        if (reason := demand_reason(channel)) is not None
    ]


def _post_treatment(graph: CausalGraph, channels: Sequence[str]) -> list[PlanRisk]:
    wrong = sorted(
        {r.variable for r in graph.roles if r.role in ("mediator", "collider")} - set(channels)
    )
    return [
        PlanRisk(
            kind="post_treatment_variable",
            what=f"{name} is itself moved by media or by the target.",
            why="held fixed, it takes away part of the effect or makes up one",
            action=f"Leave {name} out of the controls.",
            variables=(name,),
        )
        for name in wrong
    ]


def _mediated(graph: CausalGraph, channels: Sequence[str]) -> list[PlanRisk]:
    through = [(r.channel, r.variable) for r in graph.roles
               if r.role == "mediator" and r.variable in channels]  # fmt: skip
    middles = sorted({middle for _, middle in through})
    return [
        PlanRisk(
            kind="mediated_channel",
            what=f"Part of the effect of {', '.join(c for c, m in through if m == middle)} runs "
            f"through {middle}.",
            why=f"with {middle} in the model as a channel, the others' figures are without that part",
            action=f"Read the returns of the others as direct effects, or compare with a model "
            f"without {middle}.",
            variables=(middle, *(c for c, m in through if m == middle)),
        )
        for middle in middles
    ]


def _promotions(controls: Sequence[str]) -> list[PlanRisk]:
    aligned = tuple(c for c in controls if _PROMOTIONS & set(words_of(c)))
    if not aligned:
        return []
    return [
        PlanRisk(
            kind="promotions_with_media",
            what=f"{', '.join(aligned)} may change in the weeks in which media runs.",
            why="what always comes together cannot be told apart",
            action="Bring the series into the data, and keep some promotions without media.",
            variables=aligned,
        )
    ]


def _together(channels: Sequence[str], geographies: int | None) -> list[PlanRisk]:
    if len(channels) < 2 or (geographies or 1) > 1:
        return []
    return [
        PlanRisk(
            kind="budgets_move_together",
            what="The channels may be raised and cut in the same weeks.",
            why="then the data cannot tell which of them worked",
            action="Look at the correlations in EDA, and change one channel at a time for a while.",
            variables=tuple(channels),
        )
    ]


def _history(years: float | None) -> list[PlanRisk]:
    if years is None or years >= YEARS_NEEDED:
        return []
    return [
        PlanRisk(
            kind="short_history",
            what="The history is shorter than 2 years.",
            why="a season that is seen once cannot be told from a trend or from media in its weeks",
            action="Add older periods, or bring in the category's season as a control.",
        )
    ]


def _series(geographies: int | None) -> list[PlanRisk]:
    if geographies is not None and geographies > 1:
        return []
    return [
        PlanRisk(
            kind="one_national_series",
            what="There may be one national series only.",
            why="each week is seen once, so there is little to compare it with",
            action="Collect sales and spend by region where they differ.",
        )
    ]


def _country(country: str | None) -> list[PlanRisk]:
    if country is not None:
        return []
    return [
        PlanRisk(
            kind="unknown_country",
            what="The question names no country.",
            why="holidays move sales and media plans alike, and which ones is not known",
            action="Name the country.",
        )
    ]

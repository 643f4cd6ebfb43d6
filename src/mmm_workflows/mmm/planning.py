"""A research plan from a question by rules: what the words say, else what is usual."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.categories import (
    CATEGORIES,
    DEFAULT_DRIVER_REASON,
    DRIVER_REASONS,
    GENERIC,
    Category,
)
from mmm_workflows.mmm.causal import default_graph
from mmm_workflows.mmm.channel_words import CHANNEL_WORDS
from mmm_workflows.mmm.countries import country_of
from mmm_workflows.mmm.expectations import demand_reason, expected_adstock, expected_saturation
from mmm_workflows.mmm.plan import (
    CausalGraph,
    DataRequirement,
    Hypothesis,
    PlannedChannel,
    PlannedControl,
    PlannedPrior,
    ResearchPlan,
)
from mmm_workflows.mmm.plan_choices import (
    TARGET_WORDS,
    category_decision,
    choose_channels,
    choose_controls,
    choose_geography,
    choose_target,
    named_in,
)
from mmm_workflows.mmm.risks import risks_of
from mmm_workflows.mmm.seasons import holidays_of, season_of
from mmm_workflows.records import Decision

HISTORY: Final = re.compile(
    r"(?P<count>\d+|one|two|three|four|five)\s+(?P<unit>years?|months?|weeks?)"
    r"(?:\s+of\s+(?P<grain>daily|weekly|monthly))?",
    re.IGNORECASE,
)
NEGATION: Final = re.compile(
    r"\b(no|not|without|except|remove|drop|instead|don't)\b", re.IGNORECASE
)
GRAIN: Final = re.compile(r"\b(daily|weekly|monthly)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ProposedPlan:
    """A plan with the choices that the rules took for it."""

    plan: ResearchPlan
    category: str
    decisions: tuple[Decision, ...]


def find_category(question: str) -> Category:
    """The category whose words stand in the question first; ``GENERIC`` when none does."""
    found = [
        (match.start(), index)
        for index, category in enumerate(CATEGORIES)
        for word in category.words
        if (match := re.search(rf"\b{re.escape(word)}s?\b", question, re.IGNORECASE))
    ]
    return CATEGORIES[min(found)[1]] if found else GENERIC


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """What is known of the data before a plan is made; None where it is not.

    Attributes:
        controls: The columns of drivers that are not media.
        years: How long the history is.
        geographies: How many series there are.
    """

    target: str | None = None
    channels: Sequence[str] | None = None
    controls: Sequence[str] | None = None
    years: float | None = None
    geographies: int | None = None


def propose_plan(
    question: str,
    *,
    target: str | None = None,
    channels: Sequence[str] | None = None,
    known: KnownData | None = None,
    earlier: Sequence[ResearchPlan] = (),
) -> ProposedPlan:
    """A plan from what is known of the data, else the question, else earlier plans, else what is usual.

    Args:
        question: What the user wants to know.
        target: The target column, when the data is known.
        channels: The channel columns, when the data is known.
        known: More of the data; ``target`` and ``channels`` win over it.
        earlier: Plans of earlier runs of this project, the newest first.
    """
    data = known or KnownData()
    category = find_category(question)
    remembered = _remembered(earlier)
    target_variable, target_decision = choose_target(
        question, target or data.target, remembered, category
    )
    names, channel_decision = choose_channels(
        question, channels or data.channels, remembered, category
    )
    controls, control_decision = choose_controls(data.controls, remembered, category)
    place, place_decision = choose_geography(question, remembered)
    history = HISTORY.search(question)
    years = data.years if data.years is not None else _years_said(history)
    graph = default_graph(target_variable, names, controls)
    plan = ResearchPlan(
        objective=question.strip(),
        target_variable=target_variable,
        channels=_channels(names, category),
        controls=_controls(controls, graph),
        hypotheses=_hypotheses(target_variable, names, controls),
        data_requirements=_requirements(target_variable, names, controls, _grain(question)),
        geography=place,
        period=history.group(0) if history else None,
        causal_graph=graph,
        seasonality=season_of(category.name, place),
        holidays=holidays_of(place),
        risks=risks_of(
            graph,
            names,
            controls,
            years=years,
            geographies=data.geographies,
            country=place if country_of(place) else None,
        ),
    )
    decisions = (
        category_decision(category), target_decision, channel_decision, control_decision,
        place_decision,
    )  # fmt: skip
    return ProposedPlan(plan, category.name, decisions)


def add_evidence(
    plan: ResearchPlan, claims: Sequence[str], priors: Sequence[PlannedPrior] = ()
) -> ResearchPlan:
    """The plan with the claims it rests on and the priors that were proposed from them.

    Raises:
        ValueError: A prior rests on a claim that is not given, or is of no channel of the plan.
    """
    channels = {c.name for c in plan.channels}
    for prior in priors:
        if prior.channel not in channels or not set(prior.claims) <= set(claims):
            raise ValueError(f"the prior of {prior.channel!r} rests on what the plan does not have")
    return plan.model_copy(
        update={"evidence": tuple(dict.fromkeys(claims)), "priors": tuple(priors)}
    )


def describe_plan(plan: ResearchPlan, category: str, *, searched: bool = False) -> str:
    """The plan in sentences; they say whether it rests on evidence or on defaults."""
    channels = ", ".join(c.name for c in plan.channels)
    controls = ", ".join(c.name for c in plan.controls)
    return (
        f"{_ground(plan, category, searched)} "
        f"It explains {plan.target_variable} by {channels}, with {controls or 'no'} drivers that "
        "are not media. Replace what does not fit before you rely on it."
    )


def _ground(plan: ResearchPlan, category: str, searched: bool) -> str:
    usual = (
        "this plan rests on the words of the question and on what is usual in the category "
        f"{category!r}, not on evidence about this brand."
    )
    if not searched:
        return f"No web search was made: {usual}"
    if not plan.evidence:
        return f"No evidence found in the pages that were read: {usual}"
    priors = (
        f" and {len(plan.priors)} proposed priors, none in use until accepted"
        if plan.priors
        else ""
    )
    return (
        f"Pages were read; {len(plan.evidence)} cited claims{priors} stand beside what is usual in "
        f"the category {category!r}. None of them is about this brand."
    )


def revise_plan(plan: ResearchPlan, feedback: str, *, question: str) -> ResearchPlan | None:
    """The plan with the target and channels that the feedback names.

    Args:
        plan: What was shown; its objective may be a model's words.
        feedback: What a person answered.
        question: What the plan was made for; the category is read from it.

    Returns:
        None when the feedback names neither, or says what it does not want: words that the rules
        cannot be sure of are asked about, never guessed.
    """
    targets, channels = named_in(feedback, TARGET_WORDS), named_in(feedback, CHANNEL_WORDS)
    if NEGATION.search(feedback) or not (targets or channels) or len(targets) > 1:
        return None
    category = find_category(question)
    target = targets[0] if targets else plan.target_variable or category.target
    names = tuple(channels) or tuple(c.name for c in plan.channels)
    fresh = propose_plan(question, target=target, channels=names, earlier=(plan,)).plan
    return fresh.model_copy(
        update={
            "evidence": plan.evidence,
            "priors": tuple(p for p in plan.priors if p.channel in names),
        }
    )


def _remembered(earlier: Sequence[ResearchPlan]) -> ResearchPlan:
    """What earlier plans say, each field from the newest that has it."""
    fields = ("target_variable", "channels", "controls", "geography")
    said = {f: next((v for plan in earlier if (v := getattr(plan, f))), None) for f in fields}
    return ResearchPlan.model_validate({f: value for f, value in said.items() if value})


def _channels(names: Sequence[str], category: Category) -> tuple[PlannedChannel, ...]:
    return tuple(
        PlannedChannel(
            name=name,
            set_by="demand" if demand_reason(name) else None,
            why=f"paid line of a {category.name} plan",
            adstock=expected_adstock(name, category.name),
            saturation=expected_saturation(name),
        )
        for name in names
    )


def _controls(names: Sequence[str], graph: CausalGraph) -> tuple[PlannedControl, ...]:
    return tuple(
        PlannedControl(name=name, role=_main_role(name, graph), why=_reason(name)[1])
        for name in names
    )


def _main_role(name: str, graph: CausalGraph) -> str | None:
    """The role that matters most over the channels: one mediated effect is enough to keep it out."""
    roles = {r.role for r in graph.roles if r.variable == name}
    order = ("collider", "mediator", "instrument", "confounder", "precision")
    return next((role for role in order if role in roles), None)


def _hypotheses(
    target: str, channels: Sequence[str], controls: Sequence[str]
) -> tuple[Hypothesis, ...]:
    media = [
        Hypothesis(
            cause=name,
            effect=target,
            sign="positive",
            why="paid media should not lower the target; its returns diminish and carry over",
        )
        for name in channels
    ]
    drivers = [
        Hypothesis(cause=c, effect=target, sign=_reason(c)[0], why=_reason(c)[1]) for c in controls
    ]
    return (*media, *drivers)


def _requirements(
    target: str, channels: Sequence[str], controls: Sequence[str], grain: str
) -> tuple[DataRequirement, ...]:
    history = "at least 2 years, so that a season is seen twice"
    needed = [
        DataRequirement(
            variable=target, why="it is what the model explains", granularity=grain, history=history
        )
    ]
    needed += [
        DataRequirement(
            variable=f"{name} spend",
            why="its return can only be learned where its spend varies",
            granularity=grain,
            history=history,
            unit="money",
        )
        for name in channels
    ]
    needed += [
        DataRequirement(
            variable=c, why=_reason(c)[1], granularity=grain, history=history, required=False
        )
        for c in controls
    ]
    return tuple(needed)


def _reason(driver: str) -> tuple[str, str]:
    return DRIVER_REASONS.get(driver, DEFAULT_DRIVER_REASON)


def _grain(question: str) -> str:
    match = GRAIN.search(question)
    return match.group(1).lower() if match else "weekly"


def _years_said(history: re.Match[str] | None) -> float | None:
    if history is None:
        return None
    words = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
    said = history["count"].lower()
    count = words[said] if said in words else int(said)
    per_year = {"year": 1, "month": 12, "week": 52}
    return count / per_year[history["unit"].lower().rstrip("s")]

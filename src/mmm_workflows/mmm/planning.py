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
from mmm_workflows.mmm.plan import (
    DataRequirement,
    Hypothesis,
    PlannedChannel,
    PlannedControl,
    ResearchPlan,
)
from mmm_workflows.records import Decision

CHANNEL_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "TV": ("tv", "television"),
    "Radio": ("radio",),
    "OOH": ("ooh", "out of home", "out-of-home", "billboard", "billboards"),
    "Print": ("print", "newspaper", "newspapers", "magazine", "magazines"),
    "Search": ("search", "sea", "ppc", "google ads", "adwords"),
    "Social": ("social", "facebook", "instagram", "tiktok", "meta"),
    "Display": ("display", "banner", "banners", "programmatic"),
    "Online video": ("online video", "youtube", "video"),
    "Affiliate": ("affiliate", "affiliates"),
    "Digital": ("digital", "online"),
}
TARGET_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "Revenue": ("revenue", "turnover"),
    "Sales": ("sales",),
    "Conversions": ("conversions", "orders", "purchases"),
    "New subscriptions": ("sign-ups", "signups", "subscriptions", "subscribers"),
    "Leads": ("leads",),
    "Bookings": ("bookings",),
}
COUNTRIES: Final = (
    "Australia", "Austria", "Belgium", "Brazil", "Canada", "China", "Denmark", "Europe", "Finland",
    "France", "Germany", "India", "Ireland", "Italy", "Japan", "Mexico", "Netherlands", "Norway",
    "Poland", "Portugal", "Spain", "Sweden", "Switzerland", "UK", "US", "USA", "United Kingdom",
    "United States",
)  # fmt: skip
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


def propose_plan(
    question: str, *, target: str | None = None, channels: Sequence[str] | None = None
) -> ProposedPlan:
    """A plan from what is known of the data, else the question's words, else the category.

    Args:
        question: What the user wants to know.
        target: The target column, when the data is known.
        channels: The channel columns, when the data is known.
    """
    category = find_category(question)
    decisions = [_category_decision(category)]
    target_variable, target_decision = _choose_target(question, target, category)
    names, channel_decision = _choose_channels(question, channels, category)
    decisions += [target_decision, channel_decision]
    history = HISTORY.search(question)
    grain = _grain(question)
    plan = ResearchPlan(
        objective=question.strip(),
        target_variable=target_variable,
        channels=tuple(
            PlannedChannel(name=n, set_by=None, why=f"paid line of a {category.name} plan")
            for n in names
        ),
        controls=tuple(
            PlannedControl(name=c, role="confounder", why=_reason(c)[1]) for c in category.controls
        ),
        hypotheses=_hypotheses(target_variable, names, category),
        data_requirements=_requirements(target_variable, names, category, grain),
        geography=_geography(question),
        period=history.group(0) if history else None,
    )
    return ProposedPlan(plan, category.name, tuple(decisions))


def describe_plan(plan: ResearchPlan, category: str) -> str:
    """The plan in sentences; they say that it rests on defaults."""
    channels = ", ".join(c.name for c in plan.channels)
    controls = ", ".join(c.name for c in plan.controls)
    return (
        "No web search was made: this plan rests on the words of the question and on what is "
        f"usual in the category {category!r}, not on evidence about this brand. "
        f"It explains {plan.target_variable} by {channels}, with {controls} as drivers that are "
        "not media. Replace what does not fit before you rely on it."
    )


def revise_plan(plan: ResearchPlan, feedback: str) -> ResearchPlan | None:
    """The plan with the target and channels that the feedback names.

    Returns:
        None when the feedback names neither, or says what it does not want: words that the rules
        cannot be sure of are asked about, never guessed.
    """
    targets, channels = _named_in(feedback, TARGET_WORDS), _named_in(feedback, CHANNEL_WORDS)
    if NEGATION.search(feedback) or not (targets or channels) or len(targets) > 1:
        return None
    category = find_category(plan.objective or "")
    target = targets[0] if targets else plan.target_variable or category.target
    names = tuple(channels) or tuple(c.name for c in plan.channels)
    fresh = propose_plan(plan.objective or feedback, target=target, channels=names).plan
    return fresh.model_copy(update={"objective": plan.objective})


def _choose_target(question: str, given: str | None, category: Category) -> tuple[str, Decision]:
    said = _named_in(question, TARGET_WORDS)
    if given:
        choice, reason = given, "it is the target named with the data"
    elif said:
        choice, reason = said[0], "the question names it"
    else:
        choice, reason = category.target, f"it is usual in the category {category.name!r}"
    decision = Decision(
        question="What is to be explained?",
        options=tuple(dict.fromkeys([choice, *said, category.target])),
        choice=choice,
        reason=reason,
    )
    return choice, decision


def _choose_channels(
    question: str, given: Sequence[str] | None, category: Category
) -> tuple[tuple[str, ...], Decision]:
    said = _named_in(question, CHANNEL_WORDS)
    if given:
        names, reason = tuple(given), "they are the channels named with the data"
    elif said:
        names, reason = tuple(said), "the question names them"
    else:
        names, reason = category.channels, f"they are usual in the category {category.name!r}"
    decision = Decision(
        question="Which channels belong in the plan?",
        options=tuple(dict.fromkeys([*names, *category.channels])),
        choice=", ".join(names),
        reason=reason,
    )
    return names, decision


def _category_decision(category: Category) -> Decision:
    known = category is not GENERIC
    return Decision(
        question="Which product category is this?",
        options=tuple(c.name for c in (*CATEGORIES, GENERIC)),
        choice=category.name,
        reason="a word of the question belongs to it" if known else "no word names a category",
    )


def _named_in(question: str, words: dict[str, tuple[str, ...]]) -> list[str]:
    return [
        name
        for name, variants in words.items()
        if any(re.search(rf"\b{re.escape(v)}\b", question, re.IGNORECASE) for v in variants)
    ]


def _hypotheses(target: str, channels: Sequence[str], category: Category) -> tuple[Hypothesis, ...]:
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
        Hypothesis(cause=c, effect=target, sign=_reason(c)[0], why=_reason(c)[1])
        for c in category.controls
    ]
    return (*media, *drivers)


def _requirements(
    target: str, channels: Sequence[str], category: Category, grain: str
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
        for c in category.controls
    ]
    return tuple(needed)


def _reason(driver: str) -> tuple[str, str]:
    return DRIVER_REASONS.get(driver, DEFAULT_DRIVER_REASON)


def _grain(question: str) -> str:
    match = GRAIN.search(question)
    return match.group(1).lower() if match else "weekly"


def _geography(question: str) -> str | None:
    # "US" in lower case is a pronoun, so countries are matched as written.
    return next((c for c in COUNTRIES if re.search(rf"\b{re.escape(c)}\b", question)), None)

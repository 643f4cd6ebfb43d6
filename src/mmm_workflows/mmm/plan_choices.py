"""What a plan explains, by which channels and drivers: said, else remembered, else usual."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.categories import CATEGORIES, GENERIC, Category
from mmm_workflows.mmm.channel_words import CHANNEL_WORDS
from mmm_workflows.mmm.countries import geography_in
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.records import Decision

TARGET_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "Revenue": ("revenue", "turnover"),
    "Sales": ("sales",),
    "Conversions": ("conversions", "orders", "purchases"),
    "New subscriptions": ("sign-ups", "signups", "subscriptions", "subscribers"),
    "Leads": ("leads",),
    "Bookings": ("bookings",),
}
NOWHERE: Final = "none named"
EARLIER: Final = "an earlier run of this project planned it"


def choose_target(
    question: str, given: str | None, remembered: ResearchPlan, category: Category
) -> tuple[str, Decision]:
    """The series to explain, and why it was chosen."""
    said = named_in(question, TARGET_WORDS)
    if given:
        choice, reason = given, "it is the target named with the data"
    elif said:
        choice, reason = said[0], "the question names it"
    elif remembered.target_variable:
        choice, reason = remembered.target_variable, EARLIER
    else:
        choice, reason = category.target, f"it is usual in the category {category.name!r}"
    decision = Decision(
        question="What is to be explained?",
        options=tuple(dict.fromkeys([choice, *said, category.target])),
        choice=choice,
        reason=reason,
    )
    return choice, decision


def choose_channels(
    question: str,
    given: Sequence[str] | None,
    remembered: ResearchPlan,
    category: Category,
) -> tuple[tuple[str, ...], Decision]:
    """The channels of the plan, and why they were chosen."""
    said = named_in(question, CHANNEL_WORDS)
    if given:
        names, reason = tuple(given), "they are the channels named with the data"
    elif said:
        names, reason = tuple(said), "the question names them"
    elif remembered.channels:
        names, reason = tuple(c.name for c in remembered.channels), EARLIER
    else:
        names, reason = category.channels, f"they are usual in the category {category.name!r}"
    decision = Decision(
        question="Which channels belong in the plan?",
        options=tuple(dict.fromkeys([*names, *category.channels])),
        choice=", ".join(names),
        reason=reason,
    )
    return names, decision


def choose_controls(
    given: Sequence[str] | None, remembered: ResearchPlan, category: Category
) -> tuple[tuple[str, ...], Decision]:
    """The drivers that are not media, and why they were chosen; given ones may be none."""
    if given is not None:
        names, reason = tuple(given), "they are the controls named with the data"
    elif remembered.controls:
        names, reason = tuple(c.name for c in remembered.controls), EARLIER
    else:
        names, reason = category.controls, f"they are usual in the category {category.name!r}"
    decision = Decision(
        question="Which drivers that are not media belong in the plan?",
        options=tuple(dict.fromkeys([*names, *category.controls])),
        choice=", ".join(names) or "none",
        reason=reason,
    )
    return names, decision


def choose_geography(question: str, remembered: ResearchPlan) -> tuple[str | None, Decision]:
    """The country or region of the plan, and why it was chosen; None where nothing names one."""
    said = geography_in(question)
    if said:
        choice, reason = said, "the question names it"
    elif remembered.geography:
        choice = remembered.geography
        reason = (
            f"{EARLIER}; a question that names another one, or start_from rules, says otherwise"
        )
    else:
        choice, reason = None, "the question names none"
    decision = Decision(
        question="Which country or region is the plan for?",
        options=tuple(dict.fromkeys(filter(None, [choice, remembered.geography, NOWHERE]))),
        choice=choice or NOWHERE,
        reason=reason,
    )
    return choice, decision


def category_decision(category: Category) -> Decision:
    """Which category was read from the question."""
    known = category is not GENERIC
    return Decision(
        question="Which product category is this?",
        options=tuple(c.name for c in (*CATEGORIES, GENERIC)),
        choice=category.name,
        reason="a word of the question belongs to it" if known else "no word names a category",
    )


def named_in(question: str, words: dict[str, tuple[str, ...]]) -> list[str]:
    """The names of which a word stands in the question."""
    return [
        name
        for name, variants in words.items()
        if any(re.search(rf"\b{re.escape(v)}\b", question, re.IGNORECASE) for v in variants)
    ]

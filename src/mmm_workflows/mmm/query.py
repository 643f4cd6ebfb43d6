"""Plain words to an exact plan, by rules: what cannot be read in full is asked about."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.budget_query import BudgetQuestion, asks_for_allocation, read_budget
from mmm_workflows.mmm.change_query import Reading, read_changes, tidy
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import money, percent
from mmm_workflows.mmm.optimize import Bound, default_bounds, seen_limit
from mmm_workflows.mmm.questions import ChannelLimit, Interpretation, QueryKind, ask_back
from mmm_workflows.mmm.scenario import plan_of
from mmm_workflows.mmm.spoken_windows import read_window
from mmm_workflows.mmm.windows import Reference, make_reference

# A plan is said in fewer; what is longer is a text about something else.
MAX_CHARACTERS: Final = 1000
UNFINISHED: Final = re.compile(r"\b(?:and|but|or|then|while|if)$")
# "If we had spent" asks about what is past; "if we had 10% more budget" does not.
PAST: Final = re.compile(
    r"\b(?:would|could|should) have\b|\bhad (?:been|\w+ed|spent|cut|put|set)\b|\bhappened\b"
)


def interpret(question: str, draws: Draws) -> Interpretation:
    """The plan that a question describes, or the questions to ask back.

    Every word must belong to what was read; amounts, channels and windows are never guessed.
    """
    if len(question) > MAX_CHARACTERS:
        return ask_back(question, [f"What is the question in at most {MAX_CHARACTERS} characters?"])
    text = tidy(question)
    unfinished = UNFINISHED.search(text)
    if unfinished is not None:
        return ask_back(question, [f"How does the question go on after {unfinished.group()!r}?"])
    spoken = read_window(text, draws)
    if spoken.question is not None or spoken.window is None:
        return ask_back(question, [spoken.question or "Which window is meant?"])
    if PAST.search(question.lower()) and spoken.window.start > draws.dates[-1].item():
        first, last = draws.dates[0], draws.dates[-1]
        return ask_back(question, [f"Which window of the past is meant, from {first} to {last}?"])
    try:
        reference = make_reference(draws, spoken.window)
        if asks_for_allocation(spoken.rest):
            return _allocation(question, spoken.rest, spoken.said, reference, draws)
        return _simulation(question, spoken.rest, spoken.said, reference, draws)
    except QueryError as error:
        return ask_back(question, [error.message])


def bounds_of(
    draws: Draws, reference: Reference, asked: Interpretation, total: float
) -> dict[str, Bound]:
    """The bounds of an allocation: those of the question, else the default ones."""
    if asked.max_change_0_1 is not None:
        bounds = _within(draws, reference, asked.max_change_0_1)
    else:
        bounds = default_bounds(draws, reference, total)
    for limit in asked.limits:
        bounds[limit.channel] = _limited(bounds[limit.channel], limit)
    return bounds


def _within(draws: Draws, reference: Reference, share: float) -> dict[str, Bound]:
    bounds = {}
    for c, name in enumerate(draws.channels):
        usual, seen = float(reference.totals[c]), seen_limit(draws, reference, c)
        low = min(max(0.0, 1 - share) * usual, seen)
        bounds[name] = Bound(low=low, high=min((1 + share) * usual, seen))
    return bounds


def _limited(bound: Bound, limit: ChannelLimit) -> Bound:
    low = bound.low if limit.low is None else limit.low
    high = bound.high if limit.high is None else limit.high
    if limit.low is not None and limit.high is None:
        high = max(high, low)
    if limit.high is not None and limit.low is None:
        low = min(low, high)
    return Bound(low=low, high=high)


def _simulation(
    question: str, text: str, said: str, reference: Reference, draws: Draws
) -> Interpretation:
    reading = read_changes(text, draws, reference)
    if reading.questions:
        return ask_back(question, reading.questions)
    plan = plan_of(draws, reference, reading.changes)
    changed = {change.channel for change in reading.changes}
    idle = [name for name in draws.channels if name in changed and not reading.total_of(name)]
    if idle and np.array_equal(plan, reference.spend):
        return ask_back(question, [_ask_for_money(idle[0], reference)])
    unit = draws.spend_unit
    lines = [
        f"{name} from {money(float(reference.totals[c]), unit)} to "
        f"{money(float(plan[:, c].sum()), unit)}"
        for c, name in enumerate(draws.channels)
        if name in changed
    ]
    window = reference.window
    return Interpretation(
        kind=QueryKind.SIMULATE,
        echo=f"Simulate {window.start} to {window.end} ({said}): {'; '.join(lines)}. The reference "
        f"is {reference.how}; everything else stays as in it.",
        window=window,
        changes=tuple(reading.changes),
    )


def _ask_for_money(channel: str, reference: Reference) -> str:
    window = reference.window
    return (
        f"{channel} has no spend in the reference from {window.start} to {window.end} "
        f"({reference.how}), so nothing would change. What should it get, as in 'set {channel} to "
        "50k', or which other window is meant?"
    )


def _allocation(
    question: str, text: str, said: str, reference: Reference, draws: Draws
) -> Interpretation:
    reading = Reading(draws, reference)
    asked = read_budget(text, reading)
    if reading.questions:
        return ask_back(question, reading.questions)
    usual = float(reference.totals.sum())
    total = usual if asked.total is None else asked.total
    window, unit = reference.window, draws.spend_unit
    of_total = (
        "the total of the reference, as no other was named"
        if asked.total is None
        else f"the reference spends {money(usual, unit)}"
    )
    return Interpretation(
        kind=QueryKind.OPTIMIZE,
        echo=f"Allocate {money(total, unit)} ({of_total}) over {window.start} to {window.end} "
        f"({said}), {_limits_said(asked, unit)}. The reference is {reference.how}.",
        window=window,
        total=total,
        limits=tuple(asked.limits),
        max_change_0_1=asked.max_change_0_1,
    )


def _limits_said(asked: BudgetQuestion, unit: str) -> str:
    usual = (
        "each channel between half and one and a half times its share of the reference"
        if asked.max_change_0_1 is None
        else f"each channel within {percent(asked.max_change_0_1)} of its reference"
    )
    said = [usual, "no period above the highest of the data"]
    for limit in asked.limits:
        if limit.low == limit.high and limit.low is not None:
            said.append(f"{limit.channel} fixed at {money(limit.low, unit)}")
        elif limit.low is not None:
            said.append(f"{limit.channel} at least {money(limit.low, unit)}")
        elif limit.high is not None:
            said.append(f"{limit.channel} at most {money(limit.high, unit)}")
    return ", ".join(said)

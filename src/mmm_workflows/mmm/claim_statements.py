"""The sentence of a claim: written by code, or taken from a model that adds nothing to the quote."""

from __future__ import annotations

import re
from typing import Final

from mmm_workflows.mmm.channel_words import channels_in
from mmm_workflows.mmm.hostile import addresses_a_program, has_hidden_characters, has_link
from mmm_workflows.mmm.readings import ALL_MEDIA, CHANGE, NOT_STATED, Kpi, Reading, Unit

MAX_STATEMENT_CHARACTERS: Final = 200
KPI_NAMES: Final = {
    Kpi.ROAS: "ROAS",
    Kpi.ROI: "ROI",
    Kpi.ELASTICITY: "elasticity",
    Kpi.CARRY_OVER: "carry-over",
    Kpi.HALF_LIFE: "half-life",
    Kpi.SATURATION: "saturation",
    Kpi.SEASONALITY: "seasonality",
    Kpi.SHARE: "share",
}
_FIGURE: Final = re.compile(r"[€$£]?\d+(?:[.,'\u2019]\d+)*(?:\s?%|[A-Za-z\u00d7]+)?")
_NUMBER_WORDS: Final = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|twenty|thirty"
    r"|forty|fifty|hundreds?|thousands?|millions?|billions?|half|halves|halved?|thirds?|quarters?"
    r"|doubl\w*|tripl\w*|twice|thrice|\w*fold|percent|most|majority|zwei|drei|vier|fünf|zehn|hälfte"
    r"|doppelt\w*|dreifach\w*)\b",
    re.IGNORECASE,
)
_MARKUP: Final = re.compile(r"[<>\[\]`|\\{}*#_~]")


def state(reading: Reading) -> str:
    """What a quote says, in one sentence with no figure but the quote's own."""
    of_whom = "media" if reading.channel == ALL_MEDIA else reading.channel
    name = KPI_NAMES[reading.kpi]
    if reading.kpi is Kpi.SEASONALITY:
        return "The source says when in the year sales are high or low."
    if reading.value is None:
        return f"The source describes the {name} of {of_whom}."
    basis = ("net " if reading.is_net else "") + ("profit " if reading.is_profit else "")
    per = {Unit.DAYS: " per day", Unit.WEEKS: " per week", Unit.MONTHS: " per month"}
    is_time = reading.unit in per
    unit = f" {reading.unit}" if is_time else ""
    return (
        f"The source puts the {basis}{name} of {of_whom} at {reading.written}{unit}"
        f"{per.get(reading.per, '')}."
    )


def why_no_statement(statement: str, quote: str) -> str | None:
    """Why a statement cannot stand beside its quote; None when it can."""
    if len(statement) > MAX_STATEMENT_CHARACTERS or statement != " ".join(statement.split()):
        return f"is not one line of at most {MAX_STATEMENT_CHARACTERS} characters"
    if has_link(statement) or has_hidden_characters(statement) or _MARKUP.search(statement):
        return "holds an address, markup or characters that do not show"
    if addresses_a_program(statement):
        return "speaks to a program"
    if NOT_STATED.search(statement) or CHANGE.search(statement):
        return "denies, doubts or compares, which its quote does not"
    others = set(channels_in(statement)) - set(channels_in(quote))
    if others:
        return f"speaks of {', '.join(sorted(others))}, which the quote does not"
    new = figures_of(statement) - figures_of(quote)
    if new:
        return f"has {', '.join(sorted(new))}, which the quote does not have"
    return None


def figures_of(text: str) -> frozenset[str]:
    """The figures of a text as written, in digits or in words."""
    digits = {re.sub(r"\s", "", m.group()) for m in _FIGURE.finditer(text)}
    words = {m.group().lower() for m in _NUMBER_WORDS.finditer(text)}
    other = {c for c in text if c.isnumeric() and not c.isascii()}
    return frozenset(digits | words | other)

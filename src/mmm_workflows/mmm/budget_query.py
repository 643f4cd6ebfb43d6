"""Questions for the best allocation: the total, and what each channel may get."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mmm_workflows.mmm.amounts import MONEY, PERCENT
from mmm_workflows.mmm.change_query import OPENING, Reading
from mmm_workflows.mmm.questions import ChannelLimit
from mmm_workflows.mmm.spoken_channels import words

_UNIT: Final = r"(?:euro|dollar|pound|unit|money|buck|franc|€|\$|£)s?"
_NAME: Final = r"(?P<channel>[a-z_][\w ]*?)"
NEXT_UNIT: Final = re.compile(
    rf"\bwhere\s+(?:should|would|do|does|must|can)\s+(?:(?:we|i)\s+(?:put|spend|invest)\s+)?"
    rf"(?:the|my|our|an|one)?\s*(?:next|extra|additional|marginal|more)\s+{_UNIT}"
    r"(?:\s+(?:go|be spent|be put|bring most|work best|do most))?(?:\s+best)?"
)
INTENTS: Final = (
    NEXT_UNIT,
    re.compile(r"\boptimi[sz]e(?:d|r)?\b|\boptimi[sz]ing\b|\boptimi[sz]ation\b|\boptimal(?:ly)?\b"),
    re.compile(
        r"\b(?:best|ideal)\s+(?:way to\s+)?(?:allocation|allocate|split|mix|plan|use|spend|budget)\b"
    ),
    re.compile(
        r"\bhow\s+(?:should|would|do|can|could|must)\s+(?:we|i)\s+(?:best\s+)?"
        r"(?:spend|split|allocate|distribute|invest|divide|use)\b"
    ),
    re.compile(r"\b(?:re)?allocate\b"),
    re.compile(r"\bhow\s+to\s+(?:best\s+)?(?:spend|split|allocate|distribute|invest|divide)\b"),
)
KEEP: Final = re.compile(
    rf"\b(?:without\s+(?:touching|changing)\s+{_NAME}|"
    rf"(?:keep(?:ing)?|leave|leaving|hold(?:ing)?)\s+(?P<kept>[a-z_][\w ]*?)\s+"
    r"(?:fixed|unchanged|as it is|as is|constant|untouched|alone))(?=\s*(?:,|;|and\b|with\b|$))"
)
LIMITS: Final = tuple(
    (side, re.compile(pattern))
    for side, pattern in (
        ("low", rf"\b(?:keep(?:ing)?\s+)?{_NAME}\s+(?:at\s+least|above|over)\s+(?P<money>{MONEY})"),
        ("low", rf"\bat\s+least\s+(?P<money>{MONEY})\s+(?:on|in|for)\s+{_NAME}(?=\s*(?:,|;|and\b|$))"),
        ("high", rf"\b(?:keep(?:ing)?\s+)?{_NAME}\s+(?:at\s+most|below|under)\s+(?P<money>{MONEY})"),
        ("high", rf"\b(?:at\s+most|no\s+more\s+than)\s+(?P<money>{MONEY})\s+(?:on|in|for)\s+{_NAME}"
                 r"(?=\s*(?:,|;|and\b|$))"),
    )
)  # fmt: skip
MAX_CHANGE: Final = re.compile(
    rf"\b(?:(?:chang(?:e|ing)|mov(?:e|ing)|vary(?:ing)?)\s+(?:no\s+channel|each\s+channel)?\s*(?:by\s+)?)?"
    rf"(?:(?:no|not)\s+more\s+than|at\s+most|within)\s+(?P<share>{PERCENT})"
    r"(?:\s+change)?(?:\s+(?:per|for\s+each|of\s+each|in\s+each|of\s+any)\s+channel)?"
)
SCALED: Final = re.compile(
    rf"\b(?:(?:with|given|if\s+(?:we|i)\s+had)\s+)?(?:a\s+)?(?P<share>{PERCENT})\s+"
    r"(?P<way>more|less|higher|lower|bigger|smaller)\s+(?:budget|money|spend)\b"
)
UNCHANGED: Final = re.compile(
    r"\b(?:the\s+)?(?:current|same|existing|today's|present|reference|usual)\s+"
    r"(?:total\s+)?(?:budget|spend|money|total)\b"
)
TOTAL: Final = re.compile(rf"(?<![\w.]){MONEY}")
# What may be left when all of the above was read.
FILLERS: Final = frozenset(
    [
        "the",
        "our",
        "my",
        "we",
        "i",
        "a",
        "an",
        "of",
        "for",
        "with",
        "budget",
        "budgets",
        "total",
        "spend",
        "spending",
        "media",
        "marketing",
        "ad",
        "ads",
        "advertising",
        "across",
        "among",
        "between",
        "channels",
        "channel",
        "all",
        "please",
        "what",
        "is",
        "would",
        "be",
        "on",
        "in",
        "to",
        "into",
        "and",
        "if",
        "given",
        "money",
        "allocation",
        "plan",
        "mix",
        "split",
        "it",
        "best",
        "way",
        "by",
        "and",
        "have",
        "had",
        "us",
        "can",
        "you",
    ]
)
MORE: Final = frozenset({"more", "higher", "bigger"})


@dataclass
class BudgetQuestion:
    """A total with limits, as it was read; ``total`` None is the reference's total."""

    total: float | None = None
    limits: list[ChannelLimit] = field(default_factory=list)
    max_change_0_1: float | None = None
    asks_next_unit: bool = False


def asks_for_allocation(text: str) -> bool:
    """Whether a question asks for the best allocation rather than for a given plan."""
    return any(pattern.search(text) for pattern in INTENTS)


def read_budget(text: str, reading: Reading) -> BudgetQuestion:
    """The total and the limits; what is left over is noted as a question."""
    found = BudgetQuestion(asks_next_unit=NEXT_UNIT.search(text) is not None)
    rest = OPENING.sub("", text)
    for pattern in INTENTS:
        rest = pattern.sub(" ", rest)
    rest = _read_limits(rest, reading, found)
    rest = _read_max_change(rest, reading, found)
    rest = _read_total(rest, reading, found)
    left = [w for w in words(rest) if w not in FILLERS]
    if left:
        reading.questions.append(
            f"What does {' '.join(left)!r} mean for the budget? Say the total, as in 'optimise a "
            "budget of 2m', and limits as 'keep X at least 200k' or 'without touching X'."
        )
    return found


def _read_limits(text: str, reading: Reading, found: BudgetQuestion) -> str:
    for match in KEEP.finditer(text):
        for name in reading.channels(match["channel"] or match["kept"]):
            fixed = reading.total_of(name)
            found.limits.append(ChannelLimit(channel=name, low=fixed, high=fixed))
    text = KEEP.sub(" ", text)
    for side, pattern in LIMITS:
        for match in pattern.finditer(text):
            amount = reading.amount(match["money"])
            names = reading.channels(match["channel"])
            if amount is not None:
                found.limits += [ChannelLimit(channel=n, **{side: amount.value}) for n in names]
        text = pattern.sub(" ", text)
    return text


def _read_max_change(text: str, reading: Reading, found: BudgetQuestion) -> str:
    match = MAX_CHANGE.search(text)
    if match is None:
        return text
    amount = reading.amount(match["share"])
    found.max_change_0_1 = None if amount is None else amount.value
    return MAX_CHANGE.sub(" ", text)


def _read_total(text: str, reading: Reading, found: BudgetQuestion) -> str:
    scaled = SCALED.search(text)
    if scaled is not None:
        amount = reading.amount(scaled["share"])
        if amount is not None:
            sign = 1.0 if scaled["way"] in MORE else -1.0
            found.total = float(reading.reference.totals.sum()) * (1 + sign * amount.value)
        text = SCALED.sub(" ", text)
    text = UNCHANGED.sub(" ", text)
    totals = [m.group() for m in TOTAL.finditer(text)]
    if len(totals) > 1 or (totals and scaled):
        reading.questions.append(f"Which one is the total: {', '.join(t.strip() for t in totals)}?")
    elif totals:
        amount = reading.amount(totals[0])
        found.total = None if amount is None else amount.value
    return TOTAL.sub(" ", text)

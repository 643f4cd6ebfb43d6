"""Questions for the best allocation: the total, and what each channel may get."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

from mmm_workflows.mmm.amounts import AMOUNT, MONEY, PERCENT, AmountKind
from mmm_workflows.mmm.change_query import OPENING, Reading
from mmm_workflows.mmm.questions import ChannelLimit

_UNIT: Final = r"(?:euro|dollar|pound|unit|money|buck|franc|€|\$|£)s?"
_JOINS: Final = r"(?:and|with|but|keep|keeping|hold|holding|have|having|at|not|no|max|min)"
_NAME: Final = rf"(?P<channel>(?!{_JOINS}\b)[a-z_]\w*(?:\s+(?!{_JOINS}\b)\w+)*?)"
_KEEP: Final = r"(?:but\s+)?(?:keep(?:ing)?\s+)?"
_LOW: Final = r"(?:at\s+least|(?:not|no)\s+(?:below|under|less\s+than)|above|over)"
_HIGH: Final = r"(?:at\s+most|(?:not|no)\s+(?:above|over|more\s+than)|below|under)"
# A limit is money, or a share of the total that is to be allocated.
_LIMIT: Final = (
    rf"(?:(?P<share>{PERCENT})\s+of\s+(?:the\s+)?(?:total\s+)?(?:budget|total)\b|"
    rf"(?P<money>{MONEY}))"
)
_END: Final = r"(?=\s*(?:,|;|and\b|$))"
NEXT_UNIT: Final = re.compile(
    rf"\bwhere\s+(?:should|would|do|does|must|can)\s+(?:(?:we|i)\s+(?:put|spend|invest)\s+)?"
    rf"(?:the|my|our|an|one)?\s*(?:next|extra|additional|marginal|more)\s+{_UNIT}"
    r"(?:\s+(?:go|be spent|be put|bring most|work best|do most))?(?:\s+best)?"
)
INTENTS: Final = (
    NEXT_UNIT,
    re.compile(r"\boptimi[sz]e(?:d|r)?\b|\boptimi[sz]ing\b|\boptimi[sz]ation\b|\boptimal(?:ly)?\b"),
    re.compile(
        r"\bhow\s+(?:should|would|do|can|could|must)\s+(?:we|i)\s+(?:best\s+)?"
        r"(?:spend|split|allocate|distribute|invest|divide|use)\b"
    ),
    re.compile(
        r"\b(?:best|ideal)\s+(?:way to\s+)?(?:allocation|allocate|split|mix|plan|use|spend|budget)\b"
    ),
    re.compile(rf"\ballocate\b|\breallocate\b(?!\s+{AMOUNT}\s+(?:from|out)\b)"),
    re.compile(r"\bhow\s+to\s+(?:best\s+)?(?:spend|split|allocate|distribute|invest|divide)\b"),
)
KEEP: Final = re.compile(
    rf"\b(?:but\s+)?(?:without\s+(?:touching|changing)\s+{_NAME}|"
    rf"(?:keep(?:ing)?|leave|leaving|hold(?:ing)?)\s+(?P<kept>[a-z_][\w ]*?)\s+"
    r"(?:fixed|unchanged|as it is|as is|constant|untouched|alone))(?=\s*(?:,|;|and\b|with\b|$))"
)
LIMITS: Final = tuple(
    (side, re.compile(pattern))
    for side, pattern in (
        ("low", rf"\b{_KEEP}{_NAME}\s+{_LOW}\s+{_LIMIT}"),
        ("low", rf"\bat\s+least\s+{_LIMIT}\s+(?:on|in|for)\s+{_NAME}{_END}"),
        ("high", rf"\b{_KEEP}{_NAME}\s+{_HIGH}\s+{_LIMIT}"),
        ("high", rf"\b(?:at\s+most|no\s+more\s+than)\s+{_LIMIT}\s+(?:on|in|for)\s+{_NAME}{_END}"),
    )
)  # fmt: skip
BETWEEN: Final = re.compile(
    rf"\b{_KEEP}{_NAME}\s+between\s+(?P<low>{MONEY})\s+and\s+(?P<high>{MONEY})"
)
_VARY: Final = r"(?:chang(?:e|ing)|mov(?:e|ing)|vary(?:ing)?)"
_MOST: Final = r"(?:(?:no|not)\s+more\s+than|at\s+most|max(?:imum)?|within)"
_PER_CHANNEL: Final = r"(?:per|for\s+each|of\s+each|in\s+each|of\s+any)\s+channel"
# A share alone may also be one of the budget ("at most 30% per channel"): that it is a change must
# be said, or be left as the only meaning, as by "within".
MAX_CHANGE: Final = re.compile(
    rf"\b(?:{_VARY}\s+no\s+channel\s+(?:by\s+)?more\s+than\s+(?P<none>{PERCENT})|"
    rf"{_VARY}\s+(?:(?:no|each|every|any)\s+channel\s+)?(?:by\s+)?{_MOST}\s+(?P<verb>{PERCENT})|"
    rf"{_MOST}\s+(?P<noun>{PERCENT})\s+change\b|"
    rf"within\s+(?P<within>{PERCENT})(?=\s+{_PER_CHANNEL}))"
    rf"(?:\s+{_PER_CHANNEL})?"
)
# How much to spend at all is another question than where to spend it.
HOW_MUCH: Final = re.compile(
    r"\b(?:optimal|best|ideal)\s+(?:(?:total|overall|marketing|media)\s+)*"
    r"(?:budget|spend|spending|total)\b"
    r"(?!\s+(?:allocation|split|mix|plan|across|among|between)\b)|"
    rf"\b(?:is|are|was|were)\s+{MONEY}\s+(?:optimal|ideal)\b"
)
YEAR_LIKE: Final = re.compile(r"(?:19|20)[0-9]{2}")
LEFT: Final = re.compile(r"[\w']+|[^\w\s.,;:'\"]")
SCALED: Final = re.compile(
    rf"\b(?:(?:with|given|if\s+(?:we|i)\s+had)\s+)?(?:a\s+)?(?P<share>{PERCENT})\s+"
    r"(?P<way>more|less|higher|lower|bigger|smaller)\s+(?:budget|money|spend)\b"
)
UNCHANGED: Final = re.compile(
    r"\b(?:the\s+)?(?:current|same|existing|today's|present|reference|usual)\s+"
    r"(?:total\s+)?(?:budget|spend|money|total)\b"
)
TOTAL: Final = re.compile(
    rf"(?:\bif\s+(?:we|i)\s+(?:had|have|spend)\s+)?(?<![\w.])(?P<money>{MONEY})"
)
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
        "given",
        "money",
        "allocation",
        "plan",
        "mix",
        "split",
        "it",
        "best",
        "way",
        "and",
        "have",
        "had",
        "us",
        "can",
        "you",
        "find",
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


@dataclass(frozen=True)
class _Limit:
    """A limit as it was said: low, high, or fixed at the reference."""

    channel: str
    side: str
    said: str


def asks_for_allocation(text: str) -> bool:
    """Whether a question asks for the best allocation rather than for a given plan."""
    return any(pattern.search(text) for pattern in INTENTS)


def read_budget(text: str, reading: Reading) -> BudgetQuestion:
    """The total and the limits; what is left over is noted as a question."""
    found = BudgetQuestion(asks_next_unit=NEXT_UNIT.search(text) is not None)
    rest = OPENING.sub("", text)
    if HOW_MUCH.search(rest):
        reading.questions.append(
            "Which total is meant? It is allocated, not chosen: say 'optimise a budget of 2m'."
        )
    for pattern in INTENTS:
        rest = pattern.sub(" ", rest)
    rest, limits = _read_limits(rest, reading)
    rest = _read_max_change(rest, reading, found)
    rest = _read_total(rest, reading, found)
    _set_limits(limits, reading, found)
    left = [w for w in LEFT.findall(rest) if w not in FILLERS]
    if left:
        reading.questions.append(
            f"What does {' '.join(left)!r} mean for the budget? Say the total, as in 'optimise a "
            "budget of 2m', and limits as 'keep X at least 200k' or 'without touching X'."
        )
    return found


def _read_limits(text: str, reading: Reading) -> tuple[str, list[_Limit]]:
    limits: list[_Limit] = []
    for match in KEEP.finditer(text):
        names = reading.channels(match["channel"] or match["kept"])
        limits += [_Limit(name, "fixed", "") for name in names]
    text = KEEP.sub(" ", text)
    for match in BETWEEN.finditer(text):
        for name in reading.channels(match["channel"]):
            limits += [_Limit(name, side, match[side]) for side in ("low", "high")]
    text = BETWEEN.sub(" ", text)
    for side, pattern in LIMITS:
        for match in pattern.finditer(text):
            said = match["share"] or match["money"]
            limits += [_Limit(n, side, said) for n in reading.channels(match["channel"])]
        text = pattern.sub(" ", text)
    return text, limits


def _set_limits(limits: list[_Limit], reading: Reading, found: BudgetQuestion) -> None:
    """One limit per channel; a question is noted where limits contradict each other."""
    total = float(reading.reference.totals.sum()) if found.total is None else found.total
    bounds: dict[str, dict[str, float]] = {}
    for limit in limits:
        wanted = _in_money(limit, total, reading)
        sides = bounds.setdefault(limit.channel, {})
        if sides.keys() & wanted.keys():
            reading.questions.append(f"Which one limit of {limit.channel} is meant?")
        sides.update(wanted)
    found.limits = [ChannelLimit(channel=name, **sides) for name, sides in bounds.items()]
    for name, sides in bounds.items():
        if sides.get("low", 0.0) > sides.get("high", math.inf):
            reading.questions.append(f"The least of {name} is above its most: which is meant?")
    if sum(sides.get("low", 0.0) for sides in bounds.values()) > total * (1 + 1e-9):
        reading.questions.append("What channels must get is more than the total: which is meant?")
    most = [bounds.get(name, {}).get("high", math.inf) for name in reading.draws.channels]
    if sum(most) < total * (1 - 1e-9):
        reading.questions.append("What channels may get is less than the total: which is meant?")


def _in_money(limit: _Limit, total: float, reading: Reading) -> dict[str, float]:
    if limit.side == "fixed":
        fixed = reading.total_of(limit.channel)
        return {"low": fixed, "high": fixed}
    amount = reading.amount(limit.said)
    if amount is None:
        return {}
    return {limit.side: amount.value * (total if amount.kind is AmountKind.SHARE else 1.0)}


def _read_max_change(text: str, reading: Reading, found: BudgetQuestion) -> str:
    matches = list(MAX_CHANGE.finditer(text))
    if len(matches) > 1:
        reading.questions.append("By how much may each channel change at most?")
    for match in matches:
        amount = reading.amount(next(said for said in match.groupdict().values() if said))
        found.max_change_0_1 = None if amount is None else amount.value
    return MAX_CHANGE.sub(" ", text)


def _read_total(text: str, reading: Reading, found: BudgetQuestion) -> str:
    usual = float(reading.reference.totals.sum())
    said: list[str] = []
    for match in SCALED.finditer(text):
        said.append(match.group().strip())
        amount = reading.amount(match["share"])
        if amount is not None:
            sign = 1.0 if match["way"] in MORE else -1.0
            found.total = usual * (1 + sign * amount.value)
    text = SCALED.sub(" ", text)
    said += [match.group().strip() for match in UNCHANGED.finditer(text)]
    text = UNCHANGED.sub(" ", text)
    for match in TOTAL.finditer(text):
        said.append(match["money"].strip())
        amount = reading.amount(match["money"])
        found.total = None if amount is None else amount.value
    if len(said) > 1:
        reading.questions.append(f"Which one is the total: {', '.join(said)}?")
    elif said and YEAR_LIKE.fullmatch(said[0]):
        reading.questions.append(
            f"Is {said[0]} a year or the total? Say 'in {said[0]}' for a year."
        )
    elif found.total is not None and found.total <= 0:
        reading.questions.append("A budget is more than nothing: what is the total?")
    return TOTAL.sub(" ", text)

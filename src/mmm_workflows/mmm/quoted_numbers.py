"""Numbers as pages write them: 3.2x, 3,2, 1.200,50, €2.60 per €1, 320 %, between 2 and 3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A double holds no more digits than this.
MAX_CHARACTERS: Final = 20
_DIGITS: Final = r"(?>\d+(?:[.,'\u2019\u00a0\u202f]\d+)*)"
_MINUS: Final = r"(?:(?<![\w.,)])[-\u2212](?=\d))?"
# A digit inside a name, as the 2 of B2B, is no number; the x of 3.2x is its mark.
NUMBER: Final = re.compile(
    rf"(?<![\w.,])(?P<currency>[€$£])?\s?(?P<number>{_MINUS}{_DIGITS})"
    r"(?:\s?(?P<percent>%|(?:percent|per cent|pct|Prozent)\b)|\s?(?P<times>[x\u00d7](?!\w)))?"
    r"(?![A-Za-z_])",
    re.IGNORECASE | re.ASCII,
)
_GROUPS: Final = re.compile(r"\d{1,3}(?:([.,'])\d{3})(?:\1\d{3})*", re.ASCII)
# 1.2 million is not 1.2, and nothing that is read here is counted in millions.
_SCALED: Final = re.compile(
    r"\s?(?:thousand|million|billion|tausend|millionen|milliarden|mio|mrd|tsd|mn|bn|m|k)\b",
    re.IGNORECASE,
)
_WORDS_WITH_COMMA: Final = re.compile(
    r"\b(?:der|die|das|und|ist|für|eine?|mit|les|des|est|pour|une|dans|los|las|una|para|il|della)\b"
)


class DecimalMark(StrEnum):
    """Which character a text puts before the decimals."""

    DOT = "."
    COMMA = ","


@dataclass(frozen=True)
class WrittenNumber:
    """A number in a text; ``value`` is None where it can be read in two ways.

    Attributes:
        text: The number with its mark, verbatim.
        mark: ``%``, ``x``, a currency sign, or empty.
    """

    text: str
    start: int
    end: int
    value: float | None
    mark: str


def decimal_mark(text: str) -> DecimalMark | None:
    """How a text writes decimals, by its numbers that can be read in one way, else its words.

    Returns:
        None when neither tells; then ``1.200`` is not read.
    """
    votes = {DecimalMark.DOT: 0, DecimalMark.COMMA: 0}
    for match in NUMBER.finditer(text):
        mark = _sure_mark(match["number"].lstrip("-\u2212"))
        if mark is not None:
            votes[mark] += 1
    if votes[DecimalMark.DOT] != votes[DecimalMark.COMMA]:
        return max(votes, key=lambda mark: votes[mark])
    return DecimalMark.COMMA if len(_WORDS_WITH_COMMA.findall(text)) >= 3 else None


def numbers_in(text: str, mark: DecimalMark | None = None) -> tuple[WrittenNumber, ...]:
    """Every number of a text in its order, read with the decimal mark of the page around it."""
    return tuple(
        WrittenNumber(
            text=match.group().strip(),
            start=match.end() - len(match.group().lstrip()),
            end=match.end(),
            value=None if _SCALED.match(text, match.end()) else read_number(match["number"], mark),
            mark="%" if match["percent"] else "x" if match["times"] else match["currency"] or "",
        )
        for match in NUMBER.finditer(text)
    )


def read_number(written: str, mark: DecimalMark | None) -> float | None:
    """The value of a number as written; None where it can be read in two ways, or in none."""
    sign = -1.0 if written[0] in "-\u2212" else 1.0
    digits = re.sub("[\u2019\u00a0\u202f]", "'", written.lstrip("-\u2212"))
    used = _sure_mark(digits) or mark
    marks = [c for c in digits if not c.isdigit()]
    if len(digits) > MAX_CHARACTERS:
        return None
    if not marks:
        return sign * float(digits)
    if used is None:
        # English groups by commas far more often than any text writes three decimals after one.
        used = DecimalMark.DOT if "." not in marks else None
    if used is None:
        return None
    whole, _, decimals = digits.partition(used.value)
    if "'" in marks and set(marks) == {"'"}:
        whole, decimals = digits, ""
    is_grouped = whole.isdigit() or _GROUPS.fullmatch(whole) is not None
    if not is_grouped or (decimals and not decimals.isdigit()) or used.value in whole:
        return None
    plain = re.sub(r"\D", "", whole)
    return sign * float(f"{plain}.{decimals or 0}")


def _sure_mark(digits: str) -> DecimalMark | None:
    """The decimal mark where only one reading is possible: 3.2, 1.200,50, 1,200,000."""
    marks = [c for c in digits if c in ".,"]
    if not marks:
        return None
    other = {".": DecimalMark.COMMA, ",": DecimalMark.DOT}
    if len(marks) > 1:
        # The last of two different marks is the decimal one; a mark that repeats groups.
        is_repeated = len(set(marks)) == 1
        return other[marks[0]] if is_repeated else DecimalMark(marks[-1])
    whole, _, decimals = digits.partition(marks[0])
    looks_grouped = len(decimals) == 3 and 1 <= len(whole) <= 3 and whole != "0"
    return None if looks_grouped else DecimalMark(marks[0])

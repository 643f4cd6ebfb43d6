"""Stretches of time as people say them: next quarter, the last 8 weeks, Q1 2027, in March."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.windows import (
    DEFAULT_PERIODS,
    PERIOD_WORD,
    YEAR_BACK,
    last_periods,
    next_periods,
    periods_in,
)

NUMBERS: Final[dict[str, int]] = {
    word: number
    for number, word in enumerate(
        [
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ],
        start=1,
    )
}
MONTHS: Final[dict[str, int]] = {name.lower(): k for k, name in enumerate(calendar.month_name) if k}
_COUNT: Final = rf"(?P<count>[0-9]{{1,4}}|{'|'.join(NUMBERS)})"
_LEAD: Final = r"(?:(?:in|over|during|for|within|through)\s+)?(?:the\s+)?"
_MONTH: Final = "|".join(MONTHS)
_ISO: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

COUNTED: Final = re.compile(
    rf"\b{_LEAD}(?P<side>next|coming|upcoming|following|last|past|previous)\s+{_COUNT}\s+"
    r"(?P<unit>day|week|month|quarter|year)s?\b"
)
SINGLE: Final = re.compile(
    rf"\b{_LEAD}(?P<side>next|coming|upcoming|following|last|past|previous)\s+"
    r"(?P<unit>week|month|quarter|year)\b"
)
QUARTER: Final = re.compile(
    rf"\b{_LEAD}q(?P<quarter>[1-4])(?:\s+(?:of\s+)?(?P<year>20[0-9]{{2}}))?\b"
)
MONTH: Final = re.compile(
    rf"\b(?P<lead>(?:in|during|for)(?:\s+next)?|next)\s+(?P<month>{_MONTH})"
    r"(?:\s+(?P<year>20[0-9]{2}))?\b"
)
YEAR: Final = re.compile(r"\b(?:in|during|for)\s+(?P<year>20[0-9]{2})\b")
BETWEEN: Final = re.compile(
    rf"\b(?:from|between)\s+(?P<start>{_ISO})\s+(?:to|and|until)\s+(?P<end>{_ISO})\b"
)
VAGUE: Final = re.compile(
    r"\b(?:this|current)\s+(?:week|month|quarter|year)\b|\b(?:soon|later|recently|someday)\b"
)
FUTURE_SIDES: Final = frozenset({"next", "coming", "upcoming", "following"})


@dataclass(frozen=True)
class SpokenWindow:
    """A window with the words it was read from; ``question`` when it could not be told.

    Attributes:
        rest: What remains of the text without those words.
    """

    rest: str
    said: str = ""
    window: Window | None = None
    question: str | None = None


def read_window(text: str, draws: Draws) -> SpokenWindow:
    """The stretch of time in a question, or the default: the next quarter's worth of periods."""
    found = [
        (pattern, match)
        for pattern in (COUNTED, SINGLE, QUARTER, MONTH, YEAR, BETWEEN, VAGUE)
        for match in pattern.finditer(text)
    ]
    if not found:
        count = DEFAULT_PERIODS[draws.frequency]
        said = f"the next {count} {PERIOD_WORD[draws.frequency]}, as no window was named"
        return SpokenWindow(rest=text, said=said, window=next_periods(draws, count))
    spans = {match.span() for _, match in found}
    if len(spans) > 1:
        said = " and ".join(repr(m.group().strip()) for _, m in found)
        return SpokenWindow(rest=text, question=f"Which one window is meant: {said}?")
    pattern, match = found[0]
    rest = f"{text[: match.start()]} {text[match.end() :]}"
    said = match.group().strip()
    window = None if pattern is VAGUE else _window(pattern, match, draws)
    if window is None:
        return SpokenWindow(rest=rest, said=said, question=_ask(said, draws))
    return SpokenWindow(rest=rest, said=said, window=window)


def _ask(said: str, draws: Draws) -> str:
    return (
        f"Which window does {said!r} mean? The data runs from {draws.dates[0]} to "
        f"{draws.dates[-1]}; say for example 'the next 8 {PERIOD_WORD[draws.frequency]}', "
        "'last quarter', or 'from 2027-01-04 to 2027-03-29'."
    )


def _window(pattern: re.Pattern[str], match: re.Match[str], draws: Draws) -> Window | None:
    if pattern is BETWEEN:
        return _between(match["start"], match["end"], draws)
    if pattern is COUNTED:
        count = NUMBERS.get(match["count"]) or int(match["count"])
        return _counted(match["side"], count, match["unit"], draws)
    if pattern is SINGLE:
        return _single(match["side"], match["unit"], draws)
    if pattern is QUARTER:
        return _named(draws, match["year"], first=3 * int(match["quarter"]) - 2, months=3)
    if pattern is MONTH and match["lead"].endswith("next"):
        return _next_month_named(draws, MONTHS[match["month"]], match["year"])
    if pattern is MONTH:
        return _named(draws, match["year"], first=MONTHS[match["month"]], months=1)
    return _named(draws, match["year"], first=1, months=12)


def _between(start: str, end: str, draws: Draws) -> Window | None:
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError:
        return None
    return periods_in(draws, first, last) if first <= last else None


def _counted(side: str, count: int, unit: str, draws: Draws) -> Window | None:
    periods = _periods(count, unit, draws.frequency)
    if not periods:
        return None
    if side not in FUTURE_SIDES:
        return last_periods(draws, periods)
    return next_periods(draws, periods) if periods <= 2 * YEAR_BACK[draws.frequency] else None


def _periods(count: int, unit: str, frequency: Frequency) -> int | None:
    """Whole periods in a count of units; None where a unit is shorter than a period."""
    per_year = {"day": 364, "week": 52, "month": 12, "quarter": 4, "year": 1}[unit]
    periods = count * YEAR_BACK[frequency] / per_year
    return round(periods) if periods >= 1 else None


def _single(side: str, unit: str, draws: Draws) -> Window | None:
    """A calendar month or quarter; a week is one period, the coming year the next 52 weeks.

    Next and last year are asked about: they may be those of the calendar.
    """
    if unit == "year" and side not in ("coming", "upcoming", "past"):
        return None
    if unit in ("week", "year"):
        return _counted(side, 1, unit, draws)
    months = 1 if unit == "month" else 3
    # The first day after the last period of the data says where "next" begins.
    after = _end_of_period(draws) + timedelta(days=1)
    start = date(after.year, (after.month - 1) // months * months + 1, 1)
    if side in FUTURE_SIDES:
        begins = start if start == after else _months_on(start, months)
    else:
        begins = _months_on(start, -months)
    window = periods_in(draws, begins, _months_on(begins, months) - timedelta(days=1))
    return window if window is None or _is_on_side(window, side, draws) else None


def _is_on_side(window: Window, side: str, draws: Draws) -> bool:
    last: date = draws.dates[-1].item()
    return window.start > last if side in FUTURE_SIDES else window.end <= last


def _end_of_period(draws: Draws) -> date:
    last: date = draws.dates[-1].item()
    if draws.frequency is Frequency.MONTHLY:
        return _months_on(last, 1) - timedelta(days=1)
    return last + timedelta(days=0 if draws.frequency is Frequency.DAILY else 6)


def _named(draws: Draws, year: str | None, *, first: int, months: int) -> Window | None:
    """Calendar months of a year; without a year the first such months after the data."""
    if year is not None:
        begins = date(int(year), first, 1)
        return _whole(draws, begins, months)
    last: date = draws.dates[-1].item()
    begins = date(last.year, first, 1)
    while begins <= last:
        begins = _months_on(begins, 12)
    return _whole(draws, begins, months)


def _next_month_named(draws: Draws, month: int, year: str | None) -> Window | None:
    """Next year's, when the data ends in the year before; None where it could be either year's."""
    last = _end_of_period(draws)
    window = _named(draws, None, first=month, months=1)
    is_told = year is None and window is not None and window.start.year > last.year
    return window if is_told and last.month > 6 else None


def _whole(draws: Draws, begins: date, months: int) -> Window | None:
    return periods_in(draws, begins, _months_on(begins, months) - timedelta(days=1))


def _months_on(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))

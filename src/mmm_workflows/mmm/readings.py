"""What a sentence says of a KPI and a channel, read by rules or not at all.

A sentence is read only where one reading is possible: one KPI that its figures fit, one figure or
range per channel, stated as a level. Targets, changes, bounds, negations and conditions say
something else, so they are refused rather than taken for a level.
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from typing import Final

from mmm_workflows.mmm.channel_words import channel_mentions
from mmm_workflows.mmm.quoted_numbers import DecimalMark, WrittenNumber, numbers_in
from mmm_workflows.mmm.results import Value

ALL_MEDIA: Final = "All media"
NEAR_CHARACTERS: Final = 120


class Kpi(StrEnum):
    """What a claim is about."""

    ROAS = "roas"
    ROI = "roi"
    ELASTICITY = "elasticity"
    CARRY_OVER = "carry_over"
    HALF_LIFE = "half_life"
    SATURATION = "saturation"
    SEASONALITY = "seasonality"
    SHARE = "share"


class Unit(StrEnum):
    """What a figure counts; ``ratio`` is a plain number, also one with an x or a currency sign."""

    RATIO = "ratio"
    PERCENT = "percent"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    NONE = "none"


class Reading(Value):
    """One statement of a sentence; figures are as written, ``written`` is their text.

    Attributes:
        per: The period that a carry-over is said for; None when the sentence does not say it.
        is_net: Whether an ROI is said to be net of the spend.
        is_profit: Whether a return is in profit or margin and not in revenue.
    """

    kpi: Kpi
    channel: str
    value: float | None = None
    value_to: float | None = None
    unit: Unit = Unit.NONE
    written: str = ""
    per: Unit = Unit.NONE
    is_net: bool = False
    is_profit: bool = False


_KPI_WORDS: Final = {
    Kpi.ROAS: r"\broas\b|return on ad(?:vertising)? spend"
    r"|\b(?:revenue|sales|umsatz)\b.{0,40}?\b(?:per|for every|for each|je|pro)\s?"
    r"(?:[€$£]\s?1\b|(?:1 )?(?:euro|dollar|pound)\b)"
    r"|\b(?:per|for every|for each|je|pro)\s?(?:[€$£]\s?1\b|(?:1 )?(?:euro|dollar|pound)\b)"
    r".{0,80}?\b(?:revenue|sales|umsatz)\b",
    Kpi.ROI: r"\broi\b|return on investment",
    Kpi.ELASTICITY: r"\belasticit(?:y|ies)\b|elastizität",
    Kpi.CARRY_OVER: r"\bcarry-?\s?over\b|\badstock\b|\bcarried over\b|\bretention (?:rate|factor)\b",
    Kpi.HALF_LIFE: r"\bhalf-?\s?li(?:fe|ves)\b|halbwertszeit",
    Kpi.SATURATION: r"\bsaturat\w*|\bdiminishing returns\b|sättigung",
    Kpi.SEASONALITY: r"\bseason\w*|\bpeaks? in\b|saison\w*",
    Kpi.SHARE: r"\bshare of (?:spend|sales|revenue|budget|media)\b|\baccount(?:s|ed)? for\b|anteil",
}
_KPIS: Final = {kpi: re.compile(p, re.IGNORECASE) for kpi, p in _KPI_WORDS.items()}
_WITHOUT_FIGURE: Final = (Kpi.SATURATION, Kpi.SEASONALITY)
_TIME_OF_YEAR: Final = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|spring|summer|autumn|winter|Christmas|Easter|Sommer|Winter|Frühjahr|Herbst|Weihnachten"
    r"|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember)\b"
)
_OTHER_KPI: Final = re.compile(
    r"\bmarginal\b|\bmroas\b|\bprice elasticit|\bpreiselastizität|\bcustomer retention\b"
    r"|\bbreak-?even\b|\bgrenz-?roas\b",
    re.IGNORECASE,
)
_MEDIA: Final = re.compile(r"\badvertis\w*|\bmedia\b|\bwerbung\b|\bwerbe\w*", re.IGNORECASE)
NOT_STATED: Final = re.compile(
    r"\b(?:not|no|never|nor|neither|without|cannot|kein\w*|nicht|nie)\b|n['\u2019]t\b"
    r"|\b(?:if|can|would|could|might|(?-i:may)|should|suppos\w*|assum\w*|imagin\w*|hypothetical\w*"
    r"|non|exclud\w*|except\w*|apart from|other than|rather than|instead of|ohne|außer"
    r"|example|goals?|aim\w*|hop\w+|expect\w*|forecast\w*|predict\w*|simulat\w*|promis\w*|myth"
    r"|false\w*|wrong\w*|claim(?:s|ed)? to|kann|können|wäre\w*|würde\w*|könnte\w*|sollte\w*|falls|wenn|beispiel"
    r"|ziel\w*|angenommen)\b|\btarget(?:s|ed|ing)? (?:an? )?(?:roas|roi|of)\b|\?",
    re.IGNORECASE,
)
CHANGE: Final = re.compile(
    r"\b(?:ris(?:e|en|es|ing)|rose|grew|grow\w*|increas\w*|improv\w*|(?:up)?lift\w*|fell|fall\w*"
    r"|drop\w*|declin\w*|decreas\w*|reduc\w*|doubl\w*|tripl\w*|halv\w*|gain\w*|higher|lower|differ\w*"
    r"|stieg|sank|gestiegen|erhöh\w*|verbesser\w*)\b",
    re.IGNORECASE,
)
_BOUND_BEFORE: Final = re.compile(
    r"\b(?:more than|less than|at least|at most|up to|as much as|over|under|above|below|exceed\w*"
    r"|better than|fewer than|mehr als|weniger als|mindestens|höchstens|bis zu|über|unter)\s+"
    r"(?:an?\s+)?$",
    re.IGNORECASE,
)
_INTERVAL_NOTE: Final = re.compile(
    r"\([^()]*\b(?:CI|HDI|interval|confidence|credible|Konfidenz\w*)\b[^()]*\)", re.IGNORECASE
)
_ONE_UNIT_OF_SPEND: Final = re.compile(
    r"(?:per|for (?:every|each)|je|pro)\s?(?:[€$£]\s?1\b(?![.,]\d)|1 (?:euro|dollar|pound)s?\b)",
    re.IGNORECASE,
)
_COUNTED: Final = re.compile(
    r"\s?(?:\w+ )?(?:brands?|campaigns?|categor\w+|countries|markets?|stud(?:y|ies)|years?"
    r"|observations|stores?|households|respondents|advertisers|estimates|models|experiments|tests"
    r"|Marken|Kampagnen|Kategorien|Länder\w*|Studien|Jahren?|Märkten?)\b",
    re.IGNORECASE,
)
_TIME: Final = {
    Unit.DAYS: re.compile(r"[\s-]?(?:days?|tagen?)\b", re.IGNORECASE),
    Unit.WEEKS: re.compile(r"[\s-]?(?:weeks?|wochen?)\b", re.IGNORECASE),
    Unit.MONTHS: re.compile(r"[\s-]?(?:months?|monaten?)\b", re.IGNORECASE),
}
_PER: Final = {
    Unit.DAYS: re.compile(r"\b(?:per day|daily|each day|pro tag)\b", re.IGNORECASE),
    Unit.WEEKS: re.compile(
        r"\b(?:per week|weekly|each week|(?:in)?to the next week|from week to week|pro woche"
        r"|wöchentlich\w*)\b",
        re.IGNORECASE,
    ),
    Unit.MONTHS: re.compile(r"\b(?:per month|monthly|each month|pro monat)\b", re.IGNORECASE),
}
_NET: Final = re.compile(r"\bnet\b|\bnetto\b", re.IGNORECASE)
_PROFIT: Final = re.compile(r"\bprofit\w*|\bmargin\w*|\bgewinn\w*|\bmarge\w*", re.IGNORECASE)
_JOIN: Final = re.compile(r"[^\S\n]*(?:to|\u2013|-|bis|and|und)[^\S\n]*", re.IGNORECASE)
_RANGE_BEFORE: Final = re.compile(r"\b(?:between|zwischen)\s*$", re.IGNORECASE)
_FROM_BEFORE: Final = re.compile(r"\b(?:from|von)\s*$", re.IGNORECASE)
_CHANGE_BEFORE: Final = re.compile(r"\bfrom\s*$", re.IGNORECASE)
_SPANS: Final = re.compile(r"\b(?:rang\w+|vari\w+|span\w*|lies?|reicht\w*)\b", re.IGNORECASE)


class _Figure(Value):
    """One figure or range of a sentence and where it stands."""

    start: int
    end: int
    low: float
    high: float | None
    unit: Unit
    mark: str


def readings_of(sentence: str, mark: DecimalMark | None = None) -> tuple[Reading, ...]:
    """What a sentence says of a KPI per channel; empty when it can be read in two ways or in none.

    Args:
        sentence: One line of text.
        mark: How the page around it writes decimals.
    """
    if turns_around(sentence):
        return ()
    figures = _figures(sentence, mark)
    named = [kpi for kpi, words in _KPIS.items() if words.search(sentence)]
    with_figure = [k for k in named if k not in _WITHOUT_FIGURE]
    if not with_figure:
        return _qualitative(sentence, named)
    if figures is None or CHANGE.search(sentence):
        return ()
    fitting = [k for k in with_figure if figures and all(_fits(k, f, sentence) for f in figures)]
    return _pair(sentence, fitting[0], figures) if len(fitting) == 1 else ()


def turns_around(sentence: str) -> bool:
    """Whether a sentence denies, doubts or asks, or speaks of a KPI that is none of these."""
    return NOT_STATED.search(sentence) is not None or _OTHER_KPI.search(sentence) is not None


def _qualitative(sentence: str, named: list[Kpi]) -> tuple[Reading, ...]:
    if len(named) != 1:
        return ()
    kinds = list(dict.fromkeys(kind for _, kind in channel_mentions(sentence)))
    if named[0] is Kpi.SEASONALITY:
        is_dated = _TIME_OF_YEAR.search(sentence) is not None
        return (Reading(kpi=Kpi.SEASONALITY, channel=ALL_MEDIA),) if is_dated and not kinds else ()
    return (Reading(kpi=named[0], channel=kinds[0]),) if len(kinds) == 1 else ()


def _pair(sentence: str, kpi: Kpi, figures: list[_Figure]) -> tuple[Reading, ...]:
    """One reading per channel: they take turns with the figures, or there is one of each."""
    mentions = _runs(channel_mentions(sentence))
    kinds = [kind for _, kind in mentions]
    if not kinds:
        is_media = _MEDIA.search(sentence) is not None and len(figures) == 1
        return (_reading(sentence, kpi, ALL_MEDIA, figures[0]),) if is_media else ()
    if len(set(kinds)) == 1 and len(figures) == 1:
        return (_reading(sentence, kpi, kinds[0], figures[0]),)
    if len(kinds) != len(figures) or len(set(kinds)) != len(kinds):
        return ()
    order = sorted([(at, "c") for at, _ in mentions] + [(f.start, "f") for f in figures])
    if any(one == other for (_, one), (_, other) in pairwise(order)):
        return ()
    return tuple(_reading(sentence, kpi, kind, f) for kind, f in zip(kinds, figures, strict=True))


def _runs(mentions: tuple[tuple[int, str], ...]) -> list[tuple[int, str]]:
    """The mentions without those that only repeat the one before."""
    return [m for i, m in enumerate(mentions) if i == 0 or mentions[i - 1][1] != m[1]]


def _reading(sentence: str, kpi: Kpi, channel: str, figure: _Figure) -> Reading:
    per = [unit for unit, words in _PER.items() if words.search(sentence)]
    return Reading(
        kpi=kpi,
        channel=channel,
        value=figure.low,
        value_to=figure.high,
        unit=figure.unit,
        written=sentence[figure.start : figure.end],
        per=per[0] if kpi is Kpi.CARRY_OVER and len(per) == 1 else Unit.NONE,
        is_net=_NET.search(sentence) is not None,
        is_profit=_PROFIT.search(sentence) is not None,
    )


def _figures(sentence: str, mark: DecimalMark | None) -> list[_Figure] | None:
    """The figures that are no years, counts or units of spend; None when one is no plain level."""
    notes = [m.span() for m in _INTERVAL_NOTE.finditer(sentence)]
    notes += [m.span() for m in _ONE_UNIT_OF_SPEND.finditer(sentence)]
    kept = [
        n
        for n in numbers_in(sentence, mark)
        if not any(start <= n.start < end for start, end in notes) and not _is_context(sentence, n)
    ]
    figures: list[_Figure] = []
    while kept:
        one = kept.pop(0)
        if _BOUND_BEFORE.search(sentence[: one.start]):
            return None
        span = _range(sentence, one, kept[0]) if kept else None
        figure = span or _single(sentence, one)
        if figure is None:
            return None
        if span is not None:
            kept.pop(0)
        figures.append(figure)
    return figures


def _is_context(sentence: str, number: WrittenNumber) -> bool:
    is_year = (
        not number.mark and len(number.text) == 4 and number.text.isdigit()
        and 1900 <= int(number.text) <= 2100
    )  # fmt: skip
    is_whole = number.value is not None and number.value == int(number.value)
    is_count = not number.mark and is_whole and _COUNTED.match(sentence, number.end) is not None
    return is_year or is_count


def _single(sentence: str, number: WrittenNumber) -> _Figure | None:
    if number.value is None or _CHANGE_BEFORE.search(sentence[: number.start]):
        return None
    unit = _unit(sentence, number)
    return _Figure(
        start=number.start,
        end=number.end,
        low=number.value,
        high=None,
        unit=unit,
        mark=number.mark,
    )


def _range(sentence: str, one: WrittenNumber, other: WrittenNumber) -> _Figure | None:
    """Two figures as a range, when the words between and before them say so."""
    join = sentence[one.end : other.start]
    before = sentence[: one.start]
    if _JOIN.fullmatch(join) is None or one.value is None or other.value is None:
        return None
    if join.strip().lower() in ("and", "und") and not _RANGE_BEFORE.search(before):
        return None
    if _FROM_BEFORE.search(before) and not _SPANS.search(before):
        return None
    if one.value >= other.value or (one.mark and one.mark != other.mark):
        return None
    unit = _unit(sentence, other)
    return _Figure(
        start=one.start,
        end=other.end,
        low=one.value,
        high=other.value,
        unit=unit,
        mark=other.mark,
    )


def _unit(sentence: str, number: WrittenNumber) -> Unit:
    if number.mark == "%":
        return Unit.PERCENT
    times = (u for u, words in _TIME.items() if words.match(sentence, number.end))
    return next(times, Unit.RATIO)


def _fits(kpi: Kpi, figure: _Figure, sentence: str) -> bool:
    """Whether a figure can be of this KPI, by its unit, size and distance to the KPI's word."""
    low, high = figure.low, figure.high if figure.high is not None else figure.low
    is_near = any(
        min(abs(m.start() - figure.end), abs(figure.start - m.end())) <= NEAR_CHARACTERS
        for m in _KPIS[kpi].finditer(sentence)
    )
    match kpi:
        case Kpi.ROAS | Kpi.ROI:
            fits = figure.unit in (Unit.RATIO, Unit.PERCENT)
        case Kpi.ELASTICITY:
            fits = figure.unit is Unit.RATIO and not figure.mark and -5 < low <= high < 5
        case Kpi.CARRY_OVER:
            is_share = figure.unit is Unit.RATIO and not figure.mark and 0 < low <= high < 1
            fits = is_share or (figure.unit is Unit.PERCENT and 0 < low <= high < 100)
        case Kpi.HALF_LIFE:
            fits = figure.unit in _TIME and low > 0
        case Kpi.SHARE:
            fits = figure.unit is Unit.PERCENT and 0 <= low <= high <= 100
        case _:
            fits = False
    return fits and is_near

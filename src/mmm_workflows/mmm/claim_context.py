"""Where, when and how a page measured: from the quote, else from a page that is clear about it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from mmm_workflows.mmm.countries import EUROPE, countries_in, geography_in
from mmm_workflows.mmm.pages import Page


class Method(StrEnum):
    """How a figure was found, the most causal first."""

    EXPERIMENT = "experiment"
    META_ANALYSIS = "meta-analysis"
    MODEL = "marketing mix model"
    ATTRIBUTION = "attribution"
    SURVEY = "survey"
    UNKNOWN = "unknown"


_METHOD_WORDS: Final = {
    Method.EXPERIMENT: r"\brandomi[sz]ed\b|\bexperiments?\b|\bgeo[- ]tests?\b|\blift (?:test|study|studies)"
    r"\b|\bholdout tests?\b|\ba/b tests?\b|\bexperimente?n?\b",
    Method.META_ANALYSIS: r"\bmeta-?\s?analy\w+|\bsystematic review\b",
    Method.MODEL: r"\b(?:marketing|media)[- ]mix\b|\bmmms?\b|\beconometric\w*|\bökonometri\w*",
    Method.ATTRIBUTION: r"\battribution\b|\battributed\b|\blast[- ]click\b|\bmulti-?touch\b",
    Method.SURVEY: r"\bsurvey\w*|\bumfrage\w*",
}
_METHODS: Final = {m: re.compile(p, re.IGNORECASE) for m, p in _METHOD_WORDS.items()}
_YEAR: Final = r"(?:19|20)\d\d"
_YEARS: Final = re.compile(
    rf"(?<![\d.,€$£])(?P<first>{_YEAR})"
    rf"(?:\s?(?:-|\u2013|to|and|bis|und|through)\s?(?P<last>{_YEAR}))?(?![\d.,]?\d|\s?[%€$£])",
    re.IGNORECASE,
)


def geography_of(page: Page, quote: str, wanted: str | None = None) -> str | None:
    """The country of the quote, else the only one the page names; what is wanted if it is named."""
    whole = f"{page.title}\n{page.text}"
    if wanted is not None:
        names = {c.name for c in countries_in(whole)} | {geography_in(whole)}
        return wanted if wanted in names else None
    for text in (quote, whole):
        found = countries_in(text)
        if len(found) == 1:
            return found[0].name
        if found:
            return None
    return EUROPE if geography_in(whole) == EUROPE else None


def period_of(page: Page, quote: str, wanted: str | None = None) -> str | None:
    """The years of the quote, else the only span of years of the page; never after it was read."""
    if wanted is not None:
        found = {p for p, _ in _periods(page.text)}
        return wanted if wanted in found and _is_past(wanted, page) else None
    said = {p for p, _ in _periods(quote)}
    if not said:
        said = {p for p, is_span in _periods(page.text) if is_span}
    only = said.pop() if len(said) == 1 else None
    return only if only is not None and _is_past(only, page) else None


def method_of(page: Page, quote: str, wanted: Method | None = None) -> Method:
    """The method that the quote names, else the only one that the page names."""
    named = {m for m, words in _METHODS.items() if words.search(page.text)}
    if wanted is not None:
        return wanted if wanted in named else Method.UNKNOWN
    said = {m for m, words in _METHODS.items() if words.search(quote)} or named
    return said.pop() if len(said) == 1 else Method.UNKNOWN


def _periods(text: str) -> list[tuple[str, bool]]:
    """The years of a text as ``2019`` or ``2019-2021``, and whether each is a span."""
    found = []
    for match in _YEARS.finditer(text):
        first, last = match["first"], match["last"]
        is_span = last is not None and last > first
        found.append((f"{first}-{last}" if is_span else first, is_span))
    return found


def _is_past(period: str, page: Page) -> bool:
    return int(period[-4:]) <= page.fetched_at.year

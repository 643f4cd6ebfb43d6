"""Where, when and how a page measured: from the quote, else from a page that is clear about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mmm_workflows.mmm.categories import category_of
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
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class PageFacts:
    """What a page names as a whole, read once for all of its claims.

    Attributes:
        places: The countries and regions, by their plain names.
        periods: The years and spans of years, as ``2019`` and ``2019-2021``.
        category: The category that the page is about, if it is about one.
    """

    places: frozenset[str]
    periods: frozenset[str]
    methods: frozenset[Method]
    category: str | None
    year_read: int

    def geography(self, quote: str, wanted: str | None) -> str | None:
        """The country of the quote, else the only place of the page; what is wanted if named."""
        said = _places(quote)
        if wanted is not None:
            return wanted if wanted in self.places else None
        return _only(said or self.places)

    def period(self, quote: str, wanted: str | None) -> str | None:
        """The years of the quote, else the only span of the page; never after it was read."""
        if wanted is not None:
            found: str | None = wanted if wanted in self.periods else None
        else:
            spans = frozenset(p for p in self.periods if "-" in p)
            found = _only(_periods(quote) or spans)
        return found if found is not None and int(found[-4:]) <= self.year_read else None

    def method(self, quote: str, wanted: Method | None) -> Method:
        """The method that the quote names, else the only one that the page names."""
        if wanted is not None:
            return wanted if wanted in self.methods else Method.UNKNOWN
        return _only(_methods(quote) or self.methods) or Method.UNKNOWN


def facts_of(page: Page) -> PageFacts:
    """What a page names in its title and text; its periods and methods in the text alone."""
    whole = f"{page.title}\n{page.text}"
    return PageFacts(
        places=_places(whole),
        periods=_periods(page.text),
        methods=_methods(page.text),
        category=category_of(whole),
        year_read=page.fetched_at.year,
    )


def _places(text: str) -> frozenset[str]:
    countries = frozenset(c.name for c in countries_in(text))
    return countries or (frozenset({EUROPE}) if geography_in(text) == EUROPE else frozenset())


def _methods(text: str) -> frozenset[Method]:
    return frozenset(m for m, words in _METHODS.items() if words.search(text))


def _periods(text: str) -> frozenset[str]:
    return frozenset(
        f"{m['first']}-{m['last']}" if m["last"] and m["last"] > m["first"] else m["first"]
        for m in _YEARS.finditer(text)
    )


def _only[T](found: frozenset[T]) -> T | None:
    return next(iter(found)) if len(found) == 1 else None

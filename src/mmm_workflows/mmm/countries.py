"""Countries as texts name them, with their code and their part of the world."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Country:
    """A country: its plain name, ISO 3166 code, region, names, and what is called after it."""

    name: str
    code: str
    region: str
    names: tuple[str, ...]
    adjectives: tuple[str, ...]


EUROPE: Final = "Europe"
COUNTRIES: Final = (
    Country("Australia", "AU", "Oceania", ("Australia",), ("Australian",)),
    Country("Austria", "AT", EUROPE, ("Austria", "Österreich"), ("Austrian",)),
    Country("Belgium", "BE", EUROPE, ("Belgium",), ("Belgian",)),
    Country("Brazil", "BR", "South America", ("Brazil",), ("Brazilian",)),
    Country("Canada", "CA", "North America", ("Canada",), ("Canadian",)),
    Country("China", "CN", "Asia", ("China",), ("Chinese",)),
    Country("Denmark", "DK", EUROPE, ("Denmark",), ("Danish",)),
    Country("Finland", "FI", EUROPE, ("Finland",), ("Finnish",)),
    Country("France", "FR", EUROPE, ("France",), ("French",)),
    Country("Germany", "DE", EUROPE, ("Germany", "Deutschland"), ("German", "deutsche", "deutschen", "deutscher")),
    Country("India", "IN", "Asia", ("India",), ("Indian",)),
    Country("Ireland", "IE", EUROPE, ("Ireland",), ("Irish",)),
    Country("Italy", "IT", EUROPE, ("Italy",), ("Italian",)),
    Country("Japan", "JP", "Asia", ("Japan",), ("Japanese",)),
    Country("Mexico", "MX", "North America", ("Mexico",), ("Mexican",)),
    Country("Netherlands", "NL", EUROPE, ("Netherlands",), ("Dutch",)),
    Country("Norway", "NO", EUROPE, ("Norway",), ("Norwegian",)),
    Country("Poland", "PL", EUROPE, ("Poland",), ("Polish",)),
    Country("Portugal", "PT", EUROPE, ("Portugal",), ("Portuguese",)),
    Country("Spain", "ES", EUROPE, ("Spain",), ("Spanish",)),
    Country("Sweden", "SE", EUROPE, ("Sweden",), ("Swedish",)),
    Country("Switzerland", "CH", EUROPE, ("Switzerland", "Schweiz"), ("Swiss",)),
    Country("United Kingdom", "GB", EUROPE, ("United Kingdom", "UK", "U.K.", "Britain"), ("British",)),
    Country("United States", "US", "North America", ("United States", "USA", "US", "U.S."), ("American",)),
)  # fmt: skip


# "US" in lower case is a pronoun, and "Latin American" is no country: names count as written.
_WORDS: Final = {word: c for c in COUNTRIES for word in (*c.names, *c.adjectives)}
_ANY: Final = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(w) for w in sorted(_WORDS, key=len, reverse=True))})(?!\w)"
)
_EUROPE: Final = re.compile(rf"\b{EUROPE}\b")
_NOT_A_COUNTRY: Final = re.compile(
    r"\b(?:North|South|Latin|Central|Pan)[- ]American?\b|\bNew South Wales\b"
)


def country_of(name: str | None) -> Country | None:
    """The country that a name stands for; None for a region, no name, or one not known."""
    return next((c for c in COUNTRIES if name in (c.name, c.code, *c.names)), None)


def countries_in(text: str) -> tuple[Country, ...]:
    """The countries that a text names, each once, in the order of the text."""
    return tuple(dict.fromkeys(country for _, _, country in _mentions(text)))


def geography_in(text: str) -> str | None:
    """The first country or region that a text names, by the name it uses; "French" is France."""
    found = [(at, w if w in c.names else c.name) for at, w, c in _mentions(text)]
    region = _EUROPE.search(text)
    found += [(region.start(), EUROPE)] if region else []
    return min(found)[1] if found else None


def _mentions(text: str) -> list[tuple[int, str, Country]]:
    plain = _NOT_A_COUNTRY.sub(lambda m: " " * len(m.group()), text)
    return [(m.start(), m.group(), _WORDS[m.group()]) for m in _ANY.finditer(plain)]

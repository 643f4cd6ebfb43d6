"""The season that is usual in a category, and the public holidays of a country."""

from __future__ import annotations

import calendar
from collections import defaultdict
from typing import Final

import holidays

from mmm_workflows.mmm.countries import country_of
from mmm_workflows.mmm.plan import PlannedHoliday, Seasonality

# Fixed years, so that a plan does not depend on the day it is made; ten show where Easter moves.
YEARS: Final = range(2016, 2026)
# What stands in fewer than half of them was a single event.
YEARS_FROM: Final = 5
MAX_HOLIDAYS: Final = 20
MAX_MONTHS: Final = 3
SOUTHERN: Final = frozenset({"AU", "BR"})
_PEAKS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "consumer packaged goods": (("July", "December"), "warm weeks and feasts are stocked up for"),
    "e-commerce": (("November", "December"), "Black Friday and Christmas gifts"),
    "retail": (("November", "December"), "Black Friday and Christmas shopping"),
    "subscription": (("January",), "new year's resolutions and gifts that are set up"),
    "financial services": (("January", "November"), "contracts are changed at the year's turn"),
    "travel": (("January", "July", "August"), "early bookings, then the summer itself"),
    "automotive": (("March", "September"), "new plates, models and the ends of quarters"),
}
_FROM_WEATHER: Final = frozenset({"July", "August"})


def season_of(category: str, country: str | None) -> Seasonality:
    """The yearly season that is usual in a category; in the south summer months move by half a year."""
    if category not in _PEAKS:
        return Seasonality(
            yearly=True,
            why="most sales have a yearly season; which months are high is not known here",
        )
    peaks, why = _PEAKS[category]
    place = country_of(country)
    if place is not None and place.code in SOUTHERN and _FROM_WEATHER & set(peaks):
        months = list(calendar.month_name)
        peaks = tuple(months[(months.index(m) + 5) % 12 + 1] if m in _FROM_WEATHER else m
                      for m in peaks)  # fmt: skip
        why = f"{why}, with summer at the turn of the year"
    return Seasonality(yearly=True, peaks=tuple(dict.fromkeys(peaks)), why=why)


def holidays_of(country: str | None) -> tuple[PlannedHoliday, ...]:
    """The national public holidays of a country with their months, in the order of the year.

    Returns:
        At most 20; empty when the country is not named, not known or a region.
    """
    place = country_of(country)
    if place is None:
        return ()
    known = holidays.country_holidays(
        place.code, years=YEARS, observed=False, language=_english(place.code)
    )
    months: dict[str, set[int]] = defaultdict(set)
    years: dict[str, set[int]] = defaultdict(set)
    for day, names in known.items():
        for name in names.split("; "):
            # Dates that follow the moon are announced; the estimate's remark is no name.
            plain = name.removesuffix(" (estimated)")
            months[plain].add(day.month)
            years[plain].add(day.year)
    usual = sorted((min(m), name) for name, m in months.items() if len(years[name]) >= YEARS_FROM)
    return tuple(
        PlannedHoliday(name=name, months=_named(months[name])) for _, name in usual[:MAX_HOLIDAYS]
    )


def _english(code: str) -> str | None:
    languages = getattr(holidays, code)().supported_languages
    return next((tag for tag in ("en_US", "en_GB") if tag in languages), None)


def _named(months: set[int]) -> tuple[str, ...]:
    listed = sorted(months)
    return tuple(calendar.month_name[m] for m in listed[:MAX_MONTHS])

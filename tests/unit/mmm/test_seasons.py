"""Seasons of categories and holidays of countries."""

from __future__ import annotations

import pytest

from mmm_workflows.mmm.countries import COUNTRIES, countries_in, geography_in
from mmm_workflows.mmm.seasons import MAX_HOLIDAYS, holidays_of, season_of


@pytest.mark.parametrize("country", [c.name for c in COUNTRIES])
def test_every_country_that_is_known_has_its_holidays(country: str) -> None:
    found = holidays_of(country)
    assert 4 <= len(found) <= MAX_HOLIDAYS
    assert all(holiday.months for holiday in found)
    assert len({holiday.name for holiday in found}) == len(found)


def test_a_holiday_that_moves_has_each_of_its_months() -> None:
    months = {h.name: h.months for h in holidays_of("Germany")}
    assert months["Easter Monday"] == ("March", "April")
    assert months["German Unity Day"] == ("October",)


def test_an_event_of_one_year_is_no_holiday() -> None:
    assert not [h.name for h in holidays_of("UK") if "Funeral" in h.name or "Jubilee" in h.name]


@pytest.mark.parametrize("place", [None, "Europe", "Atlantis"])
def test_a_place_without_known_holidays_has_none(place: str | None) -> None:
    assert holidays_of(place) == ()


def test_the_season_of_a_category_turns_with_the_hemisphere() -> None:
    assert season_of("consumer packaged goods", "Germany").peaks == ("July", "December")
    assert season_of("consumer packaged goods", "Australia").peaks == ("January", "December")
    assert season_of("general", None).peaks == ()
    assert season_of("retail", None).basis == "default"


@pytest.mark.parametrize(
    ("text", "place", "codes"),
    [
        ("tell us about sales", None, []),
        ("sales in the US", "US", ["US"]),
        ("Latin American brands", None, []),
        ("French and Spanish shops", "France", ["FR", "ES"]),
        ("Dutch UK", "Netherlands", ["NL", "GB"]),
        ("Europe without Germany", "Europe", ["DE"]),
    ],
)
def test_countries_are_read_as_written(text: str, place: str | None, codes: list[str]) -> None:
    assert geography_in(text) == place
    assert [c.code for c in countries_in(text)] == codes

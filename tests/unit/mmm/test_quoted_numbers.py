"""Numbers as pages of several countries write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_workflows.mmm.quoted_numbers import DecimalMark, decimal_mark, numbers_in


@pytest.mark.parametrize(
    ("written", "values", "marks"),
    [
        ("1,200", [1200.0], [""]),
        ("1.200,50", [1200.5], [""]),
        ("1,200.50", [1200.5], [""]),
        ("3.2x", [3.2], ["x"]),
        ("3,2", [3.2], [""]),
        ("€2.60 per €1", [2.6, 1.0], ["€", "€"]),
        ("320%", [320.0], ["%"]),
        ("320 %", [320.0], ["%"]),
        ("3,2 Prozent", [3.2], ["%"]),
        ("12'000 and 1\u202f200,5", [12000.0, 1200.5], ["", ""]),
        ("-0.2 or (\u22120.3)", [-0.2, -0.3], ["", ""]),
        ("2\u20133 weeks, 2019-2021", [2.0, 3.0, 2019.0, 2021.0], [""] * 4),
        ("0.125", [0.125], [""]),
        ("1,200,000", [1200000.0], [""]),
    ],
)
def test_a_number_is_read_as_it_is_written(
    written: str, values: list[float], marks: list[str]
) -> None:
    found = numbers_in(written)
    assert [n.value for n in found] == values
    assert [n.mark for n in found] == marks
    assert all(written[n.start : n.end].strip() == n.text for n in found)


@pytest.mark.parametrize(
    "written", ["two to three", "B2B", "5G in Q4", "$1.5m", "the 1st", "v1.2.3"]
)
def test_words_and_digits_inside_names_are_no_numbers(written: str) -> None:
    assert numbers_in(written) == ()


@pytest.mark.parametrize("written", ["1.200", "10.5.2020", "9" * 400])
def test_what_can_be_read_in_two_ways_or_in_none_has_no_value(written: str) -> None:
    assert [n.value for n in numbers_in(written)] == [None]


def test_the_page_around_decides_how_its_numbers_are_read() -> None:
    german = "Der ROAS lag bei 3,2 und das Budget bei 1.200 Euro."
    assert decimal_mark(german) is DecimalMark.COMMA
    assert [n.value for n in numbers_in("1.200 und 1,200", DecimalMark.COMMA)] == [1200.0, 1.2]
    assert [n.value for n in numbers_in("1.200 and 1,200", DecimalMark.DOT)] == [1.2, 1200.0]
    assert decimal_mark("no figure here") is None
    assert decimal_mark("Der Wert und die Zahl ist 1.200") is DecimalMark.COMMA


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 99))
def test_a_number_means_the_same_in_both_spellings(whole: int, cents: int) -> None:
    english = f"{whole:,}.{cents:02d}"
    german = english.translate(str.maketrans(",.", ".,"))
    [one], [other] = numbers_in(english), numbers_in(german)
    assert one.value == other.value == pytest.approx(whole + cents / 100)

"""Amounts as people write them, and what is too unclear to be one."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.amounts import AMOUNT, MONEY, PERCENT, AmountKind, SpokenAmount, read_amount

SIZES = {
    "k": 1_000,
    " thousand": 1_000,
    "m": 1_000_000,
    " mn": 1_000_000,
    " million": 1_000_000,
    "bn": 1_000_000_000,
    " billion": 1_000_000_000,
}
CURRENCIES = {
    "EUR": ("€", "eur", "euro", "euros"),
    "USD": ("$", "usd", "dollar", "dollars"),
    "GBP": ("£", "gbp", "pound", "pounds"),
    "CHF": ("chf",),
}


def read(text: str) -> SpokenAmount:
    """An amount that is one from its first character to its last."""
    assert re.fullmatch(AMOUNT, text), text
    return read_amount(text)


@given(cents=st.integers(100_000, 10**14), grouped=st.booleans())
def test_a_number_reads_back_with_or_without_separators(cents: int, grouped: bool) -> None:
    value = Fraction(cents, 100)
    text = f"{cents // 100:{',' if grouped else ''}}.{cents % 100:02d}"
    amount = read(text)
    assert amount.kind is AmountKind.MONEY
    assert amount.value == pytest.approx(float(value), rel=1e-12)


@given(
    tenths=st.integers(1, 99_999),
    size=st.sampled_from(sorted(SIZES)),
    currency=st.sampled_from(sorted(CURRENCIES)),
    data=st.data(),
)
def test_size_and_currency_read_back_wherever_the_mark_stands(
    tenths: int, size: str, currency: str, data: st.DataObject
) -> None:
    mark = data.draw(st.sampled_from(CURRENCIES[currency]))
    number = f"{tenths / 10:.1f}{size}"
    text = data.draw(st.sampled_from([f"{mark} {number}", f"{number} {mark}"]))
    amount = read(text)
    assert (amount.kind, amount.currency) == (AmountKind.MONEY, currency)
    assert amount.value == pytest.approx(tenths * SIZES[size] / 10, rel=1e-12)


@given(hundredths=st.integers(1, 10**6), word=st.sampled_from(["%", " %", " percent", " per cent"]))
def test_a_percentage_reads_back_as_a_share(hundredths: int, word: str) -> None:
    amount = read(f"{hundredths / 100:.2f}{word}")
    assert amount.kind is AmountKind.SHARE
    assert amount.value == pytest.approx(hundredths / 10_000, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a third", 1 / 3),
        ("two thirds", 2 / 3),
        ("half", 0.5),
        ("a quarter", 0.25),
        ("a tenth", 0.1),
    ],
)
def test_a_fraction_in_words_is_a_share(text: str, share: float) -> None:
    assert read(text).kind is AmountKind.SHARE
    assert read(text).value == pytest.approx(share)


@given(st.integers(1, 999))
def test_a_small_bare_number_could_be_either(value: int) -> None:
    assert read(str(value)).kind is AmountKind.UNCLEAR
    assert read(f"€{value}").kind is AmountKind.MONEY
    assert read(f"{value}%").kind is AmountKind.SHARE


@given(
    whole=st.integers(1, 999),
    rest=st.integers(0, 999),
    mark=st.sampled_from(["{}", "€{}", "eur {}", "{} euros", "{}k", "{} thousand"]),
)
def test_a_dot_before_three_digits_could_group_thousands(whole: int, rest: int, mark: str) -> None:
    assert read(mark.format(f"{whole}.{rest:03d}")).kind is AmountKind.UNCLEAR


@pytest.mark.parametrize("text", ["€50k usd", "$50k eur", "gbp 20 €", "chf 1,000 dollars"])
def test_two_currencies_at_once_are_unclear(text: str) -> None:
    assert read(text).kind is AmountKind.UNCLEAR


@pytest.mark.parametrize("text", ["€50k eur", "eur 50k €", "£20 pounds"])
def test_one_currency_said_twice_is_that_currency(text: str) -> None:
    assert read(text).kind is AmountKind.MONEY


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "%", "€" + "9" * 300 + " billion"])
def test_what_is_beyond_every_number_is_unclear(text: str) -> None:
    assert read(text).kind is AmountKind.UNCLEAR


@pytest.mark.parametrize(
    "text",
    [
        "1,5m",
        "5,5%",
        "1,00,000",
        "1.000.000",
        "10,00",
        "1,0000",
        "٢٠%",
        "²",
        "20\uff05",
        "5e4",
        "-5k",
        "50kk",
    ],
)
def test_what_is_no_english_number_is_no_amount(text: str) -> None:
    assert not re.fullmatch(AMOUNT, text)


@pytest.mark.parametrize("text", ["1,5 m", "1,00,000", "1.000.000", "x.5m", "5000%", "20 per cent"])
def test_no_part_of_a_longer_number_is_taken_for_money(text: str) -> None:
    found = re.search(MONEY, text)
    assert found is None or not found.group().strip()


@pytest.mark.parametrize("text", ["5,5%", ".5%", "1.000,5%", "20 percentage points"])
def test_no_part_of_a_longer_number_is_taken_for_a_percentage(text: str) -> None:
    assert re.search(PERCENT, text) is None

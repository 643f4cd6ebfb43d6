"""Numbers as people write them: 20%, a third, 50k, 2 million euros, €1,500."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Final

from mmm_workflows.mmm.results import Value

FRACTIONS: Final[dict[str, float]] = {
    "a third": 1 / 3,
    "one third": 1 / 3,
    "two thirds": 2 / 3,
    "a quarter": 1 / 4,
    "one quarter": 1 / 4,
    "three quarters": 3 / 4,
    "a fifth": 1 / 5,
    "one fifth": 1 / 5,
    "a tenth": 1 / 10,
    "one tenth": 1 / 10,
    "a half": 1 / 2,
    "one half": 1 / 2,
    "half": 1 / 2,
}
SIZES: Final[dict[str, float]] = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "mio": 1e6,
    "million": 1e6,
    "bn": 1e9,
    "billion": 1e9,
}
CURRENCY_WORDS: Final[dict[str, str]] = {
    "€": "EUR",
    "eur": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "$": "USD",
    "usd": "USD",
    "dollar": "USD",
    "dollars": "USD",
    "£": "GBP",
    "gbp": "GBP",
    "pound": "GBP",
    "pounds": "GBP",
    "chf": "CHF",
}
# A whole number as written: no part of a longer one, as the 5 of 1,5 or the 000 of 1.000.000.
_NUMBER: Final = (
    r"(?<![0-9.])(?<![0-9],)(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?![.,]?[0-9])"
)
_SIZE: Final = "|".join(sorted(SIZES, key=len, reverse=True))
_WORD_CURRENCY: Final = "|".join(
    sorted((w for w in CURRENCY_WORDS if w.isalpha()), key=len, reverse=True)
)
_FRACTION: Final = "|".join(sorted(FRACTIONS, key=len, reverse=True))

_PERCENT_WORD: Final = r"(?:%|(?:percent|per cent|pct)\b)"
PERCENT: Final = rf"(?:{_NUMBER}\s*{_PERCENT_WORD}|{_FRACTION})"
MONEY: Final = (
    rf"(?:(?:[€$£]|\b(?:{_WORD_CURRENCY})\b)\s*)?{_NUMBER}(?!\s*{_PERCENT_WORD})"
    rf"(?:\s*(?:{_SIZE})\b)?(?:\s*(?:[€$£]|(?:{_WORD_CURRENCY})\b))?"
)
AMOUNT: Final = rf"(?:{PERCENT}|{MONEY})"
_MONEY_PARTS: Final = re.compile(
    rf"(?P<sign>[€$£]|{_WORD_CURRENCY})?\s*(?P<number>{_NUMBER})\s*(?P<size>{_SIZE})?"
    rf"\s*(?P<currency>[€$£]|{_WORD_CURRENCY})?"
)
# Below this, a bare number may as well be a percentage or thousands.
BARE_MONEY_FROM: Final = 1000.0
# 1.500 is one and a half, or fifteen hundred where a dot groups the thousands.
_TWO_WAYS: Final = re.compile(r"[0-9]{1,3}\.[0-9]{3}")


class AmountKind(StrEnum):
    """A share of what there is, an amount of money, or a number that could be either."""

    SHARE = "share"
    MONEY = "money"
    UNCLEAR = "unclear"


class SpokenAmount(Value):
    """An amount as it was said; a share is from 0 to 1 and more."""

    text: str
    kind: AmountKind
    value: float
    currency: str | None = None


def read_amount(text: str) -> SpokenAmount:
    """An amount from text that matches ``AMOUNT``."""
    said = text.strip()
    if said in FRACTIONS:
        return SpokenAmount(text=said, kind=AmountKind.SHARE, value=FRACTIONS[said])
    if re.fullmatch(PERCENT, said):
        number = re.match(_NUMBER, said)
        assert number is not None
        value = float(number.group().replace(",", "")) / 100
        kind = AmountKind.SHARE if math.isfinite(value) else AmountKind.UNCLEAR
        return SpokenAmount(text=said, kind=kind, value=value)
    parts = _MONEY_PARTS.fullmatch(said)
    assert parts is not None, said
    value = float(parts["number"].replace(",", "")) * SIZES.get(parts["size"] or "", 1.0)
    mark = parts["sign"] or parts["currency"]
    is_clear = bool(mark or parts["size"]) or value >= BARE_MONEY_FROM or value == 0
    if _TWO_WAYS.fullmatch(parts["number"]) and parts["size"] in (None, "k", "thousand"):
        is_clear = False
    if parts["sign"] and parts["currency"]:
        is_clear &= CURRENCY_WORDS[parts["sign"]] == CURRENCY_WORDS[parts["currency"]]
    return SpokenAmount(
        text=said,
        kind=AmountKind.MONEY if is_clear and math.isfinite(value) else AmountKind.UNCLEAR,
        value=value,
        currency=CURRENCY_WORDS[mark] if mark else None,
    )

"""Which currency the names of columns say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.treatment import EarlierTreatment

CURRENCIES: Final = frozenset(
    {"EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "BRL", "CAD", "AUD", "SEK", "NOK", "DKK",
     "PLN", "MXN"}
)  # fmt: skip
SYMBOLS: Final[dict[str, str]] = {"€": "EUR", "$": "USD", "£": "GBP"}
MONEY: Final = "money"


def currency_in(name: str) -> str | None:
    """The currency that a name says by its code or symbol."""
    for symbol, code in SYMBOLS.items():
        if symbol in name:
            return code
    found = [w.upper() for w in re.split(r"[^A-Za-z]+", name) if w.upper() in CURRENCIES]
    return found[0] if found else None


def shared_currency(names: Sequence[str]) -> str | None:
    """The currency that names say, when they say one and not several."""
    found = {currency_in(n) for n in names} - {None}
    return found.pop() if len(found) == 1 else None


def money_of(
    name: str, names: Sequence[str], *, told: str | None, earlier: EarlierTreatment | None
) -> str:
    """The currency of a column, as named, as it was, or as its name or another's says."""
    before = None if earlier is None else earlier.columns.get(name)
    is_known = before is not None and before.is_money and before.unit != MONEY
    if told is None and before is not None and is_known and before.name == name:
        return before.unit
    shared = None if earlier is None else earlier.currency
    said = told or currency_in(name) or shared or shared_currency(names)
    return said or MONEY

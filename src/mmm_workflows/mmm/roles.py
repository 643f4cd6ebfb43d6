"""What each column is to the model: as the user named it, else as its name gives it away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.cleaning import is_number
from mmm_workflows.mmm.dataset import Additivity, Described, Role, Variable
from mmm_workflows.mmm.dates import DateChoice, choose_dates
from mmm_workflows.mmm.names import same_written, suggestion, words_of
from mmm_workflows.mmm.tables import Table
from mmm_workflows.records import Decision, Finding, Severity

TARGET_WORDS: Final = frozenset(
    {"sales", "revenue", "turnover", "umsatz", "conversions", "orders", "kpi", "bookings", "leads"}
)
MONEY_TARGET_WORDS: Final = frozenset({"revenue", "turnover", "umsatz", "sales", "gmv"})
OPEN_TARGET_WORDS: Final = frozenset({"sales"})
SPEND_WORDS: Final = frozenset({"spend", "spends", "spending", "cost", "costs", "s"})
EXPOSURE_WORDS: Final = frozenset(
    {"impressions", "impression", "clicks", "click", "grp", "grps", "trp", "views", "i", "p"}
)
CONTROL_WORDS: Final = frozenset(
    {"price", "promo", "promotion", "promotions", "discount", "competitor", "competitors",
     "holiday", "holidays", "temperature", "weather", "distribution", "unemployment", "cpi",
     "event", "covid", "control"}
)  # fmt: skip
MEAN_WORDS: Final = frozenset(
    {"price", "temperature", "index", "rate", "share", "score", "discount", "distribution",
     "unemployment", "cpi", "promotion", "promo", "holiday", "holidays", "average", "avg"}
)  # fmt: skip
CURRENCIES: Final = frozenset(
    {"EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "BRL", "CAD", "AUD", "SEK", "NOK", "DKK",
     "PLN", "MXN"}
)  # fmt: skip
SYMBOLS: Final[dict[str, str]] = {"€": "EUR", "$": "USD", "£": "GBP"}
MONEY: Final = "money"
# A cell that shows a number in another way than plainly: 1.234,50 or $12 or (300).
FIGURE: Final = re.compile(r"[-+(€$£]*\s*\d[\d.,'\s]*\s*[)€$£%]*")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user said of the columns; None leaves it to the rules."""

    target: str | None = None
    channels: Sequence[str] | None = None
    controls: Sequence[str] | None = None
    date_column: str | None = None
    geography_column: str | None = None
    target_unit: str | None = None
    currency: str | None = None


class Roles(Described):
    """The columns that are read, each with its role; the rest is left out and named."""

    date: DateChoice
    geography: str | None
    variables: tuple[Variable, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]

    def named(self, role: Role) -> tuple[str, ...]:
        """The names of a role's columns."""
        return tuple(v.name for v in self.variables if v.role is role)


@dataclass
class _Notes:
    decisions: list[Decision] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def decide(self, question: str, choice: str, reason: str, options: Sequence[str]) -> None:
        self.decisions.append(
            Decision(question=question, options=tuple(options), choice=choice, reason=reason)
        )

    def find(self, code: str, severity: Severity, message: str, variable: str) -> None:
        self.findings.append(
            Finding(code=code, severity=severity, message=message, variable=variable)
        )


def choose_roles(table: Table, wishes: Wishes) -> Roles:
    """A role for every column; what the user named wins, the rest is proposed and recorded.

    Raises:
        DatasetError: A named column is not there (``dataset_column_unknown``, with the nearest
            name), has two roles, or a target or channel cannot be proposed
            (``dataset_column_ambiguous``).
    """
    notes = _Notes()
    date = choose_dates(table, wishes.date_column)
    notes.decisions += date.decisions
    geography = _geography(table, wishes.geography_column, notes)
    open_names = [n for n in table.names if n not in (date.column, geography)]
    roles: dict[str, Role] = {}
    _take(roles, [_target(wishes.target, open_names, table, notes)], Role.TARGET)
    _take(roles, _channels(wishes.channels, open_names, roles, table, notes), Role.CHANNEL)
    if wishes.controls is not None:
        named = [_find(n, open_names, "control", notes) for n in wishes.controls]
        _take(roles, named, Role.CONTROL)
    for name in open_names:
        if name not in roles:
            proposed = _propose(name, table, notes, may_control=wishes.controls is None)
            if proposed is not None:
                roles[name] = proposed
    variables = tuple(
        _variable(name, roles[name], table, wishes, notes) for name in open_names if name in roles
    )
    return Roles(
        date=date,
        geography=geography,
        variables=variables,
        decisions=tuple(notes.decisions),
        findings=tuple(notes.findings),
    )


def _geography(table: Table, given: str | None, notes: _Notes) -> str | None:
    if given is not None:
        return _find(given, table.names, "geography", notes)
    if "Geography" in table.names:
        notes.decide(
            "Which column holds the geography?", "Geography", "it is the MFF's name", table.names
        )
        return "Geography"
    return None


def _target(given: str | None, names: Sequence[str], table: Table, notes: _Notes) -> str:
    if given is not None:
        return _find(given, names, "target", notes)
    fitting = [n for n in names if TARGET_WORDS & set(words_of(n)) and not _is_spend(n)]
    fitting = [n for n in fitting if not CONTROL_WORDS & set(words_of(n))]
    if len(fitting) != 1:
        raise DatasetError(
            f"The target could not be found: columns named like one are "
            f"{', '.join(fitting) or 'none'}. Name it as target_variable (--target). "
            f"There are {', '.join(names)}.",
            code="dataset_column_ambiguous",
        )
    notes.decide(
        "Which column is to be explained?", fitting[0], "the only one named like a target", names
    )
    return fitting[0]


def _channels(
    given: Sequence[str] | None,
    names: Sequence[str],
    roles: dict[str, Role],
    table: Table,
    notes: _Notes,
) -> list[str]:
    if given:
        return [_find(name, names, "channel", notes) for name in given]
    # Figures that cannot be read are taken as well: the cell is refused, not left out as text.
    fitting = [n for n in names if n not in roles and _is_spend(n) and _shows_numbers(table, n)]
    if not fitting:
        raise DatasetError(
            "No channel could be found: no column is named like a spend. Name the spend columns as "
            f"media_channels (--channels). There are {', '.join(names)}.",
            code="dataset_column_ambiguous",
        )
    notes.decide(
        "Which columns are channels?", ", ".join(fitting), "they are named like a spend", names
    )
    return fitting


def _find(wanted: str, names: Sequence[str], role: str, notes: _Notes) -> str:
    found = same_written(wanted, names)
    if len(found) != 1:
        raise DatasetError(
            f"The {role} {wanted!r} is not a column of the data.{suggestion(wanted, names)}",
            code="dataset_column_unknown",
        )
    if found[0] != wanted:
        notes.decide(
            f"Which column is the {role} {wanted!r}?",
            found[0],
            "its name is the same but for case, spaces and underscores",
            names,
        )
    return found[0]


def _take(roles: dict[str, Role], names: Sequence[str], role: Role) -> None:
    for name in names:
        if name in roles:
            raise DatasetError(
                f"The column {name!r} is named as {roles[name]} and as {role}. Give it one role.",
                code="dataset_column_ambiguous",
            )
        roles[name] = role


def _propose(name: str, table: Table, notes: _Notes, *, may_control: bool) -> Role | None:
    """The role of a column that nobody named; None leaves it out. Nothing is used in silence."""
    question, options = f"What is the column {name!r}?", tuple(Role)
    if not _is_numeric(table, name):
        notes.decide(question, "left out", "it holds text, and nobody named it", options)
        notes.find(
            "column_left_out",
            Severity.INFO,
            f"The column {name!r} holds text and is left out. Turn it into numbers (0 and 1 for an "
            "event) to use it as a control.",
            name,
        )
        return None
    words = set(words_of(name))
    if EXPOSURE_WORDS & words:
        notes.decide(question, Role.EXPOSURE, "its name says that it counts exposures", options)
        notes.find(
            "exposure_not_modelled",
            Severity.INFO,
            f"The column {name!r} counts exposures of a channel: it is kept and not modelled, "
            "because it lies between the spend and the target.",
            name,
        )
        return Role.EXPOSURE
    if may_control and CONTROL_WORDS & words:
        notes.decide(question, Role.CONTROL, "its name is that of a driver of demand", options)
        notes.find(
            "control_by_name",
            Severity.INFO,
            f"The column {name!r} is used as a control because of its name. Say "
            "control_variables (--controls) to choose them yourself.",
            name,
        )
        return Role.CONTROL
    notes.decide(question, Role.UNUSED, "nobody named it, and its name does not tell", options)
    notes.find(
        "column_unused",
        Severity.WARNING,
        f"The column {name!r} is kept and not used. Name it in media_channels or "
        "control_variables to use it.",
        name,
    )
    return Role.UNUSED


def _variable(name: str, role: Role, table: Table, wishes: Wishes, notes: _Notes) -> Variable:
    currency = wishes.currency or _currency_in(name) or _shared_currency(table)
    money = currency or MONEY
    source = f"{table.column(name).file}#{name}"
    if role is Role.CHANNEL:
        return Variable(name=name, role=role, unit=money, is_money=True, source=source)
    if role is Role.TARGET:
        unit, is_money = _target_unit(name, wishes.target_unit, money, notes)
        return Variable(name=name, role=role, unit=unit, is_money=is_money, source=source)
    additivity: Additivity = "mean" if MEAN_WORDS & set(words_of(name)) else "sum"
    unit = "exposures" if role is Role.EXPOSURE else "as in the file"
    return Variable(name=name, role=role, unit=unit, additivity=additivity, source=source)


def _target_unit(name: str, given: str | None, money: str, notes: _Notes) -> tuple[str, bool]:
    question, options = f"In which unit is the target {name!r}?", (money, "units")
    if given is not None:
        is_money = given.upper() in CURRENCIES or given.lower() == MONEY
        unit = given.upper() if given.upper() in CURRENCIES else given
        return (money if given.lower() == MONEY else unit), is_money
    words = set(words_of(name))
    if not MONEY_TARGET_WORDS & words:
        notes.decide(question, "units", "its name counts something", options)
        return "units", False
    notes.decide(question, money, "its name says money", options)
    if OPEN_TARGET_WORDS & words and not _currency_in(name):
        notes.find(
            "target_unit_assumed",
            Severity.WARNING,
            f"The target {name!r} is read as money; sales may be units as well. Say target_unit "
            "(--target-unit units) if it counts pieces: ROAS would be wrong otherwise.",
            name,
        )
    return money, True


def _is_spend(name: str) -> bool:
    return bool(SPEND_WORDS & set(words_of(name)))


def _is_numeric(table: Table, name: str) -> bool:
    filled = [c for c in table.column(name).cells if c]
    return bool(filled) and sum(map(is_number, filled)) >= 0.9 * len(filled)


def _shows_numbers(table: Table, name: str) -> bool:
    filled = [c for c in table.column(name).cells if c]
    shown = sum(is_number(c) or FIGURE.fullmatch(c) is not None for c in filled)
    return bool(filled) and shown >= 0.9 * len(filled)


def _currency_in(name: str) -> str | None:
    for symbol, code in SYMBOLS.items():
        if symbol in name:
            return code
    found = [w.upper() for w in re.split(r"[^A-Za-z]+", name) if w.upper() in CURRENCIES]
    return found[0] if found else None


def _shared_currency(table: Table) -> str | None:
    found = {_currency_in(n) for n in table.names} - {None}
    return found.pop() if len(found) == 1 else None

"""What each column is to the model: as the user named it, else as its name gives it away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.cleaning import is_number
from mmm_workflows.mmm.currencies import CURRENCIES, MONEY, currency_in, money_of
from mmm_workflows.mmm.dataset import Additivity, Described, Role, Variable
from mmm_workflows.mmm.dates import DateChoice, choose_dates
from mmm_workflows.mmm.names import same_written, suggestion, words_of
from mmm_workflows.mmm.role_notes import Notes
from mmm_workflows.mmm.tables import Table
from mmm_workflows.mmm.treatment import EarlierTreatment
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


def choose_roles(table: Table, wishes: Wishes, earlier: EarlierTreatment | None = None) -> Roles:
    """A role for every column; what the user named wins, the rest is proposed and recorded.

    What the user left open is as it was in an earlier version of the data, where there is one;
    its new columns are proposed as ever.

    Raises:
        DatasetError: A named column is not there (``dataset_column_unknown``, with the nearest
            name), has two roles, or a target or channel cannot be proposed
            (``dataset_column_ambiguous``).
    """
    notes = Notes()
    date = choose_dates(table, wishes.date_column, earlier)
    notes.decisions += date.decisions
    geography = _geography(table, wishes.geography_column, notes, earlier)
    open_names = [n for n in table.names if n not in (date.column, geography)]
    roles: dict[str, Role] = {}
    _take(roles, [_target(wishes.target, open_names, notes, earlier)], Role.TARGET)
    _take(roles, _channels(wishes, open_names, roles, table, notes, earlier), Role.CHANNEL)
    if wishes.controls is not None:
        named = [_find(n, open_names, "control", notes) for n in wishes.controls]
        _take(roles, named, Role.CONTROL)
    for name in open_names:
        if name not in roles:
            may_control = wishes.controls is None
            proposed = _as_before(name, table, notes, earlier, may_control=may_control)
            proposed = proposed or _propose(name, table, notes, may_control=may_control)
            if proposed is not None:
                roles[name] = proposed
    variables = tuple(
        _variable(name, roles[name], table, wishes, notes, earlier)
        for name in open_names
        if name in roles
    )
    return Roles(
        date=date,
        geography=geography,
        variables=variables,
        decisions=tuple(notes.decisions),
        findings=tuple(notes.findings),
    )


def _geography(
    table: Table, given: str | None, notes: Notes, earlier: EarlierTreatment | None
) -> str | None:
    if given is not None:
        return _find(given, table.names, "geography", notes)
    if earlier is not None and earlier.geography_column in table.names:
        question, otherwise = "Which column holds the geography?", "geography_column (--geo)"
        notes.decisions.append(
            earlier.decide(question, earlier.geography_column, table.names, otherwise)
        )
        return earlier.geography_column
    if "Geography" in table.names:
        notes.decide(
            "Which column holds the geography?", "Geography", "it is the MFF's name", table.names
        )
        return "Geography"
    return None


def _target(
    given: str | None, names: Sequence[str], notes: Notes, earlier: EarlierTreatment | None
) -> str:
    if given is not None:
        return _find(given, names, "target", notes)
    before = [n for n in names if earlier is not None and earlier.had(n, Role.TARGET)]
    if earlier is not None and before:
        question, otherwise = "Which column is to be explained?", "target_variable (--target)"
        notes.decisions.append(earlier.decide(question, before[0], names, otherwise))
        return before[0]
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
    wishes: Wishes,
    names: Sequence[str],
    roles: dict[str, Role],
    table: Table,
    notes: Notes,
    earlier: EarlierTreatment | None,
) -> list[str]:
    if wishes.channels:
        return [_find(name, names, "channel", notes) for name in wishes.channels]
    open_names = [n for n in names if n not in roles]
    before = [] if earlier is None else _channels_before(open_names, wishes, notes, earlier)
    if earlier is not None and before:
        open_names = [n for n in open_names if n not in earlier.columns]
    # Figures that cannot be read are taken as well: the cell is refused, not left out as text.
    fitting = [n for n in open_names if _is_spend(n) and _shows_numbers(table, n)]
    if before and not fitting:
        return before
    if not fitting:
        raise DatasetError(
            "No channel could be found: no column is named like a spend. Name the spend columns as "
            f"media_channels (--channels). There are {', '.join(names)}.",
            code="dataset_column_ambiguous",
        )
    notes.decide(
        "Which new columns are channels?" if before else "Which columns are channels?",
        ", ".join(fitting),
        "they are named like a spend",
        names,
    )
    return [n for n in names if n in before or n in fitting]


def _channels_before(
    names: Sequence[str], wishes: Wishes, notes: Notes, earlier: EarlierTreatment
) -> list[str]:
    """The channels of before, but for what is asked for as a control now."""
    controls = {n for wanted in wishes.controls or () for n in same_written(wanted, names)}
    before = [n for n in names if earlier.had(n, Role.CHANNEL) and n not in controls]
    if before:
        question, otherwise = "Which columns are channels?", "media_channels (--channels)"
        notes.decisions.append(earlier.decide(question, ", ".join(before), names, otherwise))
    return before


def _find(wanted: str, names: Sequence[str], role: str, notes: Notes) -> str:
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


def _as_before(
    name: str,
    table: Table,
    notes: Notes,
    earlier: EarlierTreatment | None,
    *,
    may_control: bool,
) -> Role | None:
    """The role that a column had, unless the request or its cells speak against it."""
    if earlier is None or name not in earlier.columns:
        return None
    role = earlier.columns[name].role
    # A control of before that cannot be read is refused by its cell, and not lost as text.
    carries = may_control if role is Role.CONTROL else _is_numeric(table, name)
    if role not in (Role.CONTROL, Role.EXPOSURE, Role.UNUSED) or not carries:
        return None
    otherwise = "media_channels or control_variables (--channels, --controls)"
    notes.decisions.append(
        earlier.decide(f"What is the column {name!r}?", role, tuple(Role), otherwise)
    )
    if role is not Role.CONTROL:
        notes.say_not_modelled(name, role)
    return role


def _propose(name: str, table: Table, notes: Notes, *, may_control: bool) -> Role | None:
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
        notes.say_not_modelled(name, Role.EXPOSURE)
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
    notes.say_not_modelled(name, Role.UNUSED)
    return Role.UNUSED


def _variable(
    name: str,
    role: Role,
    table: Table,
    wishes: Wishes,
    notes: Notes,
    earlier: EarlierTreatment | None,
) -> Variable:
    before = None if earlier is None else earlier.columns.get(name)
    money = money_of(name, table.names, told=wishes.currency, earlier=earlier)
    source = f"{table.column(name).file}#{name}"
    if role is Role.CHANNEL:
        return Variable(name=name, role=role, unit=money, is_money=True, source=source)
    if role is Role.TARGET:
        if earlier is not None and earlier.had(name, role) and wishes.target_unit is None:
            unit, is_money = _unit_before(name, money, earlier, notes)
        else:
            unit, is_money = _target_unit(name, wishes.target_unit, money, notes)
        return Variable(name=name, role=role, unit=unit, is_money=is_money, source=source)
    if before is not None and before.role is role:
        return before.model_copy(update={"name": name, "source": source})
    additivity: Additivity = "mean" if MEAN_WORDS & set(words_of(name)) else "sum"
    unit = "exposures" if role is Role.EXPOSURE else "as in the file"
    return Variable(name=name, role=role, unit=unit, additivity=additivity, source=source)


def _unit_before(
    name: str, money: str, earlier: EarlierTreatment, notes: Notes
) -> tuple[str, bool]:
    """The unit that the target had; what was assumed is said again, for nobody confirmed it."""
    before = earlier.columns[name]
    unit = money if before.is_money else before.unit
    question, otherwise = f"In which unit is the target {name!r}?", "target_unit (--target-unit)"
    notes.decisions.append(earlier.decide(question, unit, (unit,), otherwise))
    if earlier.unit_is_open:
        notes.say_unit_assumed(name)
    return unit, before.is_money


def _target_unit(name: str, given: str | None, money: str, notes: Notes) -> tuple[str, bool]:
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
    if OPEN_TARGET_WORDS & words and not currency_in(name):
        notes.say_unit_assumed(name)
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

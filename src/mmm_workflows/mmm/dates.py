"""Which column holds the dates, how they are written, and how far apart the periods are."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final, NoReturn

import numpy as np

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import Described
from mmm_workflows.mmm.months import months_of, on_day, usual_day
from mmm_workflows.mmm.names import same_written, suggestion
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.tables import Table
from mmm_workflows.mmm.treatment import EarlierTreatment
from mmm_workflows.records import Decision

FORMATS: Final = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m",
    "%m/%Y",
)
DATE_NAMES: Final = ("date", "period", "week", "day", "month", "time", "ds", "week start")
MIN_PERIODS: Final = 20
SHOWN: Final = 5


class DateChoice(Described):
    """The date column and how it is read."""

    column: str
    date_format: str
    decisions: tuple[Decision, ...]


def choose_dates(
    table: Table, given: str | None, earlier: EarlierTreatment | None = None
) -> DateChoice:
    """The date column and its format; ``earlier`` tells what the file alone leaves open.

    Raises:
        DatasetError: The named column is not there, no column or several could be it, a cell is no
            date, or the dates can be read in two ways.
    """
    column, decisions = _choose_column(table, given, earlier)
    cells = table.column(column).cells
    fitting = [f for f in FORMATS if all(_read(c, f) is not None for c in cells)]
    if not fitting:
        _refuse_unreadable(table, column)
    if len(fitting) > 1:
        regular = [f for f in fitting if _is_regular([_known(c, f) for c in cells])]
        fitting = regular or fitting
    if len(fitting) > 1 and earlier is not None and earlier.date_format in fitting:
        how = earlier.decide(
            f"How are the dates in {column!r} written?", earlier.date_format, fitting
        )
        return DateChoice(
            column=column, date_format=earlier.date_format, decisions=(*decisions, how)
        )
    if len(fitting) > 1:
        raise DatasetError(
            f"The dates in {column!r} can be read as {' or '.join(fitting)}: {cells[0]!r} alone "
            "does not tell. Write them as YYYY-MM-DD.",
            code="dataset_date_ambiguous",
        )
    how = Decision(
        question=f"How are the dates in {column!r} written?",
        options=FORMATS,
        choice=fitting[0],
        reason="the only way in which every cell is a date and the periods are regular",
        evidence=f"{len(cells)} cells, the first is {cells[0]!r}",
    )
    return DateChoice(column=column, date_format=fitting[0], decisions=(*decisions, how))


def read_dates(table: Table, choice: DateChoice) -> list[date]:
    """The dates of the rows."""
    return [_known(c, choice.date_format) for c in table.column(choice.column).cells]


def find_frequency(dates: list[date]) -> Frequency:
    """How far apart the periods are, by the most frequent distance.

    Raises:
        DatasetError: They are neither days, weeks nor months apart, or fewer than
            ``MIN_PERIODS``.
    """
    periods = sorted(set(dates))
    if len(periods) < MIN_PERIODS:
        raise DatasetError(
            f"There are {len(periods)} periods; at least {MIN_PERIODS} are needed, and two years "
            "of weeks are wise. Add history.",
            code="dataset_too_short",
        )
    steps = Counter((b - a).days for a, b in pairwise(periods))
    usual = steps.most_common(1)[0][0]
    if usual == 1:
        return Frequency.DAILY
    if usual == 7:
        return Frequency.WEEKLY
    if 28 <= usual <= 31:
        return Frequency.MONTHLY
    raise DatasetError(
        f"The periods are mostly {usual} days apart; days, weeks (7) and months (28 to 31) can be "
        "modelled. Aggregate the data to one of these.",
        code="dataset_frequency_unknown",
    )


def period_grid(dates: list[date], frequency: Frequency) -> list[date]:
    """Every period from the first to the last."""
    first, last = min(dates), max(dates)
    if frequency is Frequency.MONTHLY:
        ends = months_of(np.array([first, last], dtype="datetime64[D]"))
        grid: list[date] = on_day(np.arange(ends[0], ends[1] + 1), usual_day(dates)).tolist()
        return grid
    step = timedelta(days=1 if frequency is Frequency.DAILY else 7)
    return [first + i * step for i in range((last - first) // step + 1)]


def refuse_irregular(table: Table, choice: DateChoice, dates: list[date], of: str = "") -> None:
    """Refuse duplicates, periods off the grid and gaps.

    ``dates`` are those of the rows of one geography, ``of`` names it for the sentence.

    Raises:
        DatasetError: ``dataset_duplicate_dates``, ``dataset_frequency_unknown`` or
            ``dataset_gap``.
    """
    place = f" of {of}" if of else ""
    twice = [d for d, count in Counter(dates).items() if count > 1]
    if twice:
        both = [i for i, d in enumerate(read_dates(table, choice)) if d == twice[0]][:2]
        rows = " and ".join(table.where(choice.column, i) for i in both)
        raise DatasetError(
            f"The period {twice[0]}{place} appears more than once: {rows}. Keep one row per "
            "period, or name the geography column if there is one.",
            code="dataset_duplicate_dates",
        )
    frequency = find_frequency(dates)
    grid = period_grid(dates, frequency)
    off = sorted(set(dates) - set(grid))
    if off:
        index = read_dates(table, choice).index(off[0])
        raise DatasetError(
            f"The period {off[0]}{place} ({table.where(choice.column, index)}) does not fit the "
            f"{frequency} periods that begin on {grid[0]}. Correct the date.",
            code="dataset_frequency_unknown",
        )
    missing = sorted(set(grid) - set(dates))
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        listed = ", ".join(str(d) for d in missing[:SHOWN])
        raise DatasetError(
            f"{len(missing)} {frequency} periods{place} are missing between {grid[0]} and "
            f"{grid[-1]}: {listed}{more}. Add their rows; carry-over cannot be computed across "
            "a gap.",
            code="dataset_gap",
        )


def _choose_column(
    table: Table, given: str | None, earlier: EarlierTreatment | None
) -> tuple[str, tuple[Decision, ...]]:
    if given is not None:
        found = same_written(given, table.names)
        if len(found) != 1:
            raise DatasetError(
                f"There is no date column {given!r}.{suggestion(given, table.names)}",
                code="dataset_column_unknown",
            )
        return found[0], ()
    dated = [c.name for c in table.columns if any(_all_dates(c.cells, f) for f in FORMATS)]
    if earlier is not None and earlier.date_column in dated:
        return earlier.date_column, (
            earlier.decide(
                "Which column holds the dates?", earlier.date_column, dated, "date_column (--date)"
            ),
        )
    named = [n for n in dated if n.lower() in DATE_NAMES]
    options = named or dated
    if not options:
        # One cell that is no date, such as that of a row of totals, hides the column.
        meant = [n for n in table.names if n.lower() in DATE_NAMES]
        if len(meant) == 1:
            _refuse_unreadable(table, meant[0])
    if len(options) != 1:
        found_names = ", ".join(options) or "none"
        raise DatasetError(
            f"The date column could not be found: columns of dates are {found_names}. Name it as "
            "date_column (--date).",
            code="dataset_column_ambiguous",
        )
    decision = Decision(
        question="Which column holds the dates?",
        options=table.names,
        choice=options[0],
        reason=(
            "the only column named and filled as dates"
            if named
            else "the only column whose every cell is a date"
        ),
    )
    return options[0], (decision,)


def _all_dates(cells: tuple[str, ...], date_format: str) -> bool:
    return all(_read(c, date_format) is not None for c in cells)


def _read(cell: str, date_format: str) -> date | None:
    # Without separators, any number of eight digits would be a date.
    if date_format == "%Y%m%d" and not (len(cell) == 8 and cell.startswith(("19", "20"))):
        return None
    try:
        return datetime.strptime(cell, date_format).date()  # noqa: DTZ007  periods have no zone
    except ValueError:
        return None


def _known(cell: str, date_format: str) -> date:
    found = _read(cell, date_format)
    if found is None:
        raise DatasetError(
            f"{cell!r} is no date of the form {date_format}.", code="dataset_date_unreadable"
        )
    return found


def _is_regular(dates: list[date]) -> bool:
    periods = sorted(set(dates))
    steps = {(b - a).days for a, b in pairwise(periods)}
    return steps in ({1}, {7}) or (bool(steps) and steps <= {28, 29, 30, 31})


def _refuse_unreadable(table: Table, column: str) -> NoReturn:
    cells = table.column(column).cells
    best = max(FORMATS, key=lambda f: sum(_read(c, f) is not None for c in cells))
    index = next(i for i, c in enumerate(cells) if _read(c, best) is None)
    raise DatasetError(
        f"{table.where(column, index)} holds {cells[index]!r} in the date column {column!r}, which "
        "is no date like the others. Write dates as YYYY-MM-DD, or name another date_column.",
        code="dataset_date_unreadable",
    )

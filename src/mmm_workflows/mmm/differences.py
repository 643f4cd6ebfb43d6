"""What differs between two versions of data, each difference with its figures and cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pandas as pd

from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.dates import DateChoice
from mmm_workflows.mmm.figures import percent
from mmm_workflows.mmm.side_by_side import Change
from mmm_workflows.mmm.versions import Comparison
from mmm_workflows.records import Finding, Severity

# A history that moved by less in cells and in sum is not worth a second look.
RESTATED_WARN: Final = 0.01
CELLS_LISTED: Final = 50


def name_differences(
    found: Comparison, earlier: Dataset, date: DateChoice, geography: str | None
) -> tuple[Finding, ...]:
    """Every difference of the present data from the earlier: periods, columns, values, form."""
    return (
        *_periods(found),
        *_columns(found),
        *(f for change in found.changes for f in _values(change)),
        *_form(found, earlier, date, geography),
    )


def _periods(found: Comparison) -> Iterator[Finding]:
    before, after = (found.both.periods(f) for f in (found.both.before, found.both.after))
    added, dropped = after.difference(before), before.difference(after)
    if len(added):
        yield _info("periods_added", f"{_counted(added)} new: {_span(added)}.")
    if len(dropped):
        yield _warning("periods_dropped", f"{_counted(dropped)} no longer there: {_span(dropped)}.")


def _columns(found: Comparison) -> Iterator[Finding]:
    for change in found.changes:
        if change.now != change.name:
            said = (
                f"The column {change.name!r} was renamed: it is called {change.now!r} now, and "
                f"{percent(change.agreement)} of {change.telling} overlapping cells other than zero are equal."
            )
            yield _info("column_renamed", said, change.now)
    for maybe in found.maybe:
        said = (
            f"The column {maybe.name!r} is gone, and {maybe.now!r} may be it "
            f"({percent(maybe.agreement)} of the overlapping cells are equal). Nothing is taken "
            f"over from it: name the role of {maybe.now!r}."
        )
        yield _warning("column_maybe_renamed", said, maybe.now)
    for name in found.gone:
        yield _warning("column_removed", f"The column {name!r} is no longer there.", name)
    for name in found.new:
        yield _info("column_added", f"The column {name!r} is new.", name)


def _values(change: Change) -> Iterator[Finding]:
    if change.factor != 1:
        said = (
            f"The scale of {change.now!r} changed by the factor {change.factor:.6g}: unless the "
            "request says its unit, that of before is kept. Correct the file, or say the unit."
        )
        yield _warning("scale_changed", said, change.now)
    if not change.cells:
        return
    share = len(change.cells) / change.compared
    moved = _moved(change)
    where, was, is_now = max(change.cells, key=lambda c: abs(c[2] - c[1]))
    by = "" if moved is None else f", and their sum by {100 * moved:+.3g} %"
    said = (
        f"The history of {change.now!r} was restated: {len(change.cells)} of {change.compared} "
        f"overlapping cells ({percent(share)}) changed{by}. The largest change is that of {where}: "
        f"{was:.10g} -> {is_now:.10g}."
    )
    is_large = share >= RESTATED_WARN or moved is None or abs(moved) >= RESTATED_WARN
    yield Finding(
        code="history_restated",
        severity=Severity.WARNING if is_large else Severity.INFO,
        message=said,
        variable=change.now,
        cells=tuple(f"{w}: {a:.10g} -> {b:.10g}" for w, a, b in change.cells[:CELLS_LISTED]),
    )


def _moved(change: Change) -> float | None:
    """By which share of the earlier sum the sum of the shared cells moved; None from zero."""
    if change.sum_before == 0:
        return None
    return (change.sum_after - change.sum_before) / abs(change.sum_before)


def _form(
    found: Comparison, earlier: Dataset, date: DateChoice, geography: str | None
) -> Iterator[Finding]:
    both, read = found.both, earlier.sidecar.treatment
    if both.places_before != both.places_after:
        said = (
            f"The geographies were {_places(both.places_before)}, now {_places(both.places_after)}."
        )
        yield _warning("geographies_changed", said)
    if read is None:
        return
    if read.date_column != date.column:
        said = f"The dates stand in {date.column!r} now, before in {read.date_column!r}."
        yield _info("date_column_changed", said, date.column)
    if read.date_format != date.date_format:
        said = f"The dates are written as {date.date_format} now, before as {read.date_format}."
        yield _info("date_format_changed", said, date.column)
    if geography and read.geography_column and read.geography_column != geography:
        said = f"The geographies stand in {geography!r} now, before in {read.geography_column!r}."
        yield _info("geography_column_changed", said, geography)


def _counted(periods: pd.DatetimeIndex) -> str:
    return "1 period is" if len(periods) == 1 else f"{len(periods)} periods are"


def _span(periods: pd.DatetimeIndex) -> str:
    first, last = f"{periods[0]:%Y-%m-%d}", f"{periods[-1]:%Y-%m-%d}"
    return first if len(periods) == 1 else f"{first} to {last}"


def _places(places: tuple[str, ...]) -> str:
    return "one, national" if places == ("",) else ", ".join(places)


def _info(code: str, message: str, variable: str | None = None) -> Finding:
    return Finding(code=code, severity=Severity.INFO, message=message, variable=variable)


def _warning(code: str, message: str, variable: str | None = None) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, message=message, variable=variable)

"""From files to a trusted data set: load and merge, read the numbers, and put them into MFF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.cleaning import clean_column
from mmm_workflows.mmm.dataset import CleaningStep, Dataset, Sidecar, Treatment, long_table
from mmm_workflows.mmm.dates import (
    choose_dates,
    find_frequency,
    read_dates,
    refuse_irregular,
)
from mmm_workflows.mmm.names import same_written
from mmm_workflows.mmm.role_notes import UNIT_ASSUMED
from mmm_workflows.mmm.roles import Roles
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.tables import Table, merge, read_table
from mmm_workflows.mmm.treatment import EarlierTreatment
from mmm_workflows.records import DEFAULT_PROJECT, Decision, Finding


@dataclass(frozen=True, kw_only=True)
class CleanTable:
    """Numbers per period, and per geography where there is one.

    Attributes:
        frame: Index Period, or (Geography, Period); one float column per variable.
    """

    frame: pd.DataFrame
    frequency: Frequency
    steps: tuple[CleaningStep, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]


def load_files(
    paths: Sequence[Path], *, date_column: str | None, geography_column: str | None
) -> Table:
    """Read files and merge them by date, and by geography where it is named.

    Raises:
        DatasetError: A file cannot be read, or they cannot be merged.
    """
    return merge_files(
        [read_table(path) for path in paths],
        date_column=date_column,
        geography_column=geography_column,
    )


def merge_files(
    tables: Sequence[Table],
    *,
    date_column: str | None,
    geography_column: str | None,
    earlier: EarlierTreatment | None = None,
) -> Table:
    """Files that were read, as one table; ``earlier`` tells what they alone leave open.

    Raises:
        DatasetError: They cannot be merged.
    """
    if len(tables) == 1:
        return tables[0]
    if geography_column is None and earlier is not None:
        geography_column = earlier.geography_column
    keys, key_columns = [], set()
    for table in tables:
        choice = choose_dates(table, date_column, earlier)
        names = [choice.column]
        key = [d.isoformat() for d in read_dates(table, choice)]
        if geography_column and (found := same_written(geography_column, table.names)):
            names += found
            cells = table.column(found[0]).cells
            key = [f"{day} {place}" for day, place in zip(key, cells, strict=True)]
        keys.append(key)
        key_columns |= set(names)
    return merge(tables, keys, key_columns)


def clean_table(table: Table, roles: Roles) -> CleanTable:
    """Read every cell, and refuse dates that leave a hole.

    Raises:
        DatasetError: A cell is unreadable or missing; periods are duplicated, missing or too few.
    """
    dates = read_dates(table, roles.date)
    places = table.column(roles.geography).cells if roles.geography else ("",) * len(dates)
    _check_periods(table, roles, dates, places)
    columns = {v.name: clean_column(table, v.name, v.role) for v in roles.variables}
    frame = pd.DataFrame({name: column.values for name, column in columns.items()})
    frame.insert(0, "Period", pd.to_datetime(dates))
    if roles.geography:
        frame.insert(0, "Geography", places)
    frame = frame.set_index(["Geography", "Period"] if roles.geography else "Period").sort_index()
    return CleanTable(
        frame=frame,
        frequency=find_frequency(dates),
        steps=tuple(s for c in columns.values() for s in c.steps),
        decisions=tuple(d for c in columns.values() for d in c.decisions),
        findings=tuple(f for c in columns.values() for f in c.findings),
    )


def make_dataset(
    table: Table, roles: Roles, *, project: str = DEFAULT_PROJECT
) -> tuple[Dataset, tuple[Finding, ...]]:
    """The data as MFF with all that its sidecar should say, and what the reader should know.

    Raises:
        DatasetError: As ``clean_table``.
    """
    clean = clean_table(table, roles)
    sidecar = Sidecar(
        project=project,
        frequency=clean.frequency,
        variables=roles.variables,
        sources=table.sources,
        treatment=_treatment(table, roles),
        cleaning=clean.steps,
        decisions=(*roles.decisions, *clean.decisions),
    )
    return Dataset(long_table(clean.frame), sidecar), (*roles.findings, *clean.findings)


def _treatment(table: Table, roles: Roles) -> Treatment:
    read = {roles.date.column, roles.geography, *(v.name for v in roles.variables)}
    return Treatment(
        date_column=roles.date.column,
        date_format=roles.date.date_format,
        geography_column=roles.geography,
        left_out=tuple(n for n in table.names if n not in read),
        unit_is_open=any(f.code == UNIT_ASSUMED for f in roles.findings),
    )


def _check_periods(table: Table, roles: Roles, dates: list[date], places: Sequence[str]) -> None:
    by_place: dict[str, list[date]] = {}
    for day, place in zip(dates, places, strict=True):
        by_place.setdefault(place, []).append(day)
    for place, own in by_place.items():
        refuse_irregular(table, roles.date, own, of=place)
    _check_panel(by_place)


def _check_panel(by_place: dict[str, list[date]]) -> None:
    spans = {place: (min(own), max(own)) for place, own in by_place.items()}
    widest = (min(s[0] for s in spans.values()), max(s[1] for s in spans.values()))
    for place, span in spans.items():
        if span != widest:
            raise DatasetError(
                f"The geography {place!r} runs from {span[0]} to {span[1]}, others from "
                f"{widest[0]} to {widest[1]}. Give every geography the same periods.",
                code="dataset_gap",
            )

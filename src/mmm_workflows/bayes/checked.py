"""Data that a fit refuses; the model's library would fill it in silence and fit on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import DIMENSIONS, Dataset
from mmm_workflows.mmm.dates import period_grid
from mmm_workflows.mmm.spec import ModelSpec

CELL = ("VariableName", "Period", *DIMENSIONS)


def refuse_holes(dataset: Dataset, spec: ModelSpec, names: Sequence[str]) -> None:
    """Refuse a value, a period or a row that a sum over geographies would hide.

    Raises:
        DatasetError: A value is missing or not finite (``dataset_cell_missing``), a row is there
            twice (``dataset_duplicate_dates``), or a geography lacks a period (``dataset_gap``).
    """
    start, end = pd.Timestamp(spec.start), pd.Timestamp(spec.end)
    rows = dataset.frame
    rows = rows[rows["VariableName"].isin(names) & rows["Period"].between(start, end)]
    _refuse_missing(rows)
    _refuse_twice(rows)
    known = [stamp.date() for stamp in rows["Period"].unique()]
    grid = period_grid([spec.start, spec.end, *known], spec.frequency)
    expected = {pd.Timestamp(d) for d in grid}
    for (name, place), series in rows.groupby(["VariableName", "Geography"]):
        _refuse_gap(sorted(expected - set(series["Period"])), f"{name!r}", str(place))
    absent = [n for n in names if n not in set(rows["VariableName"])]
    if absent:
        raise DatasetError(
            f"{absent[0]!r} has no value between {spec.start} and {spec.end}. Give its values, or "
            "leave it out.",
            code="dataset_cell_missing",
        )


def refuse_negative(spend: pd.DataFrame) -> None:
    """Refuse a spend below zero.

    Raises:
        DatasetError: A channel has one (``dataset_negative_spend``).
    """
    values = spend.to_numpy(np.float64)
    places = np.argwhere(values < 0)
    if places.size:
        row, column = places[0]
        raise DatasetError(
            f"The channel {spend.columns[column]!r} has a spend of {values[row, column]:g} in the "
            f"period of {pd.DatetimeIndex(spend.index)[row]:%Y-%m-%d}. Correct it in the source "
            "file and run EDA again.",
            code="dataset_negative_spend",
        )


def _refuse_missing(rows: pd.DataFrame) -> None:
    bad = rows[~np.isfinite(rows["VariableValue"].to_numpy(np.float64))]
    if len(bad):
        first = bad.iloc[0]
        raise DatasetError(
            f"{first['VariableName']!r} has no finite value in the period of "
            f"{first['Period']:%Y-%m-%d}{_of(first['Geography'])}. Fill it in the source file and "
            "run EDA again.",
            code="dataset_cell_missing",
        )


def _refuse_twice(rows: pd.DataFrame) -> None:
    twice = rows[rows.duplicated(list(CELL))]
    if len(twice):
        first = twice.iloc[0]
        raise DatasetError(
            f"{first['VariableName']!r} has two values in the period of "
            f"{first['Period']:%Y-%m-%d}{_of(first['Geography'])}. Keep one in the source file "
            "and run EDA again.",
            code="dataset_duplicate_dates",
        )


def _refuse_gap(missing: Sequence[pd.Timestamp], name: str, place: str) -> None:
    if missing:
        raise DatasetError(
            f"{name} lacks {len(missing)} periods{_of(place)}, the first {missing[0]:%Y-%m-%d}. "
            "Add them to the source file and run EDA again; carry-over cannot be computed across "
            "a gap.",
            code="dataset_gap",
        )


def _of(place: str) -> str:
    return f" of {place}" if place else ""

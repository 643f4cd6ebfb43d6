"""What a model is fed: checked, aligned and standardised before any library can fill a gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.errors import DatasetError, SpecError
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.spec_builder import apply_transform

DATE: Final = "date"
TREND: Final = "__trend"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Arrays of T periods, C channels, K control columns (the controls, then the trend's).

    Attributes:
        spend: Money per period, ``(T, C)``.
        drivers: Standardised controls and trend columns, ``(T, K)``.
        driver_sd: Prior sd of each driver's coefficient, ``(K,)``.
    """

    dates: pd.DatetimeIndex
    target: FloatArray  # (T,)
    spend: FloatArray
    channel_names: tuple[str, ...]
    drivers: FloatArray
    driver_names: tuple[str, ...]
    driver_sd: FloatArray
    target_name: str

    def table(self) -> pd.DataFrame:
        """The features as PyMC-Marketing takes them: date, channels, drivers."""
        values = np.hstack([self.spend, self.drivers])
        columns = [*self.channel_names, *self.driver_names]
        table = pd.DataFrame(values, columns=columns)
        table.insert(0, DATE, self.dates)
        return table

    def target_series(self) -> pd.Series:
        """The target, named as its column."""
        return pd.Series(self.target, name=self.target_name)


def make_inputs(dataset: Dataset, spec: ModelSpec) -> Inputs:
    """Align the data with the spec.

    Raises:
        SpecError: The spec names a variable that the data does not have.
        DatasetError: A value is missing or a channel's spend is negative; PyMC-Marketing would
            read the first as 0 and fit the second.
    """
    frame = dataset.national()
    names = [spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)]
    unknown = [n for n in names if n not in frame.columns]
    if unknown:
        raise SpecError(
            f"The spec names {', '.join(unknown)}, which the data does not have. "
            f"It has {', '.join(frame.columns)}.",
            code="spec_variable_unknown",
        )
    frame = frame.loc[str(spec.start) : str(spec.end), names]
    _refuse_holes(frame)
    controls = [
        (apply_transform(frame[c.name], c.transform) - c.centre) / c.scale for c in spec.controls
    ]
    trend = trend_columns(len(frame), spec.trend_knots)
    return Inputs(
        dates=pd.DatetimeIndex(frame.index),
        target=frame[spec.target].to_numpy(np.float64),
        spend=_spend(frame, spec),
        channel_names=tuple(c.name for c in spec.channels),
        drivers=np.column_stack([*controls, *trend.T]),
        driver_names=(*(c.name for c in spec.controls), *_trend_names(spec.trend_knots)),
        driver_sd=np.array([*(c.prior_sd for c in spec.controls), *_trend_sds(spec.trend_knots)]),
        target_name=spec.target,
    )


def trend_columns(periods: int, knots: int) -> FloatArray:
    """A line and its bends, each standardised, so that they have the same prior anywhere.

    Returns:
        Shape ``(periods, 1 + knots)``: the line, then one hinge per knot, evenly spaced.
    """
    time = np.linspace(0.0, 1.0, periods)
    bends = [np.maximum(time - k / (knots + 1), 0.0) for k in range(1, knots + 1)]
    columns = np.column_stack([time, *bends])
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / columns.std(axis=0), dtype=np.float64)


def _trend_names(knots: int) -> tuple[str, ...]:
    return (TREND, *(f"{TREND}_bend_{k}" for k in range(1, knots + 1)))


def _trend_sds(knots: int) -> tuple[float, ...]:
    # A bend is an exception to the line, so it is expected to be smaller.
    return (0.3, *(0.1 for _ in range(knots)))


def _spend(frame: pd.DataFrame, spec: ModelSpec) -> FloatArray:
    spend = frame[[c.name for c in spec.channels]]
    if (spend < 0).to_numpy().any():
        name = spend.columns[(spend < 0).any()][0]
        raise DatasetError(
            f"The channel {name!r} has a negative spend. Correct it in the source file and run "
            "EDA again.",
            code="dataset_negative_spend",
        )
    return spend.to_numpy(np.float64)


def _refuse_holes(frame: pd.DataFrame) -> None:
    if frame.isna().to_numpy().any():
        name = frame.columns[frame.isna().any()][0]
        period = frame.index[frame[name].isna()][0]
        raise DatasetError(
            f"{name!r} has no value in the period of {period:%Y-%m-%d}. Fill it in the source "
            "file and run EDA again.",
            code="dataset_cell_missing",
        )
    if frame.index.has_duplicates:
        raise DatasetError(
            f"The period {frame.index[frame.index.duplicated()][0]:%Y-%m-%d} appears twice.",
            code="dataset_duplicate_dates",
        )

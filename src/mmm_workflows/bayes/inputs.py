"""What a model is fed: checked, aligned and standardised before any library can fill a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.bayes.checked import refuse_holes, refuse_negative
from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.spec_builder import apply_transform

DATE: Final = "date"
TREND: Final = "trend"
SEASON: Final = "season"
# Names of the library's own columns, and one that netCDF cannot store.
RESERVED: Final = frozenset({DATE, "."})


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Arrays of T periods, C channels, K driver columns (the controls, then the trend's).

    Attributes:
        spend: Money per period, ``(T, C)``.
        drivers: Standardised controls and trend columns, ``(T, K)``.
        driver_names: What each column is reported as; the trend's columns share a name.
        driver_sd: Prior sd of each driver's coefficient, ``(K,)``.
        columns: What PyMC-Marketing calls the channels, the drivers and the target, in this
            order: our names, but for those that it cannot store.
    """

    dates: pd.DatetimeIndex
    target: FloatArray  # (T,)
    spend: FloatArray
    channel_names: tuple[str, ...]
    drivers: FloatArray
    driver_names: tuple[str, ...]
    driver_sd: FloatArray
    columns: tuple[str, ...]

    @property
    def channel_columns(self) -> tuple[str, ...]:
        """The library's names of the channels."""
        return self.columns[: len(self.channel_names)]

    @property
    def driver_columns(self) -> tuple[str, ...]:
        """The library's names of the drivers."""
        return self.columns[len(self.channel_names) : -1]

    @property
    def target_column(self) -> str:
        """The library's name of the target."""
        return self.columns[-1]

    def table(self) -> pd.DataFrame:
        """The features as PyMC-Marketing takes them: date, channels, drivers."""
        table = pd.DataFrame(np.hstack([self.spend, self.drivers]), columns=self.columns[:-1])
        table.insert(0, DATE, self.dates)
        return table

    def target_series(self) -> pd.Series:
        """The target, named as its column."""
        return pd.Series(self.target, name=self.target_column)


def make_inputs(dataset: Dataset, spec: ModelSpec) -> Inputs:
    """Align the data with the spec.

    Raises:
        SpecError: The spec names a variable that the data does not have.
        DatasetError: A value is missing, a period is missing or there twice, or a channel's spend
            is negative; PyMC-Marketing would read the first as 0 and fit the others.
    """
    channels = tuple(c.name for c in spec.channels)
    controls = tuple(c.name for c in spec.controls)
    frame = _window(dataset, spec, (spec.target, *channels, *controls))
    refuse_negative(frame[list(channels)])
    levels = [
        (apply_transform(frame[c.name], c.transform) - c.centre) / c.scale for c in spec.controls
    ]
    trend = trend_columns(len(frame), spec.trend_knots)
    # Among all names, so that a control called "trend" stays apart from the model's own.
    label = free_name(TREND, (*channels, *controls, spec.target))
    bends = (f"__{TREND}_bend_{k}" for k in range(1, spec.trend_knots + 1))
    return Inputs(
        dates=pd.DatetimeIndex(frame.index),
        target=frame[spec.target].to_numpy(np.float64),
        spend=frame[list(channels)].to_numpy(np.float64),
        channel_names=channels,
        drivers=np.column_stack([*levels, *trend.T]),
        driver_names=(*controls, *(label for _ in trend.T)),
        driver_sd=np.array([*(c.prior_sd for c in spec.controls), *_trend_sds(spec.trend_knots)]),
        columns=storable((*channels, *controls, f"__{TREND}", *bends, spec.target)),
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


def storable(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names that PyMC-Marketing and netCDF can hold, the same wherever they can."""
    kept: list[str] = []
    for name in names:
        kept.append(free_name(name.replace("/", "_"), (*RESERVED, *kept)))
    return tuple(kept)


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name, with as many underscores behind it as set it apart from those taken."""
    while name in taken:
        name += "_"
    return name


def _window(dataset: Dataset, spec: ModelSpec, names: tuple[str, ...]) -> pd.DataFrame:
    known = [v.name for v in dataset.sidecar.variables]
    unknown = [n for n in names if n not in known]
    if unknown:
        raise SpecError(
            f"The spec names {', '.join(unknown)}, which the data does not have. "
            f"It has {', '.join(known)}.",
            code="spec_variable_unknown",
        )
    refuse_holes(dataset, spec, names)
    return dataset.national().loc[str(spec.start) : str(spec.end), list(names)]


def _trend_sds(knots: int) -> tuple[float, ...]:
    # A bend is an exception to the line, so it is expected to be smaller.
    return (0.3, *(0.1 for _ in range(knots)))

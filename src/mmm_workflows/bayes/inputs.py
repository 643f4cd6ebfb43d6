"""What a model is fed: checked, aligned and standardised before any library can fill a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.bayes.checked import refuse_holes, refuse_negative
from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.baseline import trend_columns, weekday_columns
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.spec_builder import apply_transform

DATE: Final = "date"
TREND: Final = "trend"
SEASON: Final = "season"
WEEKDAY: Final = "weekday"
WEEKDAY_SD: Final = 0.2
# Names of the library's own columns, and one that netCDF cannot store.
RESERVED: Final = frozenset({DATE, "."})


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Arrays of T periods, C channels, K driver columns (controls, trend, weekdays).

    Attributes:
        spend: Money per period, ``(T, C)``.
        drivers: Standardised controls and the model's own columns, ``(T, K)``.
        driver_names: What each column is reported as; the trend's columns share a name, and so
            do the weekdays'.
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
    drivers = [_controls(frame, spec), _trend(frame, spec)]
    if spec.weekday_levels:
        drivers.append(_weekdays(frame))
    # Among all names, so that a control called "trend" stays apart from the model's own.
    taken = (*channels, *controls, spec.target)
    columns = [f"__{name}" for part in drivers[1:] for name in part.columns]
    return Inputs(
        dates=pd.DatetimeIndex(frame.index),
        target=frame[spec.target].to_numpy(np.float64),
        spend=frame[list(channels)].to_numpy(np.float64),
        channel_names=channels,
        drivers=np.hstack([part.values for part in drivers]),
        driver_names=(
            *controls,
            *(free_name(part.label, taken) for part in drivers[1:] for _ in part.columns),
        ),
        driver_sd=np.concatenate([part.sds for part in drivers]),
        columns=storable((*channels, *controls, *columns, spec.target)),
    )


@dataclass(frozen=True)
class _Drivers:
    """Standardised columns ``(T, K)`` that are reported under one label, with their prior sds."""

    label: str
    columns: tuple[str, ...]
    values: FloatArray
    sds: FloatArray


def _controls(frame: pd.DataFrame, spec: ModelSpec) -> _Drivers:
    levels = [
        (apply_transform(frame[c.name], c.transform) - c.centre) / c.scale for c in spec.controls
    ]
    return _Drivers(
        "",
        tuple(c.name for c in spec.controls),
        np.array(levels, dtype=np.float64).reshape(len(levels), len(frame)).T,
        np.array([c.prior_sd for c in spec.controls], dtype=np.float64),
    )


def _trend(frame: pd.DataFrame, spec: ModelSpec) -> _Drivers:
    bends = tuple(f"{TREND}_bend_{k}" for k in range(1, spec.trend_knots + 1))
    # A bend is an exception to the line, so it is expected to be smaller.
    sds = np.array([0.3, *(0.1 for _ in bends)])
    return _Drivers(TREND, (TREND, *bends), trend_columns(len(frame), spec.trend_knots), sds)


def _weekdays(frame: pd.DataFrame) -> _Drivers:
    values = weekday_columns(pd.DatetimeIndex(frame.index))
    names = tuple(f"{WEEKDAY}_{day}" for day in range(1, 7))
    return _Drivers(WEEKDAY, names, values, np.full(6, WEEKDAY_SD))


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

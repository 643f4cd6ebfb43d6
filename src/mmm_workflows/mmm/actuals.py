"""What really came after a fit: read as the fit's own data was, and held against what it knew then."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.dataset import Dataset, read_mff, sidecar_path
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.names import same_written, suggestion
from mmm_workflows.mmm.results import Value
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.scorecards import Restated
from mmm_workflows.mmm.side_by_side import same_values
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.windows import future_dates
from mmm_workflows.records import Finding


class Actuals(Value):
    """The periods after the fit, with what the file says of those before.

    Attributes:
        dates: Start of each period.
        values: Target, channels and controls of the spec, one value per period, as in the file.
        sha256: The hash of the file.
        compared: How many periods of the fit the file has as well.
        findings: What the reading of the file should tell its owner.
    """

    dates: tuple[date, ...]
    values: dict[str, tuple[float, ...]]
    sha256: str
    compared: int
    restated: tuple[Restated, ...]
    findings: tuple[Finding, ...]

    @property
    def later(self) -> pd.DataFrame:
        """One row per period, one column per variable."""
        return pd.DataFrame(self.values, index=pd.DatetimeIndex(self.dates), dtype=np.float64)


def read_national(
    path: Path, spec: ModelSpec, *, date_column: str | None, geography_column: str | None
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """The model's own variables in a file, one row per period; an MFF or a CSV as EDA reads it.

    Raises:
        DatasetError: A variable of the model is not there (``dataset_column_unknown``) or is in
            another unit (``actuals_unit``), the periods are of another length
            (``dataset_frequency_unknown``), or the file cannot be read.
    """
    if sidecar_path(path).is_file():
        dataset = read_mff(path)
        findings: tuple[Finding, ...] = ()
        names = tuple(v.name for v in dataset.sidecar.variables)
        columns = {name: _column(name, names, path) for name in _needed(spec)}
        _refuse_other_units(dataset, spec, columns, path)
    else:
        dataset, findings, columns = _read_csv(path, spec, date_column, geography_column)
    if dataset.sidecar.frequency is not spec.frequency:
        raise DatasetError(
            f"The periods of {path.name} are {dataset.sidecar.frequency}; those of the model are "
            f"{spec.frequency}. Give a file with {spec.frequency} periods.",
            code="dataset_frequency_unknown",
        )
    frame = dataset.national()[list(columns.values())]
    return frame.set_axis(list(columns), axis=1), findings


def compare_history(
    frame: pd.DataFrame, spec: ModelSpec, draws: Draws, baseline: Baseline, *, name: str,
    sha256: str, findings: tuple[Finding, ...] = (),
) -> Actuals:  # fmt: skip
    """The periods after the model's last one, and where the file tells the past otherwise.

    Raises:
        DatasetError: There is none (``actuals_none``), one between is missing (``dataset_gap``),
            or a value is (``dataset_cell_missing``, ``dataset_negative_spend``).
    """
    later = frame.loc[pd.Timestamp(draws.dates[-1]) + pd.Timedelta(days=1) :]
    if later.empty:
        raise DatasetError(
            f"{name} runs from {_day(frame.index[0])} to {_day(frame.index[-1])}; the model's data "
            f"ends on {draws.dates[-1]}, so nothing came after it. Give a newer version of the "
            f"file, with periods from {future_dates(draws, 1)[0]} on.",
            code="actuals_none",
        )
    _refuse_off_grid(later, draws, name)
    _refuse_holes(later, draws, name)
    known = _history(spec, draws, baseline)
    both = frame.index.intersection(known.index)
    restated = [_restated(n, known.loc[both, n], frame.loc[both, n]) for n in known.columns]
    return Actuals(
        dates=tuple(stamp.date() for stamp in later.index),
        values={name: tuple(column.astype(float)) for name, column in later.items()},
        sha256=sha256,
        compared=len(both),
        restated=tuple(r for r in restated if r.periods),
        findings=findings,
    )


def _needed(spec: ModelSpec) -> tuple[str, ...]:
    return spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)


def _column(wanted: str, names: tuple[str, ...], path: Path) -> str:
    found = same_written(wanted, names)
    if len(found) != 1:
        raise DatasetError(
            f"{path.name} has no column {wanted!r}, which the model was fitted on."
            f"{suggestion(wanted, names)} Give a file with the columns of the model's data.",
            code="dataset_column_unknown",
        )
    return found[0]


def _read_csv(
    path: Path, spec: ModelSpec, date_column: str | None, geography_column: str | None
) -> tuple[Dataset, tuple[Finding, ...], dict[str, str]]:
    table = load_files([path], date_column=date_column, geography_column=geography_column)
    columns = {name: _column(name, table.names, path) for name in _needed(spec)}
    wishes = Wishes(
        target=columns[spec.target],
        channels=[columns[c.name] for c in spec.channels],
        controls=[columns[c.name] for c in spec.controls],
        date_column=date_column,
        geography_column=geography_column,
        target_unit=spec.target_unit,
    )
    dataset, findings = make_dataset(table, choose_roles(table, wishes))
    return dataset, findings, columns


def _refuse_other_units(
    dataset: Dataset, spec: ModelSpec, columns: dict[str, str], path: Path
) -> None:
    units = {v.name: v.unit for v in dataset.sidecar.variables}
    wanted = {spec.target: spec.target_unit} | {c.name: spec.spend_unit for c in spec.channels}
    for name, unit in wanted.items():
        found = units[columns[name]]
        if found != unit:
            raise DatasetError(
                f"{path.name} gives {name!r} in {found}; the model was fitted on {unit}. Give the "
                f"file in {unit}.",
                code="actuals_unit",
            )


def _refuse_off_grid(later: pd.DataFrame, draws: Draws, name: str) -> None:
    grid = pd.DatetimeIndex(future_dates(draws, len(later)))
    unlike = np.flatnonzero(later.index != grid)
    if unlike.size:
        raise DatasetError(
            f"After {draws.dates[-1]} the model's next periods begin on {_day(grid[0])}, "
            f"and so on; {name} has {_day(later.index[unlike[0]])} where {_day(grid[unlike[0]])} "
            "was expected. Add the missing periods, or begin them on the same day as before.",
            code="dataset_gap",
        )


def _refuse_holes(later: pd.DataFrame, draws: Draws, name: str) -> None:
    holes = np.argwhere(~np.isfinite(later.to_numpy(np.float64)))
    if holes.size:
        row, column = holes[0]
        raise DatasetError(
            f"{name} has no value of {later.columns[column]!r} in the period of "
            f"{_day(later.index[row])}. Fill it: it is not guessed.",
            code="dataset_cell_missing",
        )
    below = np.argwhere(later[list(draws.channels)].to_numpy(np.float64) < 0)
    if below.size:
        row, column = below[0]
        raise DatasetError(
            f"The channel {draws.channels[column]!r} has a spend below zero in {name}, in the "
            f"period of {_day(later.index[row])}. Correct it.",
            code="dataset_negative_spend",
        )


def _history(spec: ModelSpec, draws: Draws, baseline: Baseline) -> pd.DataFrame:
    """What the fit knew, as it stood in the file then."""
    return pd.DataFrame(
        np.column_stack([baseline.target, draws.spend, baseline.controls]),
        index=pd.DatetimeIndex(draws.dates),
        columns=list(_needed(spec)),
    )


def _restated(name: str, then: pd.Series, now: pd.Series) -> Restated:
    differs = ~same_values(then.to_numpy(np.float64), now.to_numpy(np.float64))
    was = float(then.sum())
    return Restated(
        variable=name,
        periods=int(differs.sum()),
        compared=len(then),
        change=float(now.sum() - was) / abs(was) if was else None,
    )


def _day(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}"

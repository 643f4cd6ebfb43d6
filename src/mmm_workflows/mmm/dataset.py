"""MFF: the long eight-column table of the data, with a sidecar that says what each series is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.records import DEFAULT_PROJECT, Decision

MFF_SCHEMA_VERSION: Final = 1
MFF_COLUMNS: Final = (
    "Period",
    "Geography",
    "Product",
    "Campaign",
    "Outlet",
    "Creative",
    "VariableName",
    "VariableValue",
)
DIMENSIONS: Final = ("Geography", "Product", "Campaign", "Outlet", "Creative")

type Additivity = Literal["sum", "mean", "last"]


class Role(StrEnum):
    """What a series is to the model."""

    TARGET = "target"
    CHANNEL = "channel"
    CONTROL = "control"
    EXPOSURE = "exposure"
    UNUSED = "unused"


class Described(BaseModel):
    """A frozen part of the sidecar."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Variable(Described):
    """One series: its role, unit and how it adds up.

    Attributes:
        unit: ``EUR`` and the like for money whose currency is known, ``money`` where it is not,
            else what is counted.
        source: The file and column that the series comes from.
    """

    name: str
    role: Role
    unit: str
    is_money: bool = False
    additivity: Additivity = "sum"
    source: str


class SourceFile(Described):
    """A file that was read, by name and content."""

    name: str
    sha256: str


class CleaningStep(Described):
    """A reversible change of cells: what stood there, what stands there now, and why."""

    kind: str
    variable: str
    reason: str
    cells: tuple[tuple[str, str, float], ...]  # (where, as typed, new value)


class Treatment(Described):
    """How the columns of the files were read, beyond what the variables say.

    Attributes:
        left_out: Columns that are no variable, such as text.
        unit_is_open: The target's unit was assumed where its name leaves it open.
    """

    date_column: str
    date_format: str
    geography_column: str | None = None
    left_out: tuple[str, ...] = ()
    unit_is_open: bool = False


class Sidecar(Described):
    """What the MFF table cannot say by itself; ``<stem>.mff.json`` beside ``<stem>.csv``."""

    schema_version: int = MFF_SCHEMA_VERSION
    project: str = DEFAULT_PROJECT
    mff_sha256: str = ""
    frequency: Frequency
    variables: tuple[Variable, ...]
    sources: tuple[SourceFile, ...]
    treatment: Treatment | None = None
    cleaning: tuple[CleaningStep, ...] = ()
    decisions: tuple[Decision, ...] = ()

    def named(self, role: Role) -> tuple[Variable, ...]:
        """The variables of a role, in the order of the file."""
        return tuple(v for v in self.variables if v.role is role)


@dataclass(frozen=True)
class Dataset:
    """An MFF table in memory, sorted by variable and period."""

    frame: pd.DataFrame
    sidecar: Sidecar

    @property
    def target(self) -> Variable:
        """The series to explain."""
        return self.sidecar.named(Role.TARGET)[0]

    @property
    def channels(self) -> tuple[Variable, ...]:
        """The paid lines, in the order of the file."""
        return self.sidecar.named(Role.CHANNEL)

    @property
    def controls(self) -> tuple[Variable, ...]:
        """The drivers that are not media, in the order of the file."""
        return self.sidecar.named(Role.CONTROL)

    @property
    def geographies(self) -> tuple[str, ...]:
        """The names of the geographies; a national table has one, without a name."""
        return tuple(sorted(self.frame["Geography"].unique()))

    def under(self, names: Mapping[str, str]) -> Dataset:
        """The same series, those of ``names`` under another name."""
        variables = tuple(
            v.model_copy(update={"name": names.get(v.name, v.name)}) for v in self.sidecar.variables
        )
        called = self.frame["VariableName"].map(lambda name: names.get(name, name))
        frame = self.frame.assign(VariableName=called)
        return Dataset(frame, self.sidecar.model_copy(update={"variables": variables}))

    def national(self) -> pd.DataFrame:
        """One row per period, one column per variable, each added up in its own way.

        Returns:
            Index ``Period`` (datetime64, ascending), columns in the order of the sidecar.
        """
        series = {
            v.name: self.frame[self.frame["VariableName"] == v.name]
            .groupby("Period")["VariableValue"]
            .agg(v.additivity)
            for v in self.sidecar.variables
        }
        return pd.DataFrame(series).sort_index()

    def panel(self) -> pd.DataFrame:
        """One row per geography and period, one column per variable.

        Returns:
            Index (``Geography``, ``Period``), columns in the order of the sidecar.
        """
        series = {
            v.name: self.frame[self.frame["VariableName"] == v.name]
            .groupby(["Geography", "Period"])["VariableValue"]
            .agg(v.additivity)
            for v in self.sidecar.variables
        }
        return pd.DataFrame(series).sort_index()


def sidecar_path(mff_path: Path) -> Path:
    """Where the sidecar of an MFF table lies."""
    return mff_path.with_name(f"{mff_path.stem}.mff.json")


def table_sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def long_table(wide: pd.DataFrame) -> pd.DataFrame:
    """An MFF table from one row per geography and period.

    Args:
        wide: Index ``Period`` or (``Geography``, ``Period``), one float column per variable.
    """
    if wide.index.nlevels == 1:
        wide = wide.assign(Geography="").set_index("Geography", append=True).swaplevel()
    molten = wide.reset_index().melt(
        id_vars=["Geography", "Period"], var_name="VariableName", value_name="VariableValue"
    )
    for dimension in DIMENSIONS[1:]:
        molten[dimension] = ""
    molten = molten.dropna(subset=["VariableValue"])
    order = ["VariableName", "Geography", "Period"]
    return molten.sort_values(order, kind="stable", ignore_index=True)[list(MFF_COLUMNS)]


def write_mff(dataset: Dataset, folder: Path, stem: str) -> Path:
    """Write ``<stem>.csv`` and its sidecar; both appear whole or not at all.

    Returns:
        The path of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.csv"
    table = dataset.frame.assign(Period=dataset.frame["Period"].dt.strftime("%Y-%m-%d"))
    data = table.to_csv(index=False, lineterminator="\n").encode()
    sidecar = dataset.sidecar.model_copy(update={"mff_sha256": hashlib.sha256(data).hexdigest()})
    # The table is refused without its sidecar, so the sidecar comes last.
    _replace(path, data)
    _replace(sidecar_path(path), sidecar.model_dump_json(indent=2).encode())
    return path


def read_mff(path: Path) -> Dataset:
    """Read an MFF table with its sidecar.

    Raises:
        DatasetError: The table or its sidecar is missing (``dataset_not_found``), is no MFF
            (``mff_invalid``) or was changed after the sidecar was written (``mff_changed``).
    """
    sidecar = read_sidecar(path)
    if table_sha256(path) != sidecar.mff_sha256:
        raise DatasetError(
            f"{path.name} has changed since {sidecar_path(path).name} was written for it. "
            "Run EDA again on the source file instead of editing the MFF.",
            code="mff_changed",
        )
    frame = pd.read_csv(
        path,
        dtype={**dict.fromkeys(DIMENSIONS, str), "VariableName": str},
        keep_default_na=False,
        na_values={"VariableValue": [""]},
    )
    missing = [c for c in MFF_COLUMNS if c not in frame.columns]
    if missing:
        raise DatasetError(
            f"{path.name} is no MFF: it has no column {', '.join(missing)}. "
            f"An MFF has the columns {', '.join(MFF_COLUMNS)}.",
            code="mff_invalid",
        )
    frame["Period"] = pd.to_datetime(frame["Period"], format="%Y-%m-%d")
    frame["VariableValue"] = frame["VariableValue"].astype("float64")
    return Dataset(frame[list(MFF_COLUMNS)], sidecar)


def read_sidecar(path: Path) -> Sidecar:
    """What the sidecar of an MFF table says, without reading the table.

    Raises:
        DatasetError: The table or its sidecar is missing (``dataset_not_found``), or the sidecar
            cannot be read (``mff_invalid``).
    """
    beside = sidecar_path(path)
    for needed in (path, beside):
        if not needed.is_file():
            raise DatasetError(
                f"There is no file {needed}. An MFF is a table with its sidecar beside it; "
                "EDA writes both.",
                code="dataset_not_found",
            )
    try:
        return Sidecar.model_validate_json(beside.read_bytes())
    except ValidationError as error:
        raise DatasetError(
            f"{beside.name} is no sidecar that this version can read: "
            f"{error.errors()[0]['msg']} at {error.errors()[0]['loc']}. Run EDA again.",
            code="mff_invalid",
        ) from error


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)

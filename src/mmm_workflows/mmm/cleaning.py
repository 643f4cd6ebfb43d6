"""From typed cells to numbers: every change of a cell is a step that can be undone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import CleaningStep, Role
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.tables import Table
from mmm_workflows.records import Decision, Finding, Severity

NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
# Larger than any sum of money; squares of what is below it are still finite.
LARGEST: Final = 1e100
BLANK_SPEND: Final = "blank spend read as 0"


@dataclass(frozen=True)
class CleanColumn:
    """A column as numbers, with the steps that were taken for it."""

    values: FloatArray
    steps: tuple[CleaningStep, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number: 12, 12.5, 1e3; not 1,234 and not 12 %."""
    return NUMBER.fullmatch(cell) is not None


def clean_column(table: Table, name: str, role: Role) -> CleanColumn:
    """Read a column's cells as numbers.

    A blank spend is read as 0, as a recorded step; any other blank is refused.

    Raises:
        DatasetError: A cell is no plain number (``dataset_number_unreadable``) or is blank and
            needed (``dataset_cell_missing``); the cell is named as typed, with its row.
    """
    cells = table.column(name).cells
    values = np.empty(len(cells))
    blanks: list[int] = []
    for index, cell in enumerate(cells):
        if is_number(cell):
            values[index] = float(cell)
        elif cell == "" and role is Role.CHANNEL:
            values[index] = 0.0
            blanks.append(index)
        elif cell == "" and role in (Role.EXPOSURE, Role.UNUSED):
            values[index] = np.nan
        else:
            _refuse(table, name, index)
    beyond = np.flatnonzero(np.abs(values) > LARGEST)
    if beyond.size:
        _refuse(table, name, int(beyond[0]))
    return CleanColumn(values, *_blank_notes(table, name, blanks))


def undo(values: pd.Series, steps: tuple[CleaningStep, ...], places: list[str]) -> list[str]:
    """A column's cells as they were typed, where a step changed them; the rest as it is.

    ``places`` names the place of each cell in words, as the steps do.
    """
    typed = {where: cell for step in steps for where, cell, _ in step.cells}
    return [
        typed.get(place, str(value)) for place, value in zip(places, values.tolist(), strict=True)
    ]


def _blank_notes(
    table: Table, name: str, blanks: list[int]
) -> tuple[tuple[CleaningStep, ...], tuple[Decision, ...], tuple[Finding, ...]]:
    if not blanks:
        return (), (), ()
    places = tuple(table.where(name, i) for i in blanks)
    step = CleaningStep(
        kind=BLANK_SPEND,
        variable=name,
        reason="a channel without an entry was not booked",
        cells=tuple((place, "", 0.0) for place in places),
    )
    decision = Decision(
        question=f"What do the {len(blanks)} blank cells of the channel {name!r} mean?",
        options=("no spend", "unknown"),
        choice="no spend",
        reason=step.reason,
        evidence=", ".join(places[:5]),
    )
    finding = Finding(
        code="blank_spend",
        severity=Severity.WARNING,
        message=f"{len(blanks)} blank cells of the channel {name!r} were read as no spend. If the "
        "spend is unknown, fill it in the file.",
        variable=name,
        cells=places,
    )
    return (step,), (decision,), (finding,)


def _refuse(table: Table, name: str, index: int) -> None:
    cell, where = table.column(name).cells[index], table.where(name, index)
    if cell == "":
        raise DatasetError(
            f"The column {name!r} is blank in {where}. Fill the cell: it is not guessed.",
            code="dataset_cell_missing",
        )
    raise DatasetError(
        f"The column {name!r} holds {cell!r} in {where}, and a number was expected. Write numbers "
        "plainly, like 1234.5, without thousands separators, units or words.",
        code="dataset_number_unreadable",
    )

"""What a program found out about the data: its figures and tables, read as data and nothing more."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.material import visible
from mmm_workflows.mmm.results import Value

if TYPE_CHECKING:
    # Frames are not needed to read an answer, and pandas takes half a second to load.
    from mmm_workflows.mmm.dataset import Dataset

FIGURES: Final = "figures.json"
MAX_FIGURES: Final = 50
MAX_NAME: Final = 80
SHOWN_ROWS: Final = 20
SHOWN_COLUMNS: Final = 12
MAX_CELL: Final = 60


class AnswerTable(Value):
    """The head of a table that a program wrote; the whole of it is an artifact."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rows_in_all: int
    path: str


class AnswerPicture(Value):
    """A picture that a program drew."""

    name: str
    path: str


def read_figures(content: bytes) -> dict[str, float]:
    """The named figures of ``figures.json``.

    Raises:
        MMMError: It is no JSON object of finite numbers (``answer_unreadable``).
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"is no JSON: {error}") from error
    if not isinstance(found, dict) or not 0 < len(found) <= MAX_FIGURES:
        raise _unreadable(f"is no object of 1 to {MAX_FIGURES} figures")
    return {_name(name): _finite(name, value) for name, value in found.items()}


def read_answer_table(name: str, content: bytes, path: str) -> AnswerTable:
    """The head of a CSV table, every cell as text and cut to what a screen takes.

    Raises:
        MMMError: It is no table in UTF-8 (``answer_unreadable``).
    """
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(f"{name} cannot be read as a table: {error}", of="") from error
    if not lines:
        raise _unreadable(f"{name} is empty", of="")
    head, *rows = lines
    return AnswerTable(
        name=name,
        columns=_cells(head),
        rows=tuple(_cells(row) for row in rows[:SHOWN_ROWS]),
        rows_in_all=len(rows),
        path=path,
    )


def describe_answer(
    figures: dict[str, float], tables: Sequence[str], pictures: Sequence[str]
) -> str:
    """The answer in one sentence per kind; its figures are those that the program wrote."""
    said = [f"{name}: {figure(value)}." for name, value in figures.items()]
    if tables:
        said.append(f"Tables: {', '.join(tables)}.")
    if pictures:
        said.append(f"Pictures: {', '.join(pictures)}.")
    return " ".join(said) or "The program ended without a figure, a table or a picture."


def describe_columns(dataset: Dataset) -> str:
    """What a program finds in ``data.csv``: one line per column."""
    frame = dataset.national()
    head = f"Period: start of each {dataset.sidecar.frequency} period, {len(frame)} rows"
    lines = [
        f"{v.name}: {v.role}, {v.unit}, from {figure(float(frame[v.name].min()))} "
        f"to {figure(float(frame[v.name].max()))}"
        for v in dataset.sidecar.variables
        if v.name in frame.columns
    ]
    return "\n".join([head, *lines])


def _name(name: str) -> str:
    if len(name) > MAX_NAME or not name.isprintable():
        raise _unreadable(f"names a figure {name[:MAX_NAME]!r}, which is too long or not text")
    return name


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        said = repr(value)[:MAX_CELL]
        raise _unreadable(f"gives {name!r} the value {said}, which is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _unreadable(f"gives {name!r} a value that is not finite or too large")
    return number


def _cells(row: Sequence[str]) -> tuple[str, ...]:
    # A terminal acts on control characters, and text that does not show deceives who reads it.
    return tuple(" ".join(visible(cell).split())[:MAX_CELL] for cell in row[:SHOWN_COLUMNS])


def _unreadable(what: str, of: str = f"{FIGURES} ") -> MMMError:
    return MMMError(
        f"{of}{what}. The program should write {FIGURES} as an object of names and finite numbers, "
        "and tables as CSV in UTF-8.",
        code="answer_unreadable",
    )

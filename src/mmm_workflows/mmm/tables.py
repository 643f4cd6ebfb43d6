"""Files as they were typed: every cell a text, with the file and the row it stands in."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import MFF_COLUMNS, Described, SourceFile

DELIMITERS: Final = (",", ";", "\t", "|")
# What a line or a header may at most hold: more is no table, and would take memory before it is said.
LINE_CHARACTERS: Final = 1 << 20
COLUMNS: Final = 5000
# Ten years of days in 200 geographies with 50 columns are 36.5 million; each takes some 70 bytes.
CELLS: Final = 40_000_000
# The first bytes of what is often taken for a table.
HEAD: Final = 16
OTHER_KINDS: Final = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a database",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}

# The number of the line on which it ends, and its cells.
type Row = tuple[int, list[str]]


class Column(Described):
    """One column: its name, the file it comes from, and its cells from top to bottom."""

    name: str
    file: str
    cells: tuple[str, ...]


class Table(Described):
    """A table of typed cells.

    Attributes:
        rows: Per file the number of each row as the file counts it; the header is row 1.
    """

    columns: tuple[Column, ...]
    rows: dict[str, tuple[int, ...]]
    sources: tuple[SourceFile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the files."""
        return tuple(c.name for c in self.columns)

    @property
    def length(self) -> int:
        """The number of rows, without the header."""
        return len(self.columns[0].cells)

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(c for c in self.columns if c.name == name)

    def where(self, column: str, index: int) -> str:
        """The place of a cell in words: ``row 7 of sales.csv``."""
        file = self.column(column).file
        return f"row {self.rows[file][index]} of {file}"


def read_table(path: Path) -> Table:
    """Read one CSV file; an MFF long table is turned to one column per variable.

    Raises:
        DatasetError: The file is missing, empty, has no rows, no readable text, a column without a
            name or with the name of another, a row of another length, or too many cells.
    """
    content, header, rows = _begun(path)
    body = list(islice(rows, CELLS // len(header)))
    _check_size(path.name, len(header), len(body) + sum(1 for _ in rows))
    source = SourceFile(name=path.name, sha256=hashlib.sha256(content).hexdigest())
    if set(MFF_COLUMNS) <= set(header):
        return _widened(path.name, header, body, source)
    columns = tuple(
        Column(name=name, file=path.name, cells=tuple(cells[i].strip() for _, cells in body))
        for i, name in enumerate(header)
    )
    return Table(columns=columns, rows={path.name: tuple(n for n, _ in body)}, sources=(source,))


def check_table(path: Path) -> tuple[str, ...]:
    """The names of the columns of a file that ``read_table`` takes; cells are not kept for it.

    An MFF long table is read whole.

    Raises:
        DatasetError: As for ``read_table``.
    """
    _, header, rows = _begun(path)
    if set(MFF_COLUMNS) <= set(header):
        return read_table(path).names
    _check_size(path.name, len(header), sum(1 for _ in rows))
    return tuple(header)


def read_columns(path: Path) -> tuple[str, ...]:
    """The names that ``read_table`` gives to the columns of a file, without keeping its cells.

    Of an MFF long table every row is looked at, of any other file the header alone.

    Raises:
        DatasetError: The file is no table, as far as it was read.
        FileNotFoundError: There is none.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        _refuse_other_kinds(path.name, bytes(lines.buffer.read(HEAD)))
        lines.seek(0)
        try:
            rows = _rows(path.name, lines)
            header = _header(path.name, rows)
            if not set(MFF_COLUMNS) <= set(header):
                return tuple(header)
            return _names_widened(header, _square(path.name, header, rows))
        except UnicodeDecodeError as error:
            raise _not_utf8(path.name, error) from error


def merge(tables: Sequence[Table], keys: Sequence[Sequence[str]], key_columns: set[str]) -> Table:
    """Put several tables side by side where their keys are the same.

    Args:
        tables: At least one.
        keys: Per table the key of each row, such as its ISO date.
        key_columns: The columns that the keys were made from; the first table's are kept.

    Raises:
        DatasetError: A column stands in two files, or a file lacks a row of another
            (``dataset_merge_conflict``), or a key appears twice (``dataset_duplicate_dates``).
    """
    merged, first = tables[0], list(keys[0])
    for table, own in zip(tables[1:], keys[1:], strict=True):
        _refuse_unlike_keys(merged, first, table, own)
        taken = [c for c in table.columns if c.name not in key_columns]
        twice = [c.name for c in taken if c.name in merged.names]
        if twice:
            raise DatasetError(
                f"The column {twice[0]!r} stands in {merged.column(twice[0]).file} and in "
                f"{taken[0].file}. Rename or remove one of them.",
                code="dataset_merge_conflict",
            )
        order = {key: index for index, key in enumerate(own)}
        at = [order[key] for key in first]
        moved = tuple(c.model_copy(update={"cells": tuple(c.cells[i] for i in at)}) for c in taken)
        rows = {file: tuple(numbers[i] for i in at) for file, numbers in table.rows.items()}
        merged = Table(
            columns=(*merged.columns, *moved),
            rows={**merged.rows, **rows},
            sources=(*merged.sources, *table.sources),
        )
    return merged


def _refuse_unlike_keys(
    one: Table, one_keys: Sequence[str], other: Table, other_keys: Sequence[str]
) -> None:
    if one.sources[-1].name == other.sources[0].name:
        raise DatasetError(
            f"Two of the files are named {other.sources[0].name}. Rename one of them, so that a "
            "cell can be traced back.",
            code="dataset_merge_conflict",
        )
    for table, keys in ((one, one_keys), (other, other_keys)):
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise DatasetError(
                f"{twice[0]} appears more than once in {table.sources[0].name}, so its rows "
                "cannot be matched to the other file's.",
                code="dataset_duplicate_dates",
            )
    for has, lacks, extra in (
        (one, other, set(one_keys) - set(other_keys)),
        (other, one, set(other_keys) - set(one_keys)),
    ):
        if extra:
            raise DatasetError(
                f"{has.sources[0].name} has {len(extra)} rows that {lacks.sources[0].name} lacks, "
                f"the first is {min(extra)}. Give both files the same periods.",
                code="dataset_merge_conflict",
            )


def _begun(path: Path) -> tuple[bytes, list[str], Iterator[Row]]:
    """The content of a file, its header, and the rows that are still to be read."""
    if not path.is_file():
        raise DatasetError(
            f"There is no file {path}. Check the path; a relative one starts at the working folder.",
            code="dataset_not_found",
        )
    content = path.read_bytes()
    _check_text(path.name, content)
    # Not one text, which would take up to four times the bytes once more.
    rows = _rows(path.name, io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""))
    header = _header(path.name, rows)
    return content, header, _square(path.name, header, rows)


def _empty(name: str) -> DatasetError:
    return DatasetError(f"{name} is empty. It needs a header and rows.", code="dataset_empty")


def _not_utf8(name: str, error: UnicodeDecodeError) -> DatasetError:
    return DatasetError(
        f"{name} is not UTF-8 text (byte {error.start}). Save it as CSV in UTF-8; spreadsheets "
        "must be exported first."
    )


def _refuse_other_kinds(name: str, content: bytes) -> None:
    for head, kind in OTHER_KINDS.items():
        if content.startswith(head):
            raise DatasetError(f"{name} is {kind}. Save the table as CSV in UTF-8.")


def _check_text(name: str, content: bytes) -> None:
    if not content.strip():
        raise _empty(name)
    _refuse_other_kinds(name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(name, error) from error
    if not text.strip():
        raise _empty(name)
    if "\x00" in text:
        raise DatasetError(f"{name} is no text file. Save the table as CSV in UTF-8.")


def _rows(name: str, lines: Iterator[str]) -> Iterator[Row]:
    """Rows with the number of the line on which each ends; blank lines are passed over."""
    before = list(_up_to_the_first(lines))
    first = before[-1].splitlines()[0] if before else ""
    delimiter = max(DELIMITERS, key=first.count)
    if first.count(delimiter) >= COLUMNS:
        raise _no_row(name)
    whole = _short(name, chain(before, lines))
    reader = csv.reader(whole, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DatasetError(
            f"Row {reader.line_num} of {name} cannot be read: {error}. Look for a quote without "
            "its pair."
        ) from error


def _up_to_the_first(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line.strip("\r\n"):
            return


def _short(name: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > LINE_CHARACTERS:
            raise _no_row(name)
        yield line


def _no_row(name: str) -> DatasetError:
    return DatasetError(
        f"{name} has a line that is no row of a table: a row takes at most {COLUMNS} columns "
        f"and {LINE_CHARACTERS} characters. Look for a missing end of line."
    )


def _header(name: str, rows: Iterator[Row]) -> list[str]:
    found = next(rows, None)
    if found is None:
        raise _empty(name)
    header = [column.strip() for column in found[1]]
    _check_header(name, header)
    return header


def _square(name: str, header: Sequence[str], rows: Iterator[Row]) -> Iterator[Row]:
    for number, cells in rows:
        if len(cells) != len(header):
            raise DatasetError(
                f"Row {number} of {name} has {len(cells)} cells; its header has "
                f"{len(header)}. Look for a missing or an extra separator in that row.",
                code="dataset_row_ragged",
            )
        yield number, cells


def _check_size(name: str, width: int, length: int) -> None:
    if not length:
        raise DatasetError(
            f"{name} has a header and no rows. Add one row per period below the header.",
            code="dataset_no_rows",
        )
    if width * length > CELLS:
        raise DatasetError(
            f"{name} has {width * length:,} cells; at most {CELLS:,} are read at once. Leave out "
            "columns that are not asked for, add up days to weeks, or give several files with "
            "fewer columns each.",
            code="dataset_too_large",
        )


def _check_header(name: str, header: Sequence[str]) -> None:
    if "" in header:
        raise DatasetError(
            f"Column {header.index('') + 1} of {name} has no name in the header. Name or remove it.",
            code="dataset_header_invalid",
        )
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise DatasetError(
            f"The header of {name} names {twice[0]!r} twice. Rename one of the columns.",
            code="dataset_header_invalid",
        )


def _names_widened(header: list[str], rows: Iterator[Row]) -> tuple[str, ...]:
    """The names of the columns that ``_widened`` makes."""
    geography, variable = header.index("Geography"), header.index("VariableName")
    names = dict.fromkeys(["Period"])
    variables: dict[str, None] = {}
    for _, cells in rows:
        variables[cells[variable].strip()] = None
        if cells[geography].strip():
            names["Geography"] = None
    return (*names, *variables)


def _widened(name: str, header: list[str], body: list[Row], source: SourceFile) -> Table:
    """One column per variable of an MFF long table; a cell keeps the row of its period's first."""
    at = {column: header.index(column) for column in MFF_COLUMNS}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    first_row: dict[tuple[str, str], int] = {}
    variables: dict[str, None] = {}
    for number, row in body:
        key = (row[at["Period"]].strip(), row[at["Geography"]].strip())
        variable = row[at["VariableName"]].strip()
        variables[variable] = None
        first_row.setdefault(key, number)
        if variable in cells.setdefault(key, {}):
            raise DatasetError(
                f"Row {number} of {name} gives {variable!r} a second value for {key[0]} {key[1]}. "
                "This version reads one value per variable, period and geography: add up the "
                "products, campaigns, outlets and creatives first.",
                code="dataset_duplicate_dates",
            )
        cells[key][variable] = row[at["VariableValue"]].strip()
    columns = [Column(name="Period", file=name, cells=tuple(p for p, _ in cells))]
    if any(geography for _, geography in cells):
        columns.append(Column(name="Geography", file=name, cells=tuple(g for _, g in cells)))
    columns += [
        Column(name=v, file=name, cells=tuple(values.get(v, "") for values in cells.values()))
        for v in variables
    ]
    rows = {name: tuple(first_row[key] for key in cells)}
    return Table(columns=tuple(columns), rows=rows, sources=(source,))

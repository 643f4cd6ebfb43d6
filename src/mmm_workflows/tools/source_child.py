"""The child process that copies a table: a job on its standard input, what failed on its output.

What it writes is a CSV file. It can read alone, in the database too.
"""

from __future__ import annotations

import csv
import json
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Inspector,
    NullPool,
    Row,
    Text,
    cast,
    column,
    create_engine,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.sql.expression import collate
from sqlalchemy.types import NullType

from mmm_workflows.errors import DatasetError, MMMError, ServiceUnavailable
from mmm_workflows.niceness import give_way

CONNECT_S: Final = 10
# So few that they fit into the memory, however long their texts are.
ROWS_AT_ONCE: Final = 50
MEMORY_BYTES: Final = 2 << 30
NAMES_TOLD: Final = 20
# What a database tells of itself is no data.
ITS_OWN: Final = ("pg_", "information_schema", "sqlite_")
# A reader would take one of these in a header for what stands between columns.
SEPARATORS: Final = frozenset(";|\t")
# Classes of SQLSTATE: no connection, no resources, an operator's word, the system.
OF_THE_SERVER: Final = ("08", "53", "57", "58")
TOOK_TOO_LONG: Final = "57014"
# What is wrong with the file or who uses it, rather than with what was asked of it.
OF_THE_FILE: Final = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_FULL,
})  # fmt: skip
BASIC_CODE: Final = 0xFF


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be copied, and where to."""

    url: str
    connection: str
    table: str
    file: str
    most_bytes: int
    within_s: float


def main() -> None:
    """Carry out the job on the standard input; write null, or the error with its cause."""
    give_way()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    job = Job(**json.load(sys.stdin))
    said = None
    try:
        copy(job)
    except MMMError as error:
        cause = str(error.__cause__ or error)
        said = {
            "kind": type(error).__name__, "code": error.code, "message": error.message,
            "cause": cause,
        }  # fmt: skip
    json.dump(said, sys.stdout)


def copy(job: Job) -> None:
    """Write the table of a job as a CSV file.

    Raises:
        DatasetError: See ``tools.sources.Sources.copy``.
        ServiceUnavailable: The database cannot be reached, or failed.
    """
    with (
        _told_of(job),
        _opened(job) as opened,
        _rows(opened, job) as found,
        Path(job.file).open("x", encoding="utf-8", newline="") as target,
    ):
        header = tuple(found.keys())
        # With this end of a line a bare CR in a text is quoted too.
        lines = csv.writer(target, lineterminator="\r\n")
        lines.writerow(header)
        for rows in found.partitions():
            lines.writerows(_cells(row, header, job.table) for row in rows)
            if target.tell() > job.most_bytes:
                raise _too_large(job)


@contextmanager
def _opened(job: Job) -> Iterator[Connection]:
    url = make_url(job.url)
    open_it = _open_file if url.get_backend_name() == "sqlite" else _open_server
    try:
        opened = open_it(url, job)
    except (SQLAlchemyError, UnicodeError) as error:
        raise ServiceUnavailable(
            f"The database of the connection {job.connection!r} cannot be reached. Try again "
            "later, or have its entry in DATA_CONNECTIONS looked at; the log says more."
        ) from error
    with opened:
        yield opened


def _open_file(url: URL, job: Job) -> Connection:
    place = f"{Path(str(url.database)).as_uri()}?mode=ro"
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(place, uri=True), poolclass=NullPool
    )
    return engine.connect()


def _open_server(url: URL, job: Job) -> Connection:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_S, "client_encoding": "utf8"},
    )
    opened = engine.connect().execution_options(postgresql_readonly=True)
    # Else it would go on with what nobody waits for any more.
    opened.execute(text(f"SET statement_timeout = {round(1000 * job.within_s)}"))
    return opened


def _rows(opened: Connection, job: Job) -> CursorResult[Any]:
    """All rows of a table, as they come from the database."""
    found = inspect(opened)
    schema, name = _place(found, job)
    names = [str(each["name"]) for each in found.get_columns(name, schema)]
    _check_names(names, job.table)
    columns = [column(each, NullType()) for each in names]
    # Values that are equal may be written differently, as 1.0 and 1.00.
    collation = "BINARY" if found.dialect.name == "sqlite" else "C"
    as_written = [collate(cast(each, Text()), collation) for each in columns]
    asked = select(*columns).select_from(table(name, *columns, schema=schema))
    return opened.execution_options(yield_per=ROWS_AT_ONCE).execute(
        asked.order_by(*columns, *as_written)
    )


def _place(found: Inspector, job: Job) -> tuple[str | None, str]:
    """The schema, None for the usual one, and the name of a table that there is."""
    usual = _tables(found, None)
    if job.table in usual:
        return None, job.table
    schema, _, name = job.table.partition(".")
    is_data = not schema.lower().startswith(ITS_OWN) and schema in found.get_schema_names()
    there = _tables(found, schema) if is_data else usual
    if is_data and name in there:
        return schema, name
    raise DatasetError(
        f"The connection {job.connection!r} has no table {job.table!r}. "
        f"{f'In {schema} it has' if is_data else 'It has'} {_listed(there)}. Write SCHEMA.TABLE for "
        "one of another schema.",
        code="dataset_not_found",
    )


def _tables(found: Inspector, schema: str | None) -> list[str]:
    listings: list[Callable[..., list[str]]] = [found.get_table_names, found.get_view_names]
    if found.dialect.name == "postgresql":
        # Of its own inspector.
        listings += [found.get_materialized_view_names, found.get_foreign_table_names]  # type: ignore[attr-defined]
    return sorted(name for names in listings for name in names(schema=schema))


def _check_names(names: Sequence[str], of_table: str) -> None:
    wrong = [name for name in names if SEPARATORS & set(name)]
    if wrong:
        raise DatasetError(
            f"The column {wrong[0]!r} of {of_table!r} has a ';', a '|' or a tab in its name, which "
            "separate columns in a file. Make a view with another name for it.",
            code="dataset_header_invalid",
        )


@contextmanager
def _told_of(job: Job) -> Iterator[None]:
    """What a database says against a table, as an error of ours."""
    try:
        yield
    except NoSuchTableError as error:
        raise DatasetError(
            f"The table {job.table!r} of {job.connection!r} was removed while it was looked at.",
            code="dataset_not_found",
        ) from error
    except MemoryError as error:
        raise _too_large(job) from error
    except DBAPIError as error:
        raise _refusal(job, error) from error
    except (SQLAlchemyError, UnicodeError, TypeError) as error:
        # A text in no known encoding comes as bytes, where a text is expected.
        raise DatasetError(_cannot(job, str(error))) from error


def _refusal(job: Job, error: DBAPIError) -> MMMError:
    said, state = error.orig, getattr(error.orig, "sqlstate", None) or ""
    if state == TOOK_TOO_LONG:
        return _too_large(job)
    code = getattr(said, "sqlite_errorcode", 0) & BASIC_CODE
    if error.connection_invalidated or state.startswith(OF_THE_SERVER) or code in OF_THE_FILE:
        return ServiceUnavailable(
            f"The database of the connection {job.connection!r} cannot be read at the moment. Try "
            "again later; the log says more."
        )
    return DatasetError(_cannot(job, str(said)))


def _cannot(job: Job, said: str) -> str:
    first = " ".join(said.strip().splitlines()[:1])
    return (
        f"The table {job.table!r} of {job.connection!r} cannot be copied: {first}. Expected "
        "columns of numbers, texts and dates that this user may read; make a view of such."
    )


def _cells(row: Row[Any], header: Sequence[str], of_table: str) -> list[str]:
    return [_cell(value, name, of_table) for value, name in zip(row, header, strict=True)]


def _cell(value: object, name: str, of_table: str) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case str():
            return value
        case int():
            return str(value)
        case float():
            # Without the sign of a zero, which no order tells.
            return repr(value + 0.0)
        case Decimal():
            return format(value, "f")
        case datetime() if value.tzinfo is None:
            return value.isoformat(sep=" ")
        case date() if not isinstance(value, datetime):
            return value.isoformat()
    kind = "time with a time zone" if isinstance(value, datetime) else type(value).__name__
    raise DatasetError(
        f"The column {name!r} of {of_table!r} holds a {kind}. Expected numbers, texts and dates "
        "without a time zone; make a view that casts it or leaves it out."
    )


def _too_large(job: Job) -> DatasetError:
    return DatasetError(
        f"The table {job.table!r} takes more than {job.most_bytes / 1e6:.3g} MB as a CSV file "
        f"(UPLOAD_MEGABYTES), or more than {job.within_s:.0f} s. Make a view with the periods and "
        "columns that you need.",
        code="dataset_too_large",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"{', '.join(names[:NAMES_TOLD]) or 'none'}{more}"


if __name__ == "__main__":
    main()

"""The child process that copies a table: a job on its standard input, what failed on its output.

What it writes is a CSV file. It can read alone, in the database too.
"""

from __future__ import annotations

import csv
import errno
import json
import math
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from mmm_workflows.fit_process import die_with
from mmm_workflows.niceness import give_way

CONNECT_S: Final = 10
# So few that they fit into the memory, however long their texts are.
ROWS_AT_ONCE: Final = 50
MEMORY_BYTES: Final = 2 << 30
# A database of a file sorts in files, of which each may be larger than what is written in the end.
SORTED_BYTES: Final = 64 << 20
# Who started this process ends it first.
PATIENCE_S: Final = 5
SAID: Final = 200
NAMES_TOLD: Final = 20
# What a database tells of itself is no data.
ITS_OWN: Final = ("pg_", "information_schema", "sqlite_")
# A reader would take one of these in a header for what stands between columns.
SEPARATORS: Final = frozenset(";|\t")
# Classes of SQLSTATE: no connection, no resources, an operator's word, the system.
OF_THE_SERVER: Final = ("08", "53", "57", "58")
ENDED_BY_ITSELF: Final = "57014"
# What is wrong with the file or who uses it, rather than with what was asked of it.
OF_THE_FILE: Final = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM,
})  # fmt: skip
# It is only read: what could not be written is what it sorts in.
NO_ROOM_TO_SORT: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
BASIC_CODE: Final = 0xFF
LIMIT: Final = text(
    "SELECT set_config(name, CAST(:ms AS text), false) FROM pg_settings "
    "WHERE name = 'statement_timeout' AND NOT CAST(setting AS bigint) BETWEEN 1 AND :ms"
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be copied, and where to."""

    url: str
    connection: str
    table: str
    file: str
    most_bytes: int
    within_s: float
    parent_pid: int


def main() -> None:
    """Carry out the job on the standard input; write null, or the error with its cause."""
    job = Job(**json.load(sys.stdin))
    die_with(job.parent_pid)
    give_way()
    signal.alarm(math.ceil(job.within_s) + PATIENCE_S)
    _bound(resource.RLIMIT_AS, MEMORY_BYTES)
    _bound(resource.RLIMIT_FSIZE, 2 * job.most_bytes + SORTED_BYTES)
    said = None
    try:
        copy(job)
    except MMMError as error:
        cause = repr(error.__cause__)
        said = {
            "kind": type(error).__name__, "code": error.code, "message": error.message,
            "cause": cause,
        }  # fmt: skip
    json.dump(said, sys.stdout)


def _bound(what: int, most: int) -> None:
    """Take no more of something; where less is allowed, it stays so."""
    _, hard = resource.getrlimit(what)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # macOS refuses some of them: there the deadline alone holds.
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (bound, bound))


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
        characters = lines.writerow(header)
        for row in found:
            characters += lines.writerow(_cells(row, header, job.table))
            if characters > job.most_bytes:
                raise _too_large(job)
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
    # Else it would go on with what nobody waits for any more; a shorter limit of its own stays.
    opened.execute(LIMIT, {"ms": round(1000 * job.within_s)})
    return opened


def _rows(opened: Connection, job: Job) -> CursorResult[Any]:
    """All rows of a table, as they come from the database."""
    found = inspect(opened)
    schema, name = _place(found, job)
    names = [str(each["name"]) for each in found.get_columns(name, schema)]
    _check_names(names, job.table)
    columns = [column(each, NullType()) for each in names]
    # By what is written: values that are equal may be written differently, as 1.0 and 1.00, and
    # texts come in another order under another locale.
    collation = "BINARY" if found.dialect.name == "sqlite" else "C"
    as_written = [collate(cast(each, Text()), collation) for each in columns]
    asked = select(*columns).select_from(table(name, *columns, schema=schema))
    return opened.execution_options(yield_per=ROWS_AT_ONCE).execute(
        asked.order_by(*as_written, *columns)
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
    except OSError as error:
        raise _no_file(job, error) from error
    except DBAPIError as error:
        raise _refusal(job, error) from error
    except (SQLAlchemyError, UnicodeError, TypeError) as error:
        # A text in no known encoding comes as bytes, where a text is expected.
        raise DatasetError(_cannot(job, str(error))) from error


def _refusal(job: Job, error: DBAPIError) -> MMMError:
    said, state = error.orig, getattr(error.orig, "sqlstate", None) or ""
    code = getattr(said, "sqlite_errorcode", 0)
    if state == ENDED_BY_ITSELF or code in NO_ROOM_TO_SORT:
        return _too_large(job)
    is_of_the_file = code & BASIC_CODE in OF_THE_FILE
    if error.connection_invalidated or state.startswith(OF_THE_SERVER) or is_of_the_file:
        return ServiceUnavailable(
            f"The database of the connection {job.connection!r} cannot be read at the moment. Try "
            "again later; the log says more."
        )
    return DatasetError(_cannot(job, str(said)))


def _no_file(job: Job, error: OSError) -> MMMError:
    if error.errno == errno.EFBIG:
        return _too_large(job)
    return ServiceUnavailable(
        f"The table {job.table!r} of {job.connection!r} cannot be written here: {error.strerror}. "
        "Try again later, or have the disk looked at."
    )


def _cannot(job: Job, said: str) -> str:
    first = " ".join(said.strip().splitlines()[:1])[:SAID]
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
        case datetime() if value.tzinfo is None and not value.microsecond:
            return value.isoformat(sep=" ")
        case date() if not isinstance(value, datetime):
            return value.isoformat()
    kind = (
        "a time with a time zone or with parts of a second"
        if isinstance(value, datetime)
        else f"a value of the type {type(value).__name__}"
    )
    raise DatasetError(
        f"The column {name!r} of {of_table!r} holds {kind}. Expected numbers, texts, dates and "
        "times without a time zone; make a view that casts it or leaves it out."
    )


def _too_large(job: Job) -> DatasetError:
    return DatasetError(
        f"The table {job.table!r} takes more than {job.most_bytes / 2**20:g} MB as a CSV file "
        f"(UPLOAD_MEGABYTES), or more than the {job.within_s:.0f} s or the time that its database "
        "gives. Make a view with the periods and columns that you need.",
        code="dataset_too_large",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"{', '.join(names[:NAMES_TOLD]) or 'none'}{more}"


if __name__ == "__main__":
    main()

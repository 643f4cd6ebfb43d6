"""The database of runs: opened, kept private, and its failures told in our own errors."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

import aiosqlite
from sqlalchemy import event, make_url, text
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as NoneIsFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from mmm_workflows.errors import ServiceLost, ServiceUnavailable

BUSY_TIMEOUT_S: Final = 30
# How long the log of deleted text is tried to be emptied, and how each try keeps writers waiting.
EMPTIED_WITHIN_S: Final = 5.0
CHECKPOINT_WAITS_MS: Final = 50
EMPTYING_PAUSE_S: Final = 0.2
# One that is opened beyond these would be closed again at once, which costs more than to wait.
SQLITE_CONNECTIONS: Final = 15
CONNECT_TIMEOUT_S: Final = 10
# A statement that waits longer waits for a server that hangs.
STATEMENT_TIMEOUT_S: Final = 60
POSTGRES_PORT: Final = 5432
# Execution option of a connection whose transactions take SQLite's write lock as they begin.
WRITE_LOCK: Final = "mmm_write_lock"

# What the operator can put right; a bare DatabaseError (a damaged file) counts as well, the other
# kinds (a violated constraint, a wrong statement) are ours.
UNUSABLE: Final = (OperationalError, InterfaceError, OSError)
# The same by the first signs of SQLSTATE, as PostgreSQL says it: no connection, a standby that
# takes no writes, wrong login, no such database, no right to make tables, no room or no connection
# left, shut down or cancelled, a fault of the disk; and what has to be tried again (a deadlock).
UNUSABLE_STATES: Final = ("08", "25006", "28", "3D", "40", "42501", "53", "57", "58")

# Of these, the ones that pass by themselves when the server is back: no connection, a standby that
# takes over, a deadlock, no connection left, shut down or starting up.
LOST_STATES: Final = ("08", "25006", "40", "53300", "57P01", "57P02", "57P03")
# Every connection of this process was in use for longer than a statement may take.
BUSY: Final = "none of this process's connections to it became free in time"

# NaN is no JSON: PostgreSQL refuses it, so SQLite must not take it either.
_to_json = partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":"))

logger = logging.getLogger(__name__)


async def open_database(url: str) -> AsyncEngine:
    """An engine that was connected once; ``await engine.dispose()`` ends its threads.

    A SQLite file is made with mode 0600 in a folder of mode 0700 (a folder that was there is
    left as it is), in WAL mode, with foreign keys enforced and deleted text overwritten.

    Args:
        url: ``sqlite+aiosqlite:///path`` or another async SQLAlchemy URL.

    Raises:
        ServiceUnavailable: The database cannot be opened or reached (``service_unavailable``).
    """
    parsed = make_url(url)
    options: dict[str, Any] = {"json_serializer": _to_json}
    if is_sqlite(parsed):
        await asyncio.to_thread(_prepare_file, parsed)
        options["connect_args"] = {"timeout": BUSY_TIMEOUT_S}
        options["pool_size"], options["max_overflow"] = SQLITE_CONNECTIONS, 0
        # Each keeps 2 MB of pages: in turn, all of them would fill up with the same ones.
        options["pool_use_lifo"] = True
    else:
        options["pool_pre_ping"] = True
        options["connect_args"] = {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
        }
    engine = create_async_engine(parsed, **options)
    if is_sqlite(parsed):
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        event.listen(engine.sync_engine, "begin", _begin)
    try:
        async with begin(engine) as connection:
            await connection.execute(text("SELECT 1"))
    except BaseException:
        await engine.dispose()
        raise
    return engine


@asynccontextmanager
async def begin(engine: AsyncEngine, *, write_lock: bool = False) -> AsyncIterator[AsyncConnection]:
    """A transaction: committed at the end, rolled back by any error.

    Args:
        engine: Where to begin it.
        write_lock: Take SQLite's write lock first; needed where reads come before writes.

    Raises:
        ServiceUnavailable: The database cannot be reached, is locked for too long or is full, or
            no connection to it becomes free.
        ServiceLost: It went away; what was committed last may have been kept or not.
        IntegrityError: A constraint was violated; the caller knows what that means.
    """
    try:
        async with engine.connect() as connection:
            await connection.execution_options(**{WRITE_LOCK: write_lock})
            async with connection.begin():
                yield connection
    except (DBAPIError, OSError) as error:
        if not _is_operators(error):
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise unavailable(engine.url, cause) from error
    except NoneIsFree as error:
        raise unavailable(engine.url, OSError(BUSY)) from error


def unavailable(url: URL, cause: BaseException | None) -> ServiceUnavailable:
    """The error for a database that cannot be used; it names the place and never the password."""
    said = " ".join(str(cause).split()) or "it did not answer in time"
    if is_sqlite(url):
        return ServiceUnavailable(
            f"The database {url.render_as_string(hide_password=True)} cannot be used: {said}. "
            "Check that it is there, writable, not full and not held by another program, then "
            "try again."
        )
    kind = ServiceLost if _is_lost(cause) else ServiceUnavailable
    return kind(
        f"{place(url)}, cannot be used: {said}. Check that the server runs and that DATABASE_URL "
        "names its host, port, user, password and database, and that the user may make tables "
        "there, then try again."
    )


def _is_lost(cause: BaseException | None) -> bool:
    """Whether the server went away; what says no state was raised by a driver without a server."""
    return (getattr(cause, "sqlstate", None) or LOST_STATES[0]).startswith(LOST_STATES)


def place(url: URL) -> str:
    """Where a database is, in words; without user and password."""
    if is_sqlite(url):
        return f"SQLite in {url.database}"
    return f"PostgreSQL at {url.host}:{url.port or POSTGRES_PORT}, database {url.database}"


def uninterrupted[**P, R](
    method: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Let a method end before its caller's cancellation is seen.

    A transaction that is cancelled between two statements may leave its connection, and with it
    SQLite's write lock, behind: aiosqlite's thread goes on while nobody waits for it.
    """

    @wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        work = asyncio.ensure_future(method(*args, **kwargs))
        cancelled: asyncio.CancelledError | None = None
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            work.exception()  # retrieved: the cancellation is what the caller hears of
            raise cancelled
        return work.result()

    return whole


async def scrub(engine: AsyncEngine) -> bool:
    """Take deleted text out of SQLite's write-ahead log too; nothing to do elsewhere.

    Returns:
        Whether it is out: not where another program read all the while, which is logged. It is no
        error, for the deletion was committed and cannot be asked for again.
    """
    if not is_sqlite(engine.url):
        return True
    async with engine.connect() as connection:
        # Straight to the driver: a checkpoint is refused inside of a transaction.
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)  # what is_sqlite says
        is_out = await emptied_log(driver)
    if not is_out:
        logger.warning(
            "Another program is reading %s, so deleted text is still on the disk. It goes with the "
            "next deletion after that program is done, or when the last one closes the database.",
            place(engine.url),
        )
    return is_out


async def emptied_log(driver: aiosqlite.Connection) -> bool:
    """Whether SQLite's write-ahead log is empty now: not where somebody read all the while.

    A checkpoint that waits keeps all writers waiting, and one beside another is refused at once: many
    short ones are tried.
    """
    until = asyncio.get_running_loop().time() + EMPTIED_WITHIN_S
    ((waits_ms,),) = await driver.execute_fetchall("PRAGMA busy_timeout")
    await driver.execute_fetchall(f"PRAGMA busy_timeout={CHECKPOINT_WAITS_MS}")
    try:
        while True:
            rows = await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            if not any(is_busy for is_busy, *_ in rows):
                return True
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(EMPTYING_PAUSE_S)
    finally:
        await driver.execute_fetchall(f"PRAGMA busy_timeout={waits_ms}")


def _is_operators(error: DBAPIError | OSError) -> bool:
    if isinstance(error, UNUSABLE) or type(error) is DatabaseError:
        return True
    state = getattr(error.orig, "sqlstate", None)
    # asyncpg, whose connection ends between two statements, may only say that it cannot go on.
    is_drivers = isinstance(error, InternalError) and state is None
    return is_drivers or (state or "").startswith(UNUSABLE_STATES)


def is_sqlite(url: URL) -> bool:
    """Whether the database is a SQLite file."""
    return url.get_backend_name() == "sqlite"


def make_private_file(path: Path) -> None:
    """Make an empty file of mode 0600 unless it is there; its folder, if new, gets 0700.

    A file that is there is never opened: closing it again would drop every lock that this process
    holds on it (POSIX), and the next process that closes the database would take itself for the
    last one and remove the log that is still written to.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        os.close(descriptor)
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            Path(made).unlink()
    path.chmod(0o600)


def _prepare_file(url: URL) -> None:
    path = Path(url.database or "")
    try:
        make_private_file(path)
    except OSError as error:
        raise ServiceUnavailable(
            f"The database file {path} cannot be made: {error.strerror}. "
            "Set MMM_HOME to a folder that can be written."
        ) from error


def _set_pragmas(connection: AsyncAdapt_aiosqlite_connection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN leaves DDL outside of transactions: _begin says it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
        "journal_mode=WAL",
        "foreign_keys=ON",
        "synchronous=NORMAL",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    lock = connection.get_execution_options().get(WRITE_LOCK, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if lock else "BEGIN")

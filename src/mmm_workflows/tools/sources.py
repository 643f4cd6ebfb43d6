"""Tables of databases that the settings name: copied once, so that every number keeps its cell."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from mmm_workflows.errors import DatasetError, MMMError, ServiceUnavailable, SettingsError
from mmm_workflows.keys import PROJECTS, projects_of
from mmm_workflows.records import NAME, Json
from mmm_workflows.tools.fit_child import end_group

CHILD: Final = "mmm_workflows.tools.source_child"
# For a whole copy; a view that takes longer is no table of weeks.
COPIED_WITHIN_S: Final = 120.0
LAST_WORDS: Final = 500
# What an address may say beside the place: how the connection is encrypted.
DRIVERS: Final = ("postgresql", "sqlite")
OPTIONS: Final = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey"})
ERRORS: Final[Mapping[str, type[MMMError]]] = {
    kind.__name__: kind for kind in (DatasetError, ServiceUnavailable)
}
_ENTRY: Final = re.compile(rf"(?P<name>{NAME}):(?P<projects>{PROJECTS})=(?P<url>[a-z0-9+]+://\S+)")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Database:
    """A database by the name that requests give it, and the projects it is open to; None: all."""

    name: str
    projects: frozenset[str] | None
    url: URL


class Sources:
    """The databases that tables may be copied from.

    A copy is made in a child process: a database that says nothing, a view that never ends and a
    row that fills the memory are ended with it, and so is a copy that nobody waits for any more.
    """

    def __init__(
        self,
        databases: Sequence[Database],
        *,
        most_bytes: int,
        environment: Mapping[str, str],
        within_s: float = COPIED_WITHIN_S,
    ) -> None:
        self._databases = {database.name: database for database in databases}
        self._most_bytes = most_bytes
        self._environment = environment
        self._within_s = within_s

    def names(self, project: str) -> tuple[str, ...]:
        """The connections that are open to a project."""
        return tuple(
            name
            for name, database in self._databases.items()
            if database.projects is None or project in database.projects
        )

    async def copy(self, connection: str, table: str, file: Path, *, project: str) -> None:
        """Write a table or view as a new CSV file, its rows in the order of their values.

        The same rows give the same bytes, in whatever order the database keeps them. A table of
        another schema is named ``schema.table``.

        Raises:
            DatasetError: The project has no such connection (``connection_unknown``), the database
                no such table (``dataset_not_found``), a cell is no number, text or date, or the
                table is too large or takes too long (``dataset_too_large``).
            ServiceUnavailable: The database cannot be reached, or failed.
        """
        open_to = self.names(project)
        if connection not in open_to:
            raise DatasetError(
                f"There is no connection {connection!r} for the project {project!r}. It has "
                f"{', '.join(open_to) or 'none'}. An operator names them in DATA_CONNECTIONS.",
                code="connection_unknown",
            )
        url = self._databases[connection].url
        job = {
            "url": url.render_as_string(hide_password=False), "connection": connection,
            "table": table, "file": str(file), "most_bytes": self._most_bytes,
            "within_s": self._within_s, "parent_pid": os.getpid(),
        }  # fmt: skip
        try:
            async with asyncio.timeout(self._within_s):
                said = await self._run(job)
        except TimeoutError as error:
            raise DatasetError(
                f"The table {table!r} of {connection!r} was not copied within "
                f"{self._within_s:.0f} s. Make a view or a table with the periods that you need.",
                code="dataset_too_large",
            ) from error
        if said is None:
            return
        failure = ERRORS[said["kind"]](said["message"], code=said["code"])
        if isinstance(failure, ServiceUnavailable):
            logger.warning("a copy from %s failed: %s", connection, said["cause"])
        raise failure

    async def _run(self, job: Json) -> Json | None:
        """What the child says against a job; None where it was carried out."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", CHILD,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._environment), start_new_session=True,
        )  # fmt: skip
        try:
            # By its standard input: what is on a command line, every user of a machine can read.
            answer, words = await child.communicate(json.dumps(job).encode())
        finally:
            await end_group(child)
        if child.returncode is not None and child.returncode < 0:
            name = signal.Signals(-child.returncode).name
            raise ServiceUnavailable(
                f"The process that copies {job['table']!r} was ended by {name}. Try again later."
            )
        if child.returncode != 0:
            last = words.decode(errors="replace").strip()[-LAST_WORDS:]
            raise RuntimeError(
                f"The process that copies tables exited with code {child.returncode}: {last}"
            )
        said: Json | None = json.loads(answer)
        return said


def read_connections(setting: str) -> tuple[Database, ...]:
    """The databases of DATA_CONNECTIONS: ``NAME:PROJECTS=URL``, with commas or spaces between them.

    Raises:
        SettingsError: An entry has another form, a name stands twice, or a database is of a kind
            that is not read; no entry is repeated in the message.
    """
    entries = setting.replace(",", " ").split()
    databases = tuple(_database(entry, at) for at, entry in enumerate(entries, start=1))
    names = [database.name for database in databases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(
            f"DATA_CONNECTIONS names {', '.join(twice)} more than once. Rename all but one."
        )
    return databases


def _database(entry: str, position: int) -> Database:
    read = _ENTRY.fullmatch(entry)
    url = None if read is None else _url(read["url"])
    if read is None or url is None:
        raise SettingsError(
            f"Entry {position} of DATA_CONNECTIONS cannot be read. Expected NAME:PROJECTS=URL, "
            "with '*' or names joined by '+' for the projects, and for the URL "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:////FOLDER/FILE. In a name, "
            "password or path write ',' as %2C, '/' as %2F, '@' as %40, ':' as %3A, '?' as %3F, a "
            "space as %20 and '%' as %25."
        )
    if url.drivername not in DRIVERS:
        raise SettingsError(
            f"The connection {read['name']!r} of DATA_CONNECTIONS is of the kind "
            f"{url.drivername!r}; postgresql and sqlite can be read. Export the table as a "
            "CSV file and upload it."
        )
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_absolute():
        raise SettingsError(
            f"The connection {read['name']!r} of DATA_CONNECTIONS names no whole path. Write "
            "sqlite:/// before a path that begins with '/'."
        )
    taken = OPTIONS if url.get_backend_name() == "postgresql" else frozenset()
    if "?" in read["url"] and not (url.query and taken.issuperset(url.query)):
        raise SettingsError(
            f"The connection {read['name']!r} of DATA_CONNECTIONS has options that are not taken. "
            f"An address of PostgreSQL takes {', '.join(sorted(OPTIONS))}, one of SQLite none."
        )
    return Database(read["name"], projects_of(read["projects"]), url)


def _url(said: str) -> URL | None:
    """An address that names a database; None for any other."""
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        return None
    # An '@' in the host is the end of a password that holds a bare '@', and C ends texts at a NUL.
    is_whole = url.database and "@" not in (url.host or "") and 0 < (url.port or 1) < 1 << 16
    return url if is_whole and not any("\0" in str(part) for part in url) else None

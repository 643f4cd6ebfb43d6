"""The file of the embedded graph: who may write it, transactions, and forgetting for good.

Everything here blocks and belongs to one thread; ``ladybug_client`` gives it that thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import ladybug

from mmm_workflows.db import cypher, graph_transactions
from mmm_workflows.db.engine import make_private_file
from mmm_workflows.db.graph_transactions import Row, Script, Step
from mmm_workflows.db.owner_lock import OwnerLock
from mmm_workflows.errors import MMMError, ServiceUnavailable

FILE: Final = "graph.lbug"
WAL: Final = f"{FILE}.wal"
NEW_FILE: Final = "graph.new.lbug"
LOCK: Final = "owner.lock"
# Until its log is moved into the file, Ladybug keeps all that is in it in memory as well, in three
# times as many bytes. Its own threshold is 16 MiB, which made a service grow by 45 MB, again and
# again; at this one it stays level, and a run takes no longer (measured over 500 runs).
LOG_BYTES: Final = 1 << 20
# The owner moves its log into the file in milliseconds; a reader waits for it this long.
PATIENCE_S: Final = 5.0
_ONE_FILE: Final = 3  # numbers that tell one file's state
_MOVING: Final = "checkpoint recovery is pending"
# How Ladybug's errors begin when the machine is the cause, not the statement.
_MACHINE: Final = ("IO exception", "Buffer manager exception", "Checkpoint exception", "Connection")


class _Opened(NamedTuple):
    database: Any  # ladybug has no types that mypy follows
    connection: Any

    def run(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[Row]:
        with self.connection.execute(statement, parameters or {}) as result:
            rows: list[Row] = result.get_all()
            return rows

    def close(self) -> None:
        self.connection.close()
        self.database.close()


class _Moved(RuntimeError):
    """What was read is not to be trusted: the owner was moving its log into the file."""


class GraphFile:
    """A Ladybug database in a folder of its own (0700); one opener writes, all others read.

    Args:
        folder: Its folder; made if it is missing.
        pool_bytes: Memory for its pages.
        threads: Threads for one statement.
    """

    def __init__(self, folder: Path, *, pool_bytes: int, threads: int) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._limits = {
            "buffer_pool_size": pool_bytes,
            "max_num_threads": threads,
            "checkpoint_threshold": LOG_BYTES,
        }
        self._lock = OwnerLock(folder / LOCK)
        self._opened: _Opened | None = None
        self._read_from: tuple[int, ...] = ()

    @property
    def is_owner(self) -> bool:
        """Whether this opener is the one that writes."""
        return self._lock.is_held

    def open(self) -> None:
        """Become the owner where nobody is, with the tables made.

        Raises:
            ServiceUnavailable: The folder or the file cannot be used.
        """
        with self._told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._take_over()

    def write[T](self, script: Script[T]) -> T:
        """Run a transaction that writes; when this returns it is on the disk.

        Raises:
            ServiceUnavailable: Another process owns the file, or it cannot be used.
        """
        with self._told():
            if not self._take_over():
                raise ServiceUnavailable(
                    f"The graph in {self._folder} is owned by {self._lock.holder()}, the only one "
                    "that may write it; here it can be read. Queue the write: the owner takes it, "
                    "and so does this process once the owner has ended."
                )
            assert self._opened is not None  # what _take_over says
            result = _transaction(self._opened, "BEGIN TRANSACTION", script)
            self._keep_private()
            return result

    def read[T](self, script: Script[T]) -> T:
        """Run a transaction that only reads, over all that was committed before.

        Raises:
            ServiceUnavailable: The owner has not made the tables yet, or the file cannot be used.
        """
        with self._told():
            until = time.monotonic() + PATIENCE_S
            while not self.is_owner:
                try:
                    return self._read_of_another(script)
                except _Moved:
                    if time.monotonic() > until:
                        raise
                # Its owner may have died of it: then it is ours to finish.
                if not self._take_over():
                    time.sleep(0.02)
            self._take_over()  # opens it where opening failed before
            return _read_only(self._opened, script)

    def forget(self, project: str, *, workflow_id: str | None) -> int:
        """Delete, and write the file anew: deleted text would stay in its free pages.

        Raises:
            ServiceUnavailable: Another process owns the file, or it cannot be used.
        """
        count = self.write(lambda: graph_transactions.forget(project, workflow_id=workflow_id))
        with self._told():
            self._write_anew()
        return count

    def close(self) -> None:
        """Close the file, then stop owning it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._lock.release()

    def _take_over(self) -> bool:
        if self._lock.is_held and self._opened is not None:
            return True
        if not self._lock.take():
            return False
        try:
            if self._opened is not None:
                self._opened.close()
                self._opened = None
            self._remove_new()
            self._opened = self._open_for_writing(self._path)
        except BaseException:
            self._lock.release()
            raise
        self._keep_private()
        return True

    def _open_for_writing(self, path: Path) -> _Opened:
        make_private_file(path)
        opened = self._open_database(path, read_only=False)
        for table in cypher.LADYBUG_TABLES:
            opened.run(table)
        return opened

    def _open_database(self, path: Path, *, read_only: bool) -> _Opened:
        database = ladybug.Database(str(path), read_only=read_only, **self._limits)
        return _Opened(database, ladybug.Connection(database))

    def _read_of_another[T](self, script: Script[T]) -> T:
        """Read what another process may write meanwhile.

        Raises:
            _Moved: The owner was moving its log into the file.
        """
        before = self._state()
        try:
            result = _read_only(self._reader(), script)
        except RuntimeError as error:
            if _MOVING in str(error) or self._state() != before:
                raise _Moved(str(error)) from error
            raise
        # Its log only grows; pages of the file that changed may have been read half.
        if self._state()[:_ONE_FILE] != before[:_ONE_FILE]:
            raise _Moved("its pages changed while they were read")
        return result

    def _reader(self) -> _Opened:
        """The database as it is now: a reader sees nothing that came after it was opened."""
        state = self._state()
        if self._opened is not None and state == self._read_from:
            return self._opened
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        opened = self._open_database(self._path, read_only=True) if state else None
        if opened is None or len(opened.run("CALL show_tables() RETURN name")) < 2:
            raise ServiceUnavailable(
                f"The graph in {self._folder} is being made by {self._lock.holder()}. "
                "Try again in a moment."
            )
        self._opened, self._read_from = opened, state
        return opened

    def _state(self) -> tuple[int, ...]:
        found: list[int] = []
        for name in (FILE, WAL):
            with contextlib.suppress(FileNotFoundError):
                status = (self._folder / name).stat()
                found += (status.st_ino, status.st_size, status.st_mtime_ns)
        return tuple(found)

    def _write_anew(self) -> None:
        assert self._opened is not None  # forget has just written
        self._remove_new()
        new = self._folder / NEW_FILE
        target = self._open_for_writing(new)
        try:
            _transaction(target, "BEGIN TRANSACTION", lambda: _copy_of(self._opened))
        finally:
            target.close()
        self._opened.close()
        self._opened = None
        try:
            # A log that is left would be replayed over the new file.
            if (self._folder / WAL).exists():
                raise self._unusable(f"{WAL} is still there after the file was closed")
            new.replace(self._path)
        finally:
            self._opened = self._open_for_writing(self._path)

    def _remove_new(self) -> None:
        for path in self._folder.glob(f"{NEW_FILE}*"):
            path.unlink()

    def _keep_private(self) -> None:
        for name in (FILE, WAL):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).chmod(0o600)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the errors of Ladybug, which are RuntimeErrors, and of the disk into ours."""
        try:
            yield
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except RuntimeError as error:
            said = str(error)
            is_moving = isinstance(error, _Moved)
            if is_moving or self._opened is None or said.startswith(_MACHINE):
                raise self._unusable(said.splitlines()[0]) from error
            raise MMMError(f"The graph refused a statement of ours: {said}") from error

    def _unusable(self, cause: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The graph in {self._folder} cannot be used: {cause}. Check that the folder is there, "
            "writable, not full, and that no other program has opened its file."
        )


def _read_only[T](opened: _Opened | None, script: Script[T]) -> T:
    assert opened is not None  # what _take_over and _reader say
    return _transaction(opened, "BEGIN TRANSACTION READ ONLY", script)


def _transaction[T](opened: _Opened, begin: LiteralString, script: Script[T]) -> T:
    opened.run(begin)
    try:
        result = _driven(opened, script)
        opened.run("COMMIT")
    except BaseException:
        # Some errors have ended the transaction already; then this is refused.
        with contextlib.suppress(RuntimeError):
            opened.run("ROLLBACK")
        raise
    return result


def _driven[T](opened: _Opened, script: Script[T]) -> T:
    transaction = script()
    try:
        step = next(transaction)
        while True:
            step = transaction.send(opened.run(step.statement, step.parameters))
    except StopIteration as done:
        result: T = done.value
        return result


def _copy_of(source: _Opened | None) -> graph_transactions.Transaction[None]:
    assert source is not None
    nodes = source.run(cypher.LADYBUG_ALL_NODES)
    yield from _merged(cypher.MERGE_NODES, cypher.NODE_FIELDS, nodes)
    edges = source.run(cypher.LADYBUG_ALL_EDGES)
    yield from _merged(cypher.MERGE_EDGES, cypher.EDGE_FIELDS, edges)


def _merged(
    statement: LiteralString, names: tuple[str, ...], rows: list[Row]
) -> graph_transactions.Transaction[None]:
    for start in range(0, len(rows), graph_transactions.BATCH):
        part = rows[start : start + graph_transactions.BATCH]
        yield Step(statement, {"rows": [dict(zip(names, row, strict=True)) for row in part]})

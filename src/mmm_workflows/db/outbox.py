"""What memory has yet to write or to forget: rows in the run database, taken in their order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite
from sqlalchemy import ColumnElement, Row, delete, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mmm_workflows.db.engine import begin, is_sqlite, scrub, uninterrupted
from mmm_workflows.db.owner_lock import OwnerLock
from mmm_workflows.db.tables import MEMORY_OUTBOX, PASSAGES, PROJECTS, RUNS
from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.recall import Way
from mmm_workflows.records import Backlog, now

ADVISORY_LOCK: Final = 0x4D4D4F  # any number, the same for every process
LOCK: Final = "memory-outbox.lock"
POLL_S: Final = 0.05
ALL_WAYS: Final = ",".join(Way)
IDS_AT_ONCE: Final = 10_000
QUEUED: Final = "queued"
KEPT: Final = "kept"

logger = logging.getLogger(__name__)

_IS_OPEN: Final = MEMORY_OUTBOX.c.done_at.is_(None)
_OF_PROJECT: Final = MEMORY_OUTBOX.c.workflow_id.is_(None)


class Action(StrEnum):
    """What is to be done with what a run left behind, or with a whole project."""

    REMEMBER = "remember"
    FORGET = "forget"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row.

    Attributes:
        workflow_id: None where all of a project is meant.
        missing: The stores that have not taken it.
        reason: Why; None before the first try.
        runs: Of how many runs it speaks.
    """

    position: int
    project: str
    workflow_id: str | None
    action: Action
    missing: tuple[Way, ...]
    reason: str | None
    runs: int
    queued_at: datetime
    done_at: datetime | None

    @property
    def standing(self) -> str:
        """``queued``, ``delayed: ...``, or ``kept`` where every store took it."""
        return standing_of(self.done_at, self.reason)


def standing_of(done_at: datetime | None, reason: str | None) -> str:
    """How a row stands, by when it was done and why it was not."""
    if done_at is not None:
        return KEPT
    return QUEUED if reason is None else f"delayed: {reason}"


async def queue_remembering(connection: AsyncConnection, project: str, workflow_id: str) -> None:
    """Note in a transaction that a run left something behind; a second time changes nothing."""
    known = select(MEMORY_OUTBOX.c.position).where(
        MEMORY_OUTBOX.c.workflow_id == workflow_id, MEMORY_OUTBOX.c.action == Action.REMEMBER
    )
    if (await connection.execute(known)).first() is None:
        await connection.execute(_new(project, workflow_id, Action.REMEMBER, runs=1))


async def queue_forgetting(connection: AsyncConnection, workflow_id: str) -> None:
    """Note in a transaction that what a run left behind is to go, and is not to come any more."""
    gone = (
        delete(MEMORY_OUTBOX)
        .where(MEMORY_OUTBOX.c.workflow_id == workflow_id)
        .where(MEMORY_OUTBOX.c.action == Action.REMEMBER)
        .returning(MEMORY_OUTBOX.c.project)
    )
    project = (await connection.execute(gone)).scalars().first()
    if project is not None:
        await connection.execute(_new(project, workflow_id, Action.FORGET, runs=1))


async def queue_forgetting_project(connection: AsyncConnection, project: str, *, runs: int) -> None:
    """Note in a transaction that nothing of a project is to stay; what waited for its runs goes.

    A project that has a run, as it got another meanwhile, is left alone: its runs are forgotten
    one by one.
    """
    of_runs = delete(MEMORY_OUTBOX).where(MEMORY_OUTBOX.c.project == project, ~_OF_PROJECT)
    # A new run waits for the lock: its row comes after this one.
    lock = select(PROJECTS.c.project).where(PROJECTS.c.project == project).with_for_update()
    left = select(RUNS.c.workflow_id).where(RUNS.c.project == project).limit(1)
    await connection.execute(lock)
    if (await connection.execute(left)).first() is None:
        await connection.execute(of_runs)
        await connection.execute(_new(project, None, Action.FORGET, runs=runs))


class Outbox:
    """The rows, and the turn of the one process that takes them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def turn(self, *, wait_s: float) -> AsyncIterator[bool]:
        """Be the only one who takes rows for the length of the block, of all processes.

        What is being remembered cannot be overtaken by its forgetting. The lock ends with its
        process.

        Args:
            wait_s: How long another one is waited for; then the block is given False.
        """
        if not is_sqlite(self._engine.url):
            async with begin(self._engine) as connection:
                yield await _until(wait_s, lambda: _locked(connection))
            return
        lock = OwnerLock(Path(self._engine.url.database or "").with_name(LOCK))
        take = uninterrupted(partial(asyncio.to_thread, lock.take))
        try:
            yield await _until(wait_s, take)
        finally:
            lock.release()

    @uninterrupted
    async def waiting(self, project: str | None = None) -> list[Entry]:
        """The rows that are not done, in order."""
        return await self._where(_open_of(project))

    @uninterrupted
    async def backlog(self, project: str | None = None) -> Backlog:
        """How many rows are not done, of a project or of all, and since when the oldest waits."""
        query = select(func.count(), func.min(MEMORY_OUTBOX.c.queued_at)).where(_open_of(project))
        async with begin(self._engine) as connection:
            count, oldest_at = (await connection.execute(query)).one()
        return Backlog(waiting=count, oldest_at=oldest_at)

    @uninterrupted
    async def is_anything_kept(self) -> bool:
        """Whether any text of any project is remembered."""
        async with begin(self._engine) as connection:
            return (
                await connection.execute(select(PASSAGES.c.position).limit(1))
            ).first() is not None

    @uninterrupted
    async def holds(self, project: str) -> bool:
        """Whether text of a project is remembered, or a row waits for one of its runs."""
        kept = select(PASSAGES.c.project).where(PASSAGES.c.project == project)
        waits = select(MEMORY_OUTBOX.c.project).where(_open_of(project), ~_OF_PROJECT)
        async with begin(self._engine) as connection:
            return (await connection.execute(kept.union_all(waits).limit(1))).first() is not None

    @uninterrupted
    async def of_runs(self, workflow_ids: Collection[str]) -> dict[str, Entry]:
        """The row of each run that left something behind."""
        ids, found = sorted(workflow_ids), dict[str, Entry]()
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = MEMORY_OUTBOX.c.workflow_id.in_(ids[start : start + IDS_AT_ONCE])
            entries = await self._where(some & (MEMORY_OUTBOX.c.action == Action.REMEMBER))
            found.update((entry.workflow_id or "", entry) for entry in entries)
        return found

    @uninterrupted
    async def forgotten(self) -> list[Entry]:
        """The projects that were forgotten as a whole, or are to be, in order."""
        return await self._where(_OF_PROJECT)

    @uninterrupted
    async def forget_project(self, project: str, *, runs: int) -> None:
        """As ``queue_forgetting_project``, for a project without a run."""
        async with begin(self._engine, write_lock=True) as connection:
            await queue_forgetting_project(connection, project, runs=runs)
        await self._scrub()

    @uninterrupted
    async def finish(self, entry: Entry) -> None:
        """Every store took it: a forgotten run leaves no row, all else is marked."""
        own = MEMORY_OUTBOX.c.position == entry.position
        done = update(MEMORY_OUTBOX).where(own).values(missing="", reason=None, done_at=now())
        is_traceless = entry.action is Action.FORGET and entry.workflow_id is not None
        async with begin(self._engine) as connection:
            await connection.execute(delete(MEMORY_OUTBOX).where(own) if is_traceless else done)
        if is_traceless:
            await self._scrub()

    @uninterrupted
    async def delay(self, entry: Entry, missing: Sequence[Way], reason: str) -> None:
        """Some stores did not take it, and why."""
        change = (
            update(MEMORY_OUTBOX)
            .where(MEMORY_OUTBOX.c.position == entry.position)
            .values(missing=",".join(missing), reason=reason)
        )
        async with begin(self._engine) as connection:
            await connection.execute(change)

    async def _scrub(self) -> None:
        """Take the names of deleted runs out of the log; the deletion stands where that fails."""
        try:
            await scrub(self._engine)
        except (MMMError, SQLAlchemyError, aiosqlite.Error) as error:
            logger.warning("the next deletion takes this one out of the log: %s", error)

    async def _where(self, wanted: ColumnElement[bool]) -> list[Entry]:
        query = select(MEMORY_OUTBOX).where(wanted).order_by(MEMORY_OUTBOX.c.position)
        async with begin(self._engine) as connection:
            return [_entry(row) for row in await connection.execute(query)]


def _open_of(project: str | None) -> ColumnElement[bool]:
    return _IS_OPEN if project is None else _IS_OPEN & (MEMORY_OUTBOX.c.project == project)


def _new(
    project: str, workflow_id: str | None, action: Action, *, runs: int
) -> Any:  # noqa: ANN401
    return insert(MEMORY_OUTBOX).values(
        project=project,
        workflow_id=workflow_id,
        action=action,
        missing=ALL_WAYS,
        runs=runs,
        queued_at=now(),
    )


def _entry(row: Row[Any]) -> Entry:
    values = row._asdict()
    values["action"] = Action(values["action"])
    values["missing"] = tuple(Way(name) for name in values["missing"].split(",") if name)
    return Entry(**values)


async def _locked(connection: AsyncConnection) -> bool:
    """PostgreSQL's lock until the transaction ends, or the session of a process that died."""
    ask = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool((await connection.execute(ask, {"key": ADVISORY_LOCK})).scalar_one())


async def _until(wait_s: float, try_once: Callable[[], Awaitable[bool]]) -> bool:
    until = time.monotonic() + wait_s
    while not await try_once():
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(POLL_S)
    return True

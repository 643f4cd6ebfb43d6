"""Who works on a run: a claim that is renewed while its holder lives, and taken over after it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mmm_workflows.db.engine import begin, is_sqlite, uninterrupted
from mmm_workflows.db.fence import FREE
from mmm_workflows.db.holders import Holder
from mmm_workflows.db.tables import RUNS
from mmm_workflows.errors import RunBusy, RunLost, RunNotFound, ServiceUnavailable
from mmm_workflows.records import SCHEMA_VERSION, RunStatus, now

# A claim is renewed so many times within its lease: two renewals may fail and it is still held.
BEATS_PER_LEASE: Final = 3
# What is there to be done by a worker: what was left to workers, and what is to be cancelled and
# has nobody any more who would. A run of a newer version is left to those who can read it.
TO_DO: Final = and_(
    RUNS.c.schema_version <= SCHEMA_VERSION,
    or_(
        and_(
            RUNS.c.on_queue,
            RUNS.c.status.in_((RunStatus.QUEUED.value, RunStatus.RUNNING.value)),
        ),
        and_(RUNS.c.cancel_requested, RUNS.c.status == RunStatus.RUNNING.value),
    ),
)

logger = logging.getLogger(__name__)

# The tokens that this process works under: what it could not give back it does not hold.
_in_use: set[str] = set()
# Those of them that a beat renews: after an outage they are renewed, not taken over by ourselves.
_beating: set[str] = set()
# While the database is away a beat looks this often: nobody shall be first when it is back.
AWAY_S: Final = 0.5


@dataclass(eq=False)
class Claim:
    """The right to work on a run, and on the runs that are a part of it.

    Attributes:
        token: Writes that carry it are refused once another has the run.
        attempts: How many holders began with the present step and did not come back, and this one.
        is_lost: Another has taken the run over: nothing more may be written.
        is_put_back: The holder stops and leaves the run to another.
        is_over: The holder wrote an end down, which gave the run back: it may be another's by now.
    """

    workflow_id: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    attempts: int = 0
    is_lost: bool = False
    is_put_back: bool = False
    is_over: bool = False


class Answer(NamedTuple):
    """A person's answer that the run has not taken in yet, and the question that it is for."""

    text: str
    asked: str | None


class Claims:
    """The claims on runs, in their own database: one live executor per run, on any machine.

    A claim is over when it was given back, when its lease has run out, or when its holder was a
    process of this machine that has ended.

    Args:
        engine: The database of the runs.
        lease_s: For how long a run stays with a holder that is not heard of.
    """

    def __init__(self, engine: AsyncEngine, *, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._holder = Holder.of_this_process()

    @asynccontextmanager
    async def hold(
        self, workflow_id: str, *, under: Claim | None = None, afresh: bool = False
    ) -> AsyncIterator[Claim]:
        """Hold a run for the length of the block, in place of the workers.

        Args:
            workflow_id: The run.
            under: The claim on the run that this one is a part of; it covers both.
            afresh: Forget that the run was to be cancelled.

        Raises:
            RunBusy: Another caller, here or anywhere, holds it (``run_busy``).
            RunLost: It was taken over in the block (``run_lost``).
        """
        claim = under or Claim(workflow_id)
        try:
            await self._take(claim, workflow_id, afresh=afresh)
        except asyncio.CancelledError:
            if under is None:
                _in_use.discard(claim.token)
            await self._give_back(claim, workflow_id)
            raise
        if under is None:
            async with self.keep(claim):
                yield claim
            return
        try:
            yield claim
        finally:
            await self._give_back(claim, workflow_id)

    @asynccontextmanager
    async def keep(self, claim: Claim) -> AsyncIterator[Claim]:
        """Renew a claim for the length of the block, then give it back.

        When it is lost, the task of the block is cancelled.

        Raises:
            RunLost: Another has taken the run over (``run_lost``).
        """
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine
        _beating.add(claim.token)
        beat = asyncio.create_task(self._beat(claim, task), name=f"claim on {claim.workflow_id}")
        try:
            yield claim
        except asyncio.CancelledError as error:
            if not claim.is_lost:
                raise
            task.uncancel()
            raise RunLost.of(claim.workflow_id) from error
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            _beating.discard(claim.token)
            _in_use.discard(claim.token)
            if not claim.is_lost and not claim.is_over:
                await self._give_back(claim, claim.workflow_id)

    @uninterrupted
    async def take_next(self) -> Claim | None:
        """The claim on the oldest run that waits for a worker; None: there is none.

        That is one that was queued, that a worker left in the middle, or that is to be cancelled
        and was left by whoever worked on it.
        """
        is_ours = and_(RUNS.c.holder == str(self._holder), RUNS.c.claim.in_(_beating))
        is_over = or_(RUNS.c.claim.is_(None), and_(self._is_past(), ~is_ours))
        mine = RUNS.c.holder.startswith(f"{self._holder.machine}/", autoescape=True)
        # Looked at without a lock: nothing to do is the rule, and must cost next to nothing.
        async with begin(self._engine) as connection:
            free = select(RUNS.c.workflow_id).where(TO_DO, is_over).limit(1)
            some = (await connection.execute(free)).first() is not None
            held = (
                await connection.execute(select(RUNS.c.claim, RUNS.c.holder).where(TO_DO, mine))
            ).all()
        gone = [row.claim for row in held if self._is_left(row.claim, row.holder)]
        if not some and not gone:
            return None
        query = (
            select(RUNS.c.workflow_id, RUNS.c.attempts)
            .where(TO_DO, or_(is_over, RUNS.c.claim.in_(gone)))
            .order_by(RUNS.c.created_at, RUNS.c.workflow_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        async with begin(self._engine, write_lock=True) as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            claim = Claim(row.workflow_id, attempts=row.attempts + 1)
            await self._write(connection, claim, claim.workflow_id)
            return claim

    @uninterrupted
    async def enqueue(self, workflow_id: str) -> None:
        """Leave a run to the workers; one that waits for an answer or has succeeded stays.

        Raises:
            RunBusy: It is on the queue already, or somebody works on it (``run_busy``).
        """
        async with begin(self._engine, write_lock=True) as connection:
            row = await self._locked(connection, workflow_id)
            if row["status"] in (RunStatus.SUCCEEDED, RunStatus.WAITING):
                return
            self._refuse_held(row, workflow_id)
            if row["on_queue"] and row["status"] == RunStatus.QUEUED:
                raise RunBusy.of(workflow_id, "the next worker that is free")
            queued = {"status": RunStatus.QUEUED, "on_queue": True, "cancel_requested": False}
            await self._set(connection, workflow_id, **queued, **FREE, updated_at=now())

    @uninterrupted
    async def note_answer(
        self, claim: Claim, workflow_id: str, answer: str, *, on_queue: bool
    ) -> None:
        """Queue a run that waits with the answer that it goes on with.

        Args:
            claim: The claim that holds the run.
            workflow_id: The run.
            answer: A person's.
            on_queue: Leave it to the workers; else the holder goes on with it.

        Raises:
            RunLost: The claim is over (``run_lost``).
        """
        async with begin(self._engine, write_lock=True) as connection:
            row = await self._locked(connection, workflow_id)
            if row["claim"] != claim.token:
                raise RunLost.of(workflow_id)
            changes = {"status": RunStatus.QUEUED, "answer": answer, "updated_at": now()}
            queued = {"on_queue": True} if on_queue else {}
            await self._set(connection, workflow_id, **changes, **queued)

    @uninterrupted
    async def answer(self, workflow_id: str) -> Answer | None:
        """The answer that a run has to take in; None: there is none."""
        query = select(RUNS.c.answer, RUNS.c.asked).where(RUNS.c.workflow_id == workflow_id)
        async with begin(self._engine) as connection:
            row = (await connection.execute(query)).one()
        return None if row.answer is None else Answer(row.answer, row.asked)

    @uninterrupted
    async def _take(self, claim: Claim, workflow_id: str, *, afresh: bool) -> None:
        async with begin(self._engine, write_lock=True) as connection:
            if workflow_id != claim.workflow_id:
                whole = await self._locked(connection, claim.workflow_id)
                if whole["claim"] != claim.token:
                    raise RunLost.of(claim.workflow_id)
            row = await self._locked(connection, workflow_id)
            if row["claim"] != claim.token:  # its own is of a block whose end could not be written
                self._refuse_held(row, workflow_id)
            await self._write(connection, claim, workflow_id)
            if workflow_id != claim.workflow_id:
                # Whoever takes the whole over takes its parts: no worker may be first with one.
                await self._set(connection, workflow_id, on_queue=False)
            if afresh:
                await self._set(connection, workflow_id, cancel_requested=False)

    @uninterrupted
    async def _give_back(self, claim: Claim, workflow_id: str) -> None:
        held = and_(RUNS.c.workflow_id == workflow_id, RUNS.c.claim == claim.token)
        try:
            async with begin(self._engine) as connection:
                await connection.execute(update(RUNS).where(held).values(FREE))
        except ServiceUnavailable as error:
            logger.warning("run %s is free in %s s: %s", workflow_id, self._lease_s, error.message)

    async def _beat(self, claim: Claim, task: asyncio.Task[Any]) -> None:
        is_away, pause = False, self._lease_s / BEATS_PER_LEASE
        while True:
            await asyncio.sleep(min(pause, AWAY_S) if is_away else pause)
            try:
                is_held = await self._renew(claim)
            except ServiceUnavailable as error:
                # Nobody else can take it there either; when the database is back, it will be said.
                if not is_away:
                    logger.warning("run %s goes on: %s", claim.workflow_id, error.message)
                is_away = True
                continue
            except Exception:
                # Without a beat another would take the run over while this one goes on with it.
                logger.exception("run %s goes on: its claim was not renewed", claim.workflow_id)
                continue
            is_away = False
            if claim.is_over:
                return
            if not is_held:
                claim.is_lost = True
                task.cancel()
                return

    @uninterrupted
    async def _renew(self, claim: Claim) -> bool:
        async with begin(self._engine, write_lock=True) as connection:
            query = select(RUNS.c.claim).where(RUNS.c.workflow_id == claim.workflow_id)
            row = (await connection.execute(query.with_for_update())).first()
            if row is None or row.claim is None:
                return True  # deleted or ended, by the holder: nobody else could
            if row.claim != claim.token:
                return False
            # At once for all that the claim covers, so that they end together too.
            renewed = update(RUNS).where(RUNS.c.claim == claim.token)
            await connection.execute(renewed.values(lease_until=self._clock(self._lease_s)))
            return True

    async def _locked(self, connection: AsyncConnection, workflow_id: str) -> RowMapping:
        query = select(
            RUNS.c.status, RUNS.c.on_queue, RUNS.c.claim, RUNS.c.holder,
            self._is_past().label("is_past"),
        )  # fmt: skip
        query = query.where(RUNS.c.workflow_id == workflow_id).with_for_update()
        row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise RunNotFound.of(workflow_id)
        return row

    def _refuse_held(self, row: RowMapping, workflow_id: str) -> None:
        is_ours = row["holder"] == str(self._holder) and row["claim"] in _beating
        if row["claim"] is None or (row["is_past"] and not is_ours):
            return
        if not self._is_left(row["claim"], row["holder"]):
            raise RunBusy.of(workflow_id, Holder.read(row["holder"]).words)

    def _is_left(self, token: str, holder: str) -> bool:
        """Whether a process is known to hold a run no more that it has not given back."""
        if holder == str(self._holder):
            return token not in _in_use
        return Holder.read(holder).is_gone

    async def _write(self, connection: AsyncConnection, claim: Claim, workflow_id: str) -> None:
        """Write a claim down; a part of a run is held for as long as the whole."""
        _in_use.add(claim.token)
        until: Any = self._clock(self._lease_s)
        if workflow_id != claim.workflow_id:
            whole = RUNS.alias()
            until = select(whole.c.lease_until).where(whole.c.workflow_id == claim.workflow_id)
            until = until.scalar_subquery()
        await self._set(
            connection, workflow_id, claim=claim.token, holder=str(self._holder),
            lease_until=until, attempts=claim.attempts,
        )  # fmt: skip

    async def _set(self, connection: AsyncConnection, workflow_id: str, **values: object) -> None:
        change = update(RUNS).where(RUNS.c.workflow_id == workflow_id).values(**values)
        await connection.execute(change)

    def _is_past(self) -> ColumnElement[bool]:
        return RUNS.c.lease_until < self._clock(0)

    def _clock(self, after_s: float) -> ColumnElement[Any]:
        """A moment from now by the one clock of all holders: the server's, or this machine's."""
        after = timedelta(seconds=after_s)
        if is_sqlite(self._engine.url):
            return literal(now() + after, RUNS.c.lease_until.type)
        return func.clock_timestamp() + literal(after)

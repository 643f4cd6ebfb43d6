"""Where runs stand, without reading what they hold: a few numbers of a whole database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.engine import begin, uninterrupted
from mmm_workflows.db.reading import Reader
from mmm_workflows.db.tables import EVENTS, RUNS
from mmm_workflows.errors import RunNotFound
from mmm_workflows.records import RunCounts, RunStatus


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands; ``told`` is the status that its last event tells."""

    status: RunStatus
    last_seq: int
    told: RunStatus | None


class Overview:
    """The same database as ``RunStore``, asked for its figures."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def standing(self, workflow_id: str) -> Standing:
        """Status and length of the log of a run.

        Raises:
            RunError: There is none (``run_not_found``).
        """
        last = and_(EVENTS.c.workflow_id == RUNS.c.workflow_id, EVENTS.c.seq == RUNS.c.last_seq)
        query = (
            select(RUNS.c.status, RUNS.c.last_seq, EVENTS.c.status.label("told"))
            .select_from(RUNS.outerjoin(EVENTS, last))
            .where(RUNS.c.workflow_id == workflow_id)
        )
        rows = await self._reader.rows(query)
        if not rows:
            raise RunNotFound.of(workflow_id)
        [row] = rows
        told = None if row["told"] is None else RunStatus(row["told"])
        return Standing(status=RunStatus(row["status"]), last_seq=row["last_seq"], told=told)

    @uninterrupted
    async def counts(self) -> RunCounts:
        """Runs by status, those with none of it included, and the length of the event log."""
        by_status = select(RUNS.c.status, func.count()).group_by(RUNS.c.status)
        async with begin(self._engine) as connection:
            found = {status: number for status, number in await connection.execute(by_status)}
            events = await connection.execute(select(func.count()).select_from(EVENTS))
            return RunCounts(
                runs={status: found.get(status.value, 0) for status in RunStatus},
                events=int(events.scalar_one()),
            )

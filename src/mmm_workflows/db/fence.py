"""What keeps an executor that lost its run from writing, and one that gets on from being stopped."""

from __future__ import annotations

from typing import Final

from sqlalchemy import case, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mmm_workflows.db.tables import RUNS
from mmm_workflows.errors import RunLost
from mmm_workflows.records import Json, RunStatus, now

# Of a run that nobody works on.
FREE: Final[Json] = {"claim": None, "holder": None, "lease_until": None, "attempts": 0}


async def refuse_lost(connection: AsyncConnection, workflow_id: str, claim: str | None) -> None:
    """Refuse a writer whose claim is over; until the commit nobody else can have the run.

    Written, not read: so SQLite's write lock comes first, as it must.

    Raises:
        RunLost: The run is not held by this claim (``run_lost``).
    """
    if claim is None:
        return
    held = update(RUNS).where(RUNS.c.workflow_id == workflow_id, RUNS.c.claim == claim)
    found = await connection.execute(held.values(claim=claim))
    if not found.rowcount:
        raise RunLost.of(workflow_id)


def standing(status: RunStatus, step: str | None, progress: float) -> Json:
    """Where a run stands; one that is not worked on any more is free in the same moment.

    Who hears that it waits may answer at once. Coming to another step shows that it does not end
    who works on it.
    """
    is_same = RUNS.c.step.is_not_distinct_from(step)
    stays = {"attempts": case((is_same, RUNS.c.attempts), else_=1)}
    return {
        "status": status,
        "step": step,
        "progress": progress,
        "updated_at": now(),
        **(stays if status is RunStatus.RUNNING else FREE),
    }

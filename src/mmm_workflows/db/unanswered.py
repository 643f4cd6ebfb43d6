"""Whether a write whose commit was not answered was kept; asked under the lock of its run."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mmm_workflows.db.chain import Link
from mmm_workflows.db.tables import DECISIONS, EVENTS
from mmm_workflows.records import Event, Json, RunStatus


class Said(TypedDict):
    """What an event says, without its number and moment."""

    status: RunStatus
    step: str | None
    progress: float
    message: str
    data: Json | None


async def has_event(connection: AsyncConnection, event: Event) -> bool:
    """Whether it was kept: by its number, moment and words."""
    query = select(EVENTS.c.at, EVENTS.c.message).where(
        EVENTS.c.workflow_id == event.workflow_id, EVENTS.c.seq == event.seq
    )
    row = (await connection.execute(query)).first()
    return row is not None and (row.at, row.message) == (event.at, event.message)


async def has_link(connection: AsyncConnection, project: str, link: Link) -> bool:
    """Whether it was kept: by its place and the salted hash, which no other link has."""
    query = select(DECISIONS.c.content_hash).where(
        DECISIONS.c.project == project, DECISIONS.c.position == link.position
    )
    return (await connection.execute(query)).scalar() == link.content_hash

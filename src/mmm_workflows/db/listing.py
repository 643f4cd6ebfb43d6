"""Which runs a list holds, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Select

from mmm_workflows.db.tables import RUNS
from mmm_workflows.records import RunStatus


class Listing(TypedDict, total=False):
    """What a list of runs is narrowed to; None, or a key left out, narrows nothing.

    ``before`` leaves out a run, given by ``created_at`` and ``workflow_id``, and all newer.
    """

    project: str | None
    projects: Sequence[str] | None
    workflow: str | None
    status: RunStatus | None
    limit: int | None
    before: tuple[datetime, str] | None


def newest(query: Select[Any], **asked: Unpack[Listing]) -> Select[Any]:
    """A query of the runs that are asked for, the newest first."""
    query = query.order_by(RUNS.c.created_at.desc(), RUNS.c.workflow_id.desc())
    wanted = {name: asked.get(name) for name in ("project", "workflow", "status")}
    for name, value in wanted.items():
        if value is not None:
            query = query.where(RUNS.c[name] == value)
    if (projects := asked.get("projects")) is not None:
        query = query.where(RUNS.c.project.in_(projects))
    if (before := asked.get("before")) is not None:
        at, workflow_id = before
        is_same_moment = (RUNS.c.created_at == at) & (RUNS.c.workflow_id < workflow_id)
        query = query.where((RUNS.c.created_at < at) | is_same_moment)
    return query.limit(asked.get("limit"))

"""Runs as they are shown to those who ask how they go: one statement, results as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, RowMapping, Select, Text, bindparam, cast, func, null, select
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.listing import Listing, newest
from mmm_workflows.db.outbox import Action, standing_of
from mmm_workflows.db.reading import Reader
from mmm_workflows.db.runs import refuse_newer
from mmm_workflows.db.tables import MEMORY_OUTBOX, RUNS
from mmm_workflows.errors import RunNotFound
from mmm_workflows.records import Depth, RunStatus, RunView

COLUMNS: Final = (
    "workflow_id", "workflow", "project", "status", "step", "progress", "depth", "seed",
    "created_at", "updated_at",
)  # fmt: skip


class Views:
    """The same database as ``RunStore``, asked by those who watch from outside.

    A run is asked about every second by everybody who waits for it. What was committed before, by
    whichever process, is seen: nothing is kept between two questions.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = Reader(engine)

    async def run(self, workflow_id: str) -> RunView:
        """Where a run stands, and what of it memory has taken.

        Raises:
            RunNotFound: There is none (``run_not_found``).
        """
        return await self._one(_WHOLE, workflow_id)

    async def outline(self, workflow_id: str) -> RunView:
        """The same, its result left where it is.

        Raises:
            RunNotFound: There is none (``run_not_found``).
        """
        return await self._one(_OUTLINE, workflow_id)

    async def list(self, **asked: Unpack[Listing]) -> Sequence[RunView]:
        """The outlines of runs, the newest first."""
        return [_view(row) for row in await self._reader.rows(newest(_OUTLINES, **asked))]

    async def _one(self, query: Select[Any], workflow_id: str) -> RunView:
        rows = await self._reader.rows(query.params(workflow_id=workflow_id))
        if not rows:
            raise RunNotFound.of(workflow_id)
        return _view(rows[0])


def _query(result: ColumnElement[Any]) -> Select[Any]:
    noted = MEMORY_OUTBOX.alias()
    is_its = noted.c.workflow_id == RUNS.c.workflow_id
    latest = (
        select(func.max(noted.c.position))
        .where(is_its, noted.c.action == Action.REMEMBER)
        .correlate(RUNS)
        .scalar_subquery()
    )
    return select(
        *(RUNS.c[name] for name in (*COLUMNS, "schema_version")),
        # Not read and written again: both databases keep the text.
        cast(result, Text).label("result"),
        cast(RUNS.c.error, Text).label("error"),
        RUNS.c.result.is_not(None).label("has_result"),
        MEMORY_OUTBOX.c.position,
        MEMORY_OUTBOX.c.done_at,
        MEMORY_OUTBOX.c.reason,
    ).select_from(RUNS.outerjoin(MEMORY_OUTBOX, MEMORY_OUTBOX.c.position == latest))


_OUTLINES: Final = _query(null())
_IS_NAMED: Final = RUNS.c.workflow_id == bindparam("workflow_id")
_OUTLINE: Final = _OUTLINES.where(_IS_NAMED)
_WHOLE: Final = _query(RUNS.c.result).where(_IS_NAMED)


def _view(row: RowMapping) -> RunView:
    refuse_newer(row["schema_version"], "row of runs")
    own = {name: row[name] for name in COLUMNS}
    own |= {"status": RunStatus(row["status"]), "depth": Depth(row["depth"])}
    is_left = row["has_result"] and row["position"] is not None
    memory = standing_of(row["done_at"], row["reason"]) if is_left else None
    return RunView(**own, result=row["result"], error=row["error"], memory=memory)

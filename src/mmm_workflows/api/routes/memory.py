"""What earlier runs left behind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import ProjectName
from mmm_workflows.mmm.knowledge import make_period
from mmm_workflows.mmm.recall import Recall
from mmm_workflows.records import DEFAULT_PROJECT
from mmm_workflows.workflows.contracts import ASK_S


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("it lies beyond the years 1 to 9999 in UTC") from error


type Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
router = APIRouter(tags=["memory"])


@router.get("/memory/search", operation_id="search_memory")
async def search(
    question: Annotated[str, Query(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")],
    door: Shared,
    project: Annotated[ProjectName, Query()] = DEFAULT_PROJECT,
    limit: Annotated[int, Query(ge=1, le=50)] = 5,
    at: Annotated[Moment | None, Query(description="as known at this moment")] = None,
    first_day: Annotated[date | None, Query(description="what speaks of this day or later")] = None,
    last_day: Annotated[
        date | None, Query(description="what speaks of this day or earlier")
    ] = None,
    current: Annotated[bool, Query(description="leave out what was superseded")] = False,
) -> Recall:
    """Passages of a project's runs that may answer, best first, and how each was found.

    What was superseded says by what, and stands below it; ``waiting`` counts the writes that
    memory has yet to take.
    """
    door.enter(project)
    return await door.runner.memory.recall(
        question,
        project=project,
        k=limit,
        at=at,
        about=make_period(first_day, last_day),
        current=current,
        wait_s=ASK_S,
    )

"""Runs: where they stand, what they said, and how to go on with, stop or remove them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import Accepted, Answer, Deleted, Events, Runs, RunShown
from mmm_workflows.records import RunStatus

router = APIRouter(tags=["runs"])


@router.get("/workflow/{workflow_id}")
async def get_run(workflow_id: str, door: Shared) -> RunShown:
    """Status, step and progress of a run, and its result or error."""
    return RunShown.of(await door.runner.get(workflow_id))


@router.get("/workflows")
async def list_runs(
    door: Shared,
    project: str | None = None,
    workflow: str | None = None,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Runs:
    """The latest runs, the newest first, without their results."""
    found = await door.runner.list(project=project, workflow=workflow, status=status, limit=limit)
    return Runs(runs=[RunShown.of(run.model_copy(update={"result": None})) for run in found])


@router.get("/workflow/{workflow_id}/events")
async def get_events(
    workflow_id: str, door: Shared, after: Annotated[int, Query(ge=0)] = 0
) -> Events:
    """The events of a run whose ``seq`` is above ``after``."""
    return Events(events=await door.runner.events(workflow_id, after=after))


@router.post("/workflow/{workflow_id}/resume", status_code=202)
async def resume(workflow_id: str, door: Shared) -> Accepted:
    """Go on with a run where it stopped."""
    door.background.refuse_busy(workflow_id)
    run = await door.runner.requeue(workflow_id)
    door.background.execute(workflow_id)
    return Accepted.of(run)


@router.post("/workflow/{workflow_id}/decide", status_code=202)
async def decide(workflow_id: str, answer: Answer, door: Shared) -> Accepted:
    """Answer the question that a run waits with; it is in the ``questions`` of its result."""
    door.background.refuse_busy(workflow_id)
    run = await door.runner.note_answer(workflow_id, answer.answer)
    door.background.execute(workflow_id, answer=answer.answer)
    return Accepted.of(run)


@router.post("/workflow/{workflow_id}/cancel", status_code=202)
async def cancel(workflow_id: str, door: Shared) -> Accepted:
    """Ask a run to stop; its status says when it has."""
    return Accepted.of(await door.runner.cancel(workflow_id))


@router.delete("/workflow/{workflow_id}")
async def delete(workflow_id: str, door: Shared) -> Deleted:
    """Remove a run with all that only it owns."""
    await door.runner.get(workflow_id)
    return Deleted(deleted=await door.runner.delete(workflow_id))

"""Runs: where they stand, what they said, and how to go on with, stop or remove them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Path, Query, Response

from mmm_workflows.api import sse
from mmm_workflows.api.cursor import read_cursor, write_cursor
from mmm_workflows.api.deps import Door, Shared
from mmm_workflows.api.download import MEDIA_TYPES, download
from mmm_workflows.api.schemas import (
    LAST_SEQ,
    Accepted,
    After,
    Answer,
    Artifacts,
    ArtifactShown,
    Decisions,
    Deleted,
    Events,
    Lineage,
    ProjectAsked,
    ProjectName,
    Runs,
    RunShown,
    WorkflowId,
)
from mmm_workflows.api.strict import StrictRoute
from mmm_workflows.api.view import JsonBytes, as_json, page_as_json
from mmm_workflows.errors import UserError
from mmm_workflows.mmm.chain import lines
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows.registry import find

router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.get("/workflow/{workflow_id}", response_model=RunShown)
async def get_run(workflow_id: WorkflowId, door: Shared) -> Response:
    """Status, step and progress of a run, and its result or error."""
    return JsonBytes(as_json(await door.view(workflow_id)))


@router.get("/workflows", response_model=Runs)
async def list_runs(
    door: Shared,
    project: ProjectAsked = None,
    workflow: str | None = None,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """The latest runs, the newest first, without their results; ``next`` leads to older ones."""
    if workflow is not None:
        find(workflow)
    # One more than is shown tells whether there is a page after this one.
    found = await door.runner.list(
        projects=door.projects(project), workflow=workflow, status=status, limit=limit + 1,
        before=None if cursor is None else read_cursor(cursor),
    )  # fmt: skip
    shown = found[:limit]
    asked = {"project": project, "workflow": workflow, "status": status, "limit": limit}
    if len(found) > limit:
        asked["cursor"] = write_cursor(shown[-1])
    more = urlencode({name: value for name, value in asked.items() if value is not None})
    following = f"/workflows?{more}" if "cursor" in asked else None
    return JsonBytes(page_as_json(shown, more=following))


@router.get(
    "/workflow/{workflow_id}/events",
    response_model=Events,
    responses={
        200: {"content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}},
        204: {"description": "Asked for as a stream, and no event is to come"},
    },
)
async def get_events(
    workflow_id: WorkflowId,
    door: Shared,
    after: After = 0,
    accept: Annotated[str, Header()] = "*/*",
    last_event_id: Annotated[str | None, Header()] = None,
) -> Events | Response:
    """The events of a run whose ``seq`` is above ``after``.

    With ``Accept: text/event-stream`` they come as server-sent events, and the live ones after
    them until the run ends or waits; ``Last-Event-ID`` then stands for ``after``.
    """
    run = await door.run(workflow_id)
    if sse.MEDIA_TYPE in accept:
        seen = after if last_event_id is None else _seq(last_event_id)
        return await sse.stream(door.runner, run, after=seen)
    return Events(events=list(await door.runner.events(workflow_id, after=after)))


@router.get("/workflow/{workflow_id}/artifacts")
async def list_artifacts(workflow_id: WorkflowId, door: Shared) -> Artifacts:
    """What a run made or uses."""
    await door.run(workflow_id)
    found = await door.runner.shelf.artifacts(workflow_id)
    return Artifacts(artifacts=[ArtifactShown.of(artifact) for artifact in found])


@router.get(
    "/workflow/{workflow_id}/artifacts/{artifact_id}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES}, "description": "The file"}},
)
async def get_artifact(workflow_id: WorkflowId, artifact_id: str, door: Shared) -> Response:
    """An artifact as a file to save, its content just verified; a folder as a ZIP."""
    await door.run(workflow_id)
    artifact = await door.runner.shelf.artifact(workflow_id, artifact_id)
    return await download(artifact, await door.runner.shelf.open(artifact))


@router.get("/workflow/{workflow_id}/decisions")
async def list_decisions(workflow_id: WorkflowId, door: Shared) -> Decisions:
    """What was chosen in a run, by whom and why."""
    await door.run(workflow_id)
    return Decisions(decisions=list(await door.runner.shelf.decisions(workflow_id)))


@router.get("/workflow/{workflow_id}/lineage")
async def get_lineage(workflow_id: WorkflowId, door: Shared) -> Lineage:
    """What a run that has succeeded rests on, down to cells, files and pages."""
    run = await door.run(workflow_id)
    found = await door.runner.memory.lineage(workflow_id, project=run.project)
    return Lineage(workflow_id=workflow_id, lines=list(lines(found.chain)))


@router.post("/workflow/{workflow_id}/resume", status_code=202, operation_id="resume_run")
async def resume(workflow_id: WorkflowId, door: Shared) -> Accepted:
    """Go on with a run where it stopped."""
    await door.run(workflow_id)
    return door.accept(await door.queue.enqueue(workflow_id))


@router.post("/workflow/{workflow_id}/decide", status_code=202)
async def decide(workflow_id: WorkflowId, answer: Answer, door: Shared) -> Accepted:
    """Answer the question that a run waits with; it is in the ``questions`` of its result."""
    await door.run(workflow_id)
    return door.accept(await door.queue.answer(workflow_id, answer.answer))


@router.post("/workflow/{workflow_id}/cancel", status_code=202, operation_id="cancel_run")
async def cancel(workflow_id: WorkflowId, door: Shared) -> Accepted:
    """Ask a run to stop; its status says when it has."""
    await door.run(workflow_id)
    return Accepted.of(await door.runner.cancel(workflow_id))


@router.delete("/workflow/{workflow_id}", operation_id="delete_run")
async def delete(workflow_id: WorkflowId, door: Shared) -> Deleted:
    """Remove a run, its parts, and all that only they own."""
    project = (await door.run(workflow_id)).project
    return await _deleted(door, project, await door.runner.delete_run(workflow_id, project))


@router.delete("/project/{project}", operation_id="delete_project")
async def delete_project(project: Annotated[ProjectName, Path()], door: Shared) -> Deleted:
    """Remove a project with all its runs, uploads, models and memory."""
    door.enter(project)
    return await _deleted(door, project, await door.runner.delete_project(project))


async def _deleted(door: Door, project: str, count: int) -> Deleted:
    delayed = await door.runner.memory.still_to_forget(project)
    return Deleted(deleted=count, memory_delayed=delayed)


def _seq(said: str) -> int:
    if not (said.isascii() and said.isdigit() and len(said) <= 10 and int(said) <= LAST_SEQ):
        raise UserError(
            f"The Last-Event-ID {said!r} is no number of an event. Send the last `id` that came, "
            "or none."
        )
    return int(said)

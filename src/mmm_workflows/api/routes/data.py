"""Files that come in, and which there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request, UploadFile

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.leaving import unless_left
from mmm_workflows.api.schemas import Datasets, ProjectAsked, ProjectName, TableAsked
from mmm_workflows.records import DEFAULT_PROJECT
from mmm_workflows.workflows.contracts import Upload

router = APIRouter(tags=["data"])
# For the log, as other servers name it: the caller has left.
NOBODY_THERE = 499


@router.post("/upload", status_code=201, operation_id="upload")
async def upload(
    file: UploadFile, door: Shared, project: Annotated[ProjectName, Form()] = DEFAULT_PROJECT
) -> Upload:
    """Keep a CSV file; ``data_sources`` takes its ``path`` or its ``dataset_id``."""
    door.enter(project)
    return await door.runner.uploads.keep(
        file.file, name=file.filename or "upload.csv", project=project
    )


@router.post("/datasets", status_code=201, operation_id="copy_table")
async def copy_table(request: Request, asked: TableAsked, door: Shared) -> Upload:
    """Keep a table of a database as it is now; DATA_CONNECTIONS names the databases."""
    door.enter(asked.project)
    copying = door.runner.uploads.copy_table(asked.connection, asked.table, project=asked.project)
    kept = await unless_left(request, copying)
    if kept is None:
        raise HTTPException(NOBODY_THERE, "The caller has left.")
    return kept


@router.get("/datasets", operation_id="list_datasets")
async def list_datasets(
    door: Shared,
    project: ProjectAsked = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Datasets:
    """The latest uploads, the newest first."""
    found = await door.runner.shelf.datasets(door.projects(project), limit=limit)
    return Datasets(datasets=found)

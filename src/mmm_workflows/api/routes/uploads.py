"""Files that come in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, UploadFile

from mmm_workflows.api.deps import Shared
from mmm_workflows.records import DEFAULT_PROJECT
from mmm_workflows.workflows.contracts import Upload

router = APIRouter(tags=["data"])


@router.post("/upload", status_code=201)
async def upload(
    file: UploadFile, door: Shared, project: Annotated[str, Form()] = DEFAULT_PROJECT
) -> Upload:
    """Keep a CSV file; its ``path`` is what ``data_sources`` takes."""
    return await door.runner.keep_upload(
        file.file, name=file.filename or "upload.csv", project=project
    )

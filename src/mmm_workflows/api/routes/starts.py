"""One start per workflow of the registry; each answers at once and is worked on behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, create_model

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import Accepted, RunOptions
from mmm_workflows.workflows.registry import WORKFLOWS, Entry

router = APIRouter(tags=["workflows"])
ACCEPTED: Final = 202
OPTIONS: Final = set(RunOptions.model_fields)


def _endpoint(entry: Entry) -> Callable[..., Awaitable[Accepted]]:
    body_type = create_model(
        f"Start{entry.name.capitalize()}", __base__=(entry.request, RunOptions)
    )

    async def start(body: Any, door: Shared) -> Accepted:  # noqa: ANN401
        return await _start(entry, body, door)

    # FastAPI reads the type of the body from here: one start is written for all workflows.
    start.__annotations__ = {"body": body_type, "door": Shared, "return": Accepted}
    return start


async def _start(entry: Entry, body: BaseModel, door: Shared) -> Accepted:
    request = entry.request.model_validate(body.model_dump(exclude=OPTIONS))
    options = RunOptions.model_validate(body.model_dump(include=OPTIONS))
    door.folders.check(request.model_dump())
    run = await door.runner.submit(
        entry.name,
        request,
        workflow_id=options.workflow_id,
        project=options.project,
        seed=options.seed,
        depth=options.depth,
    )
    run = await door.runner.requeue(run.workflow_id)
    door.background.execute(run.workflow_id)
    return Accepted.of(run)


for _entry in WORKFLOWS.values():
    router.add_api_route(
        f"/{_entry.name}/start",
        _endpoint(_entry),
        methods=["POST"],
        status_code=ACCEPTED,
        response_model=Accepted,
        summary=_entry.purpose,
        operation_id=f"start_{_entry.name}",
    )

"""One start per workflow of the registry; each answers at once and is worked on behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from pydantic import BaseModel, create_model

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import Accepted, RunOptions
from mmm_workflows.api.strict import StrictRoute
from mmm_workflows.errors import RunError, UserError
from mmm_workflows.workflows.registry import WORKFLOWS, Entry

router = APIRouter(route_class=StrictRoute, tags=["workflows"])
ACCEPTED: Final = 202
# Visible characters of ASCII, as a header can carry them.
type IdempotencyKey = Annotated[str | None, Header(pattern=r"^[!-~]{1,255}$")]
OPTIONS: Final = set(RunOptions.model_fields)


def _endpoint(entry: Entry) -> Callable[..., Awaitable[Accepted]]:
    body_type = create_model(
        f"Start{entry.name.capitalize()}", __base__=(entry.request, RunOptions)
    )

    async def start(
        body: Any, door: Shared, idempotency_key: Any = None  # noqa: ANN401
    ) -> Accepted:
        return await _start(entry, body, door, idempotency_key)

    # FastAPI reads the type of the body from here: one start is written for all workflows.
    start.__annotations__ = {
        "body": body_type,
        "door": Shared,
        "idempotency_key": IdempotencyKey,
        "return": Accepted,
    }
    return start


async def _start(entry: Entry, body: BaseModel, door: Shared, key: str | None) -> Accepted:
    options = RunOptions.model_validate(body.model_dump(include=OPTIONS))
    door.enter(options.project)
    arguments = body.model_dump(exclude=OPTIONS)
    shelf = door.runner.shelf
    if "data_sources" in arguments:
        named = arguments["data_sources"]
        arguments["data_sources"] = [await shelf.path_of(options.project, n) for n in named]
    request = entry.request.model_validate(arguments)
    await door.check(request.model_dump())
    try:
        run = await door.queue.accept(
            entry.name,
            request,
            workflow_id=_named(options, door, key),
            project=options.project,
            seed=options.seed,
            depth=options.depth,
            once=key is not None,
        )
    except RunError as error:
        if key is None or error.code != "run_conflict":
            raise
        raise RunError(
            f"The Idempotency-Key {key!r} was sent before with another request. Send a new one "
            "with a new request, or the request of that time.",
            code="idempotency_key_reused",
        ) from error
    return door.accept(run)


def _named(options: RunOptions, door: Shared, key: str | None) -> str | None:
    """The id of the run that a key stands for: one per caller and project, whoever asks when."""
    if key is None:
        return options.workflow_id
    if options.workflow_id is not None:
        raise UserError(
            "The request has a workflow_id and an Idempotency-Key, and each of them says which "
            "run is meant. Leave one of them out."
        )
    meant = json.dumps([door.caller.name, options.project, key])
    return f"once-{hashlib.sha256(meant.encode()).hexdigest()[:40]}"


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

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
# The ids of the runs that Idempotency-Keys stand for begin with it.
OF_A_KEY: Final = "once-"
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
        if error.code != "run_conflict":
            raise
        if key is None:
            # Not what differs: of a run of another project, nothing but its id is told.
            raise RunError(
                f"The workflow_id {options.workflow_id!r} belongs to a run with other inputs. Use "
                "a new workflow_id, or the arguments of that run to go on with it.",
                code="run_conflict",
            ) from error
        raise RunError(
            f"The Idempotency-Key {key!r} was sent before with another request. Send a new one "
            "with a new request, or the request of that time.",
            code="idempotency_key_reused",
        ) from error
    return door.accept(run)


def _named(options: RunOptions, door: Shared, key: str | None) -> str | None:
    """The id of the run that a key stands for: one per caller and project, whoever asks when."""
    if key is None:
        return _free_to_take(options.workflow_id)
    if options.workflow_id is not None:
        raise UserError(
            "The request has a workflow_id and an Idempotency-Key, and each of them says which "
            "run is meant. Leave one of them out."
        )
    meant = json.dumps([door.caller.name, options.project, key])
    return f"{OF_A_KEY}{hashlib.sha256(meant.encode()).hexdigest()[:40]}"


def _free_to_take(workflow_id: str | None) -> str | None:
    """The id that a caller gives; one that a run makes for itself could be taken before it.

    Raises:
        RunError: It is the id of a part of a pipeline, or of an Idempotency-Key
            (``workflow_id_invalid``).
    """
    # What it loads is loaded behind the first answer.
    from mmm_workflows.workflows.execution import PARTS

    endings = tuple(f".{part}" for part in PARTS)
    if workflow_id is not None and (
        workflow_id.endswith(endings) or workflow_id.startswith(OF_A_KEY)
    ):
        raise RunError(
            f"The workflow_id {workflow_id!r} cannot be given: those that end in "
            f"{', '.join(endings)} are of the parts of a pipeline, and those that begin with "
            f"{OF_A_KEY} of an Idempotency-Key. Use another one; /workflow/ID/resume goes on with "
            "a part.",
            code="workflow_id_invalid",
        )
    return workflow_id


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

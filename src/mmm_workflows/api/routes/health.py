"""Whether the service answers, and whether what it needs does."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mmm_workflows import __version__
from mmm_workflows.api.deps import House, Shared
from mmm_workflows.api.opening import Opening
from mmm_workflows.api.schemas import Health, Live, Ready
from mmm_workflows.keys import Caller

router = APIRouter(tags=["service"])
NOT_READY = 503
LOST = "lost"


@router.get("/health", operation_id="health")
async def health(door: Shared) -> Health:
    """That the service answers, which one it is, and what stands behind it.

    Why the records are lost is for callers with a key; that they are is for everybody.
    """
    lost = await door.runner.records_lost()
    told = LOST if lost and door.caller.is_nobody else lost
    return Health(
        status="degraded" if lost else "ok",
        records=told or "ok",
        version=__version__,
        generated_by=door.runner.written_by,
        sandbox=await door.runner.sandbox_mode(),
    )


@router.get("/health/live", operation_id="live")
async def live() -> Live:
    """That the process answers; nothing else is asked."""
    return Live()


@router.get("/health/ready", operation_id="ready", responses={NOT_READY: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether runs can be taken: each dependency by name, and why one does not answer.

    The reasons are for callers with a key; the rest is for everybody.
    """
    opening: Opening[House] = request.app.state.opening
    caller: Caller = request.scope["state"]["caller"]
    if not opening.is_open:
        found = Ready(status="warming up", dependencies=[])
    else:
        house = await opening.house()
        told = await house.runner.dependencies()
        found = Ready.of(told, with_reasons=not caller.is_nobody)
    if found.status != "ready":
        response.status_code = NOT_READY
        response.headers["retry-after"] = "2"
    return found

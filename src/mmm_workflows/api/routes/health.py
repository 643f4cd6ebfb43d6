"""Whether the service answers."""

from __future__ import annotations

from fastapi import APIRouter

from mmm_workflows import __version__
from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import Health

router = APIRouter(tags=["service"])


@router.get("/health")
async def health(door: Shared) -> Health:
    """That the service answers, which one it is, and what stands behind it."""
    return Health(
        status="ok",
        version=__version__,
        generated_by=door.runner.written_by,
        sandbox=await door.runner.sandbox_mode(),
    )

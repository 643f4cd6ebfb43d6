"""Whether the service answers."""

from __future__ import annotations

from fastapi import APIRouter

from mmm_workflows import __version__
from mmm_workflows.api.schemas import Health
from mmm_workflows.records import GENERATED_BY_RULES

router = APIRouter(tags=["service"])


@router.get("/health")
async def health() -> Health:
    """That the service answers, and which one it is."""
    return Health(status="ok", version=__version__, generated_by=GENERATED_BY_RULES)

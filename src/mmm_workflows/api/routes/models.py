"""Plans and budgets on a model that was fitted, answered at once."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.schemas import WorkflowId
from mmm_workflows.api.strict import StrictRoute
from mmm_workflows.workflows.instant import (
    OptimizeAnswer,
    OptimizeAsked,
    ScenarioAnswer,
    ScenarioAsked,
)

router = APIRouter(route_class=StrictRoute, prefix="/models", tags=["models"])


@router.post("/{model_id}/scenario", operation_id="run_scenario")
async def scenario(model_id: WorkflowId, asked: ScenarioAsked, door: Shared) -> ScenarioAnswer:
    """A plan against its reference, on the model of this id or of this run."""
    return await door.house.instant.scenario(await _model(door, model_id), asked)


@router.post("/{model_id}/optimize", operation_id="optimize_budget")
async def optimize(model_id: WorkflowId, asked: OptimizeAsked, door: Shared) -> OptimizeAnswer:
    """The best allocation of a total, on the model of this id or of this run."""
    return await door.house.instant.optimize(await _model(door, model_id), asked)


async def _model(door: Shared, model_id: str) -> Path:
    return await door.runner.shelf.model(model_id, door.projects(None))

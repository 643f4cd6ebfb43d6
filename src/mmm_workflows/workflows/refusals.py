"""What a run may not be: named like a path, started again with other inputs, misread, a danger."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from mmm_workflows.errors import RunError
from mmm_workflows.records import NAME, Json, Run
from mmm_workflows.workflows.graph import Workflow

# A worker may be killed for reasons of its own; so often in one step of one run it is the run.
MOST_ATTEMPTS: Final = 3


def checked(name: str, what: str) -> str:
    """The name, which can be a part of a path and of an address.

    Raises:
        RunError: It cannot (``workflow_id_invalid``, ``project_invalid``).
    """
    if re.fullmatch(NAME, name) is None:
        raise RunError(
            f"The {what} {name!r} cannot be used: it takes 1 to 100 letters, digits, '.', '_' "
            "and '-', beginning with a letter or a digit.",
            code=f"{what}_invalid",
        )
    return name


def refuse_other_inputs(found: Run, asked: Run, request: type[BaseModel]) -> None:
    """Refuse to go on with a run under other arguments.

    Args:
        found: The run as it is stored.
        asked: What was asked for.
        request: The type of its request, which knows what a later version lets be left out.

    Raises:
        RunError: Some differ (``run_conflict``).
    """
    fields = ("workflow", "project", "seed", "depth")
    differing = [f for f in fields if getattr(found, f) != getattr(asked, f)]
    if _with_defaults(found.request, request) != asked.request:
        differing.append("request")
    if differing:
        raise RunError(
            f"Run {found.workflow_id} exists with another {', '.join(differing)}. Use a new "
            "workflow_id, or the arguments of that run to go on with it.",
            code="run_conflict",
        )


def _with_defaults(stored: Json, request: type[BaseModel]) -> Json:
    try:
        return request.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored


def refuse_other_graph(run: Run, workflow: Workflow[Any]) -> None:
    """Refuse a run whose checkpoints another version of its workflow wrote.

    Raises:
        RunError: It did (``run_graph_changed``).
    """
    if run.graph_version != workflow.graph_version:
        raise RunError(
            f"Run {run.workflow_id} was started by version {run.graph_version} of the "
            f"{run.workflow} workflow; this is version {workflow.graph_version}, which cannot "
            "read its checkpoints. Start it again under a new workflow_id.",
            code="run_graph_changed",
        )


def refuse_crashes(run: Run, attempts: int) -> None:
    """Refuse a run whose workers did not come back, so that it does not end one after another.

    Args:
        run: The run.
        attempts: How many workers began with its present step, the one that asks among them.

    Raises:
        RunError: There were too many (``run_crashed``).
    """
    if attempts > MOST_ATTEMPTS:
        raise RunError(
            f"Run {run.workflow_id} was stopped: {attempts - 1} processes began with its step "
            f"{run.step or 'start'!r} and were not heard of again. Look for what ended them (often "
            "it is the memory), then go on with "
            f"`mmm-workflows resume {run.workflow_id}`.",
            code="run_crashed",
        )

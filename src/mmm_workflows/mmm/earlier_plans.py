"""The plans that earlier Research runs left, and which of them cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.plan import EarlierPlans, ProjectData, ResearchPlan, read_plan
from mmm_workflows.records import Decision, Run

TAKEN_UP = 5


def earlier_plans(
    runs: Sequence[Run], data: ProjectData | None
) -> tuple[EarlierPlans, tuple[str, ...]]:
    """The plans of the first few runs that can be read, and the runs of which none can.

    Args:
        runs: The newest first.
        data: What is known of the data.
    """
    found = [(run.workflow_id, _plan_of(run)) for run in runs]
    read = [(name, plan) for name, plan in found if plan is not None][:TAKEN_UP]
    earlier = EarlierPlans(
        plans=tuple(plan for _, plan in read), runs=tuple(name for name, _ in read), data=data
    )
    return earlier, tuple(name for name, plan in found if plan is None)


def left_out(runs: Sequence[str], project: str) -> Decision:
    """That nothing is taken from the plans of some runs, and why."""
    return Decision(
        project=project,
        question="Is every earlier plan of this category taken up?",
        options=("yes", "no"),
        choice="no",
        reason=f"nothing is taken from {', '.join(runs)}: another version stored it in a form that "
        "this one does not read",
    )


def _plan_of(run: Run) -> ResearchPlan | None:
    stored = (run.result or {}).get("research_plan")
    try:
        return None if stored is None else read_plan(stored)
    except SpecError:
        return None

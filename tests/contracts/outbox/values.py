"""Runs that left something behind, written down without their workflows being run."""

from __future__ import annotations

from mmm_workflows.records import Json, Run, RunStatus
from mmm_workflows.workflows.runner import Runner


def result_of(workflow_id: str, project: str, text: str, model: str | None = None) -> Json:
    """What a modeling run leaves behind: a model, a channel that all share, a text, a decision."""
    decision = {
        "question": f"Which prior of {workflow_id}?", "choice": "half normal", "who": "rules",
        "reason": "the default", "evidence": "",
    }  # fmt: skip
    return {
        "status": "succeeded",
        "project": project,
        "workflow_id": workflow_id,
        "model_artifact_path": model or f"models/{workflow_id}",
        # Of a failed fit the channels are noted and no figure of them.
        "fit_verdict": "fail",
        "model_spec": {"channels": [{"name": "TV", "return_prior": None, "carry_over_claims": []}]},
        "channels": [{"channel": "TV"}],
        "summary": text,
        "decisions": [decision],
    }


def queued(workflow_id: str, project: str = "p") -> Run:
    return Run(
        workflow_id=workflow_id,
        workflow="modeling",
        project=project,
        seed=1,
        graph_version="1",
        request={"mff_data_path": "shared.csv"},
    )


async def succeed(
    runner: Runner,
    workflow_id: str,
    project: str = "p",
    text: str | None = None,
    model: str | None = None,
) -> None:
    """A run that has ended well: its result is written as the end of an execution writes it."""
    runs = runner.services.runs
    await runs.create(queued(workflow_id, project))
    said = text or f"Television of {workflow_id} returned much"
    await runs.update(workflow_id, result=result_of(workflow_id, project, said, model))
    await runs.update(workflow_id, status=RunStatus.SUCCEEDED)

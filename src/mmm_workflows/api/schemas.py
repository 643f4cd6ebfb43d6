"""What the endpoints take and give, beside the workflows' own requests and results."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.records import DEFAULT_PROJECT, Depth, ErrorInfo, Event, Run, RunStatus
from mmm_workflows.workflows.contracts import DEFAULT_SEED


class RunOptions(BaseModel):
    """What every start takes beside the workflow's own arguments."""

    model_config = ConfigDict(extra="forbid")

    workflow_id: str | None = None
    project: str = DEFAULT_PROJECT
    seed: int = Field(DEFAULT_SEED, ge=0, lt=2**63)
    depth: Depth = Depth.STANDARD


class Answer(BaseModel):
    """A person's answer to the question that a run waits with."""

    model_config = ConfigDict(extra="forbid")

    answer: str = Field(min_length=1, max_length=4000)


class Links(BaseModel):
    """Where a run can be asked about."""

    run: str
    events: str
    websocket: str

    @classmethod
    def of(cls, workflow_id: str) -> Self:
        """The links of a run."""
        return cls(
            run=f"/workflow/{workflow_id}",
            events=f"/workflow/{workflow_id}/events",
            websocket=f"/ws/{workflow_id}",
        )


class Accepted(BaseModel):
    """A run that was written down and is worked on."""

    workflow_id: str
    status: RunStatus
    links: Links

    @classmethod
    def of(cls, run: Run) -> Self:
        """What is said of a run when it was accepted."""
        return cls(workflow_id=run.workflow_id, status=run.status, links=Links.of(run.workflow_id))


class RunShown(BaseModel):
    """Where a run stands; ``result`` as the Python API returns it, once there is one."""

    workflow_id: str
    workflow: str
    project: str
    status: RunStatus
    step: str | None
    progress: float
    depth: Depth
    seed: int
    created_at: datetime
    updated_at: datetime
    result: dict[str, Any] | None
    error: ErrorInfo | None
    links: Links

    @classmethod
    def of(cls, run: Run) -> Self:
        """A run as it is shown."""
        own = run.model_dump(include=set(cls.model_fields) & set(Run.model_fields))
        return cls.model_validate({**own, "links": Links.of(run.workflow_id)})


class Runs(BaseModel):
    """The latest runs, without their results."""

    runs: list[RunShown]


class Events(BaseModel):
    """The events of a run, in order."""

    events: list[Event]


class Deleted(BaseModel):
    """How many runs were removed: a pipeline takes its four along."""

    deleted: int


class Health(BaseModel):
    """That the service answers, and which one it is."""

    status: str
    version: str
    generated_by: str
    sandbox: str

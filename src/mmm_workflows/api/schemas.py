"""What the endpoints take and give, beside the workflows' own requests and results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.records import (
    DEFAULT_PROJECT,
    NAME,
    Artifact,
    Decision,
    Dependency,
    Depth,
    ErrorInfo,
    Event,
    Run,
    RunStatus,
)
from mmm_workflows.workflows.contracts import DEFAULT_SEED, Dataset

# Those of a pipeline's parts are longer than those that a caller may choose.
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$"
# The most that the column of events holds.
LAST_SEQ = 2**31 - 1

# PostgreSQL's names have 63 bytes, and others up to 128.
TABLE_LENGTH = 260

type WorkflowId = Annotated[str, Path(pattern=RUN_ID)]
type ProjectName = Annotated[str, Field(pattern=rf"^{NAME}$")]
type ProjectAsked = Annotated[ProjectName | None, Query()]
type After = Annotated[int, Query(ge=0, le=LAST_SEQ)]


class RunOptions(BaseModel):
    """What every start takes beside the workflow's own arguments."""

    model_config = ConfigDict(extra="forbid")

    workflow_id: str | None = Field(None, examples=["autumn-plan"])
    project: str = Field(DEFAULT_PROJECT, examples=[DEFAULT_PROJECT])
    seed: int = Field(DEFAULT_SEED, ge=0, lt=2**63, strict=True)
    depth: Depth = Depth.STANDARD


class Answer(BaseModel):
    """A person's answer to the question that a run waits with."""

    model_config = ConfigDict(extra="forbid")

    answer: str = Field(min_length=1, max_length=4000)


class TableAsked(BaseModel):
    """A table or view of a database that is named in the settings."""

    model_config = ConfigDict(extra="forbid")

    connection: str = Field(pattern=rf"^{NAME}$", examples=["warehouse"])
    table: str = Field(
        min_length=1,
        max_length=TABLE_LENGTH,
        examples=["weekly"],
        description="TABLE or SCHEMA.TABLE",
    )
    project: ProjectName = DEFAULT_PROJECT


class Links(BaseModel):
    """Where a run can be asked about."""

    run: str
    events: str
    artifacts: str
    decisions: str
    lineage: str
    websocket: str

    @classmethod
    def of(cls, workflow_id: str) -> Self:
        """The links of a run."""
        return cls(
            run=f"/workflow/{workflow_id}",
            events=f"/workflow/{workflow_id}/events",
            artifacts=f"/workflow/{workflow_id}/artifacts",
            decisions=f"/workflow/{workflow_id}/decisions",
            lineage=f"/workflow/{workflow_id}/lineage",
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
    """Where a run stands; ``result`` as the Python API returns it, once there is one.

    ``memory`` says whether what the run left behind is kept: ``kept``, ``queued``, or
    ``delayed: ...`` with why; null while there is nothing to keep.
    """

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
    memory: str | None
    links: Links


class UnreadableField(BaseModel):
    """A field of a request that cannot be read, and why."""

    where: str
    message: str


class Runs(BaseModel):
    """A page of runs, the newest first, without their results.

    ``next`` is the address of the page after it; null where this is the last.
    """

    runs: list[RunShown]
    next: str | None


class Events(BaseModel):
    """The events of a run, in order."""

    events: list[Event]


class ArtifactShown(Artifact):
    """An artifact; ``href`` is where it is downloaded, a folder as a ZIP."""

    href: str

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """An artifact as it is shown."""
        href = f"/workflow/{artifact.workflow_id}/artifacts/{artifact.artifact_id}"
        return cls(**artifact.model_dump(), href=href)


class Artifacts(BaseModel):
    """What a run made or uses, in the order it was kept."""

    artifacts: list[ArtifactShown]


class Decisions(BaseModel):
    """The decisions of a run, in the order they were made."""

    decisions: list[Decision]


class Lineage(BaseModel):
    """What a run rests on, down to files and pages, one line per step."""

    workflow_id: str
    lines: list[str]


class Datasets(BaseModel):
    """Uploads, the newest first."""

    datasets: list[Dataset]


class Deleted(BaseModel):
    """How many runs were removed: a pipeline takes its four along.

    ``memory_delayed`` says why a store has not forgotten them yet; null where all have.
    """

    deleted: int
    memory_delayed: str | None


class Health(BaseModel):
    """That the service answers, and which one it is; ``degraded`` while its records are away."""

    status: Literal["ok", "degraded"]
    records: str
    version: str
    generated_by: str
    sandbox: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it; ``code`` is stable and listed in docs/guide/errors.md."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fields: list[UnreadableField] = []


class Live(BaseModel):
    """That the process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether runs can be taken, and what stands in the way."""

    status: Literal["ready", "warming up", "not ready"]
    dependencies: list[Dependency]

    @classmethod
    def of(cls, found: Sequence[Dependency], *, with_reasons: bool) -> Self:
        """What was found, with or without the reasons."""
        shown = [d if with_reasons else d.model_copy(update={"why": None}) for d in found]
        is_ready = all(d.ok for d in found if d.needed)
        return cls(status="ready" if is_ready else "not ready", dependencies=shown)

"""What is written down about a run: frozen values, each with a schema version and a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
DEFAULT_PROJECT = "default"
# What a project, a workflow_id and a key may be called: it can be a part of a path and an address.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
GENERATED_BY_RULES = "rules"
# The kind of an artifact that is a model folder: it lies under MODEL_DIR and equal fits share it.
MODEL = "model"

type Json = dict[str, Any]


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    project: str = DEFAULT_PROJECT


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run will not go on by itself (a failed or cancelled one may be resumed)."""
        return self in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)


class Depth(StrEnum):
    """Which diagnostics run."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


class Severity(StrEnum):
    """How much a finding matters: for information, to be reviewed, or in the way."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Who(StrEnum):
    """Who made a decision."""

    RULES = "rules"
    MODEL = "model"
    PERSON = "person"


class ErrorInfo(BaseModel):
    """An error as it is stored and shown."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str


class Run(Record):
    """One execution of a workflow."""

    workflow_id: str
    workflow: str
    status: RunStatus = RunStatus.QUEUED
    seed: int
    depth: Depth = Depth.STANDARD
    graph_version: str
    request: Json
    step: str | None = None
    progress: float = Field(default=0.0, ge=0, le=1)
    result: Json | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Where a run stands, for those who ask how it goes; what is long is not taken apart.

    Attributes:
        result: The JSON text of its result; None while there is none, and in an outline.
        error: The JSON text of its error (``ErrorInfo``); None where there is none.
        memory: Whether what it left behind is kept: ``kept``, ``queued``, or ``delayed: ...`` with
            why; None while there is nothing to keep.
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
    result: str | None
    error: str | None
    memory: str | None


class RunCounts(BaseModel):
    """How many runs there are in each status, and how many events of all of them."""

    model_config = ConfigDict(frozen=True)

    runs: dict[RunStatus, int]
    events: int


class Backlog(BaseModel):
    """What memory has yet to write or to forget: how many rows, and since when the oldest waits."""

    model_config = ConfigDict(frozen=True)

    waiting: int = Field(ge=0)
    oldest_at: datetime | None = None


class Event(Record):
    """One progress message; ``seq`` counts from 1 without a gap within a run."""

    workflow_id: str
    seq: int = Field(ge=1)
    at: datetime = Field(default_factory=now)
    status: RunStatus
    step: str | None = None
    progress: float = Field(ge=0, le=1)
    message: str
    data: Json | None = None


class Artifact(Record):
    """An immutable file or folder, addressed by the hash of its content."""

    artifact_id: str
    kind: str
    path: str
    sha256: str
    size_bytes: int = Field(ge=0)
    workflow_id: str
    created_at: datetime = Field(default_factory=now)


class Decision(Record):
    """A choice that was made, by whom and on what evidence."""

    question: str
    options: tuple[str, ...]
    choice: str
    reason: str
    evidence: str = ""
    who: Who = Who.RULES
    at: datetime = Field(default_factory=now)


class Dependency(BaseModel):
    """Whether something that the service uses answers; ``why`` says what is wrong otherwise.

    Without one that is not ``needed`` the service does less, and runs are taken all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    ok: bool
    needed: bool = True
    why: str | None = None


class Finding(BaseModel):
    """Something the reader should know about data or a plan, with the cells it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Severity
    message: str
    variable: str | None = None
    cells: tuple[str, ...] = ()

"""What is known beyond one run: nodes, edges and passages, each with its project and maker."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from mmm_workflows.errors import UserError
from mmm_workflows.records import DEFAULT_PROJECT, now

KNOWLEDGE_SCHEMA_VERSION = 1


class NodeKind(StrEnum):
    """What a node stands for."""

    VARIABLE = "Variable"
    CHANNEL = "Channel"
    DATASET = "Dataset"
    ANALYSIS = "Analysis"
    DECISION = "Decision"
    MODEL = "Model"
    SCENARIO = "Scenario"
    DOCUMENT = "Document"
    CLAIM = "Claim"
    EXPERIMENT = "Experiment"


class EdgeKind(StrEnum):
    """How one node stands to another, read from source to target."""

    USES = "USES"
    ABOUT = "ABOUT"
    BASED_ON = "BASED_ON"
    CITES = "CITES"
    PRODUCED = "PRODUCED"
    SUPERSEDES = "SUPERSEDES"
    CONTRADICTS = "CONTRADICTS"
    OUTCOME_OF = "OUTCOME_OF"


class Period(BaseModel):
    """The days from ``first`` to ``last``, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: date
    last: date

    @property
    def begins(self) -> datetime:
        """The first moment of it, in UTC."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def ends(self) -> datetime:
        """The first moment after it, in UTC; the last day that can be said has none after it."""
        if self.last == date.max:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)


def make_period(first: date | None, last: date | None) -> Period | None:
    """The days from one to another, either open where it is None; None where both are.

    Raises:
        UserError: The last day comes before the first (``request_invalid``).
    """
    if first is None and last is None:
        return None
    begins, ends = first or date.min, last or date.max
    if ends < begins:
        raise UserError(
            f"The time asked about ends on {ends}, before it begins on {begins}. Give the earlier "
            "day first."
        )
    return Period(first=begins, last=ends)


class Known(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = KNOWLEDGE_SCHEMA_VERSION
    project: str = DEFAULT_PROJECT
    workflow_id: str
    created_at: datetime = Field(default_factory=now)


class Node(Known):
    """A thing of which something is known; equal ids within a project are one thing."""

    node_id: str
    kind: NodeKind
    name: str
    properties: dict[str, JsonValue] = {}


class Edge(Known):
    """That one node stands to another, from when to when, and on what evidence.

    Attributes:
        valid_from, valid_to: The time in the world that it speaks of, such as the weeks of a data
            set or of a plan; open where None. ``valid_to`` is the first moment after it.
        expired_at: When it was found to hold no more; nothing is overwritten.
    """

    source: str
    target: str
    kind: EdgeKind
    evidence: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    expired_at: datetime | None = None

    @cached_property
    def edge_id(self) -> str:
        """Equal for the same statement of the same run."""
        return digest(self.project, self.source, self.kind, self.target, self.workflow_id)


class Passage(Known):
    """A text that can be found again, and the node that it is about.

    Attributes:
        where: What it was read from: an artifact's path, or a result's JSON pointer.
        valid_from, valid_to: The time in the world that it speaks of, as an edge's.
    """

    passage_id: str
    text: str = Field(min_length=1, max_length=4000)
    kind: NodeKind
    node_id: str
    where: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def speaks_of(self, period: Period) -> bool:
        """Whether any of its time lies in a period; one that names no time speaks of all."""
        begins_late = self.valid_from is not None and self.valid_from >= period.ends
        ends_early = self.valid_to is not None and self.valid_to <= period.begins
        return not begins_late and not ends_early

    @field_validator("project", "workflow_id", "passage_id", "text", "node_id", "where")
    @classmethod
    def _without_nul(cls, value: str) -> str:
        # No text of PostgreSQL holds one; the same for all databases.
        return value.replace("\0", "\ufffd")


class Hit(BaseModel):
    """A passage's id with the score of one way of finding it; higher is better."""

    model_config = ConfigDict(frozen=True)

    passage_id: str
    score: float


def digest(*parts: object) -> str:
    """A short hash of some parts, the same everywhere."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def node_id(project: str, kind: NodeKind, key: str) -> str:
    """The id of the node of this kind that stands for a thing, the same in every run."""
    return f"{kind}:{digest(project, kind, key)}"

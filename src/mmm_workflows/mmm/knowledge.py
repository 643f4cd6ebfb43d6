"""What is known beyond one run: nodes, edges and passages, each with its project and maker."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue

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
        valid_from, valid_to: When it holds in the world; open where None.
        expired_at: When it was found to hold no more; nothing is overwritten.
    """

    source: str
    target: str
    kind: EdgeKind
    evidence: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    expired_at: datetime | None = None

    @property
    def edge_id(self) -> str:
        """Equal for the same statement of the same run."""
        return digest(self.project, self.source, self.kind, self.target, self.workflow_id)


class Passage(Known):
    """A text that can be found again, and the node that it is about.

    Attributes:
        where: What it was read from: an artifact's path, or a result's JSON pointer.
    """

    passage_id: str
    text: str = Field(min_length=1, max_length=4000)
    kind: NodeKind
    node_id: str
    where: str


class Hit(BaseModel):
    """A passage's id with the score of one way of finding it; higher is better."""

    model_config = ConfigDict(frozen=True)

    passage_id: str
    score: float


def digest(*parts: object) -> str:
    """A short hash of some parts, the same everywhere."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]

"""What goes into each workflow and what comes out; docs/guide/results.md explains the fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.mmm.answers import AnswerPicture, AnswerTable
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.narrative import CitedFigure
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.pages import WebOutcome
from mmm_workflows.mmm.plan import ResearchPlan, TickedRequirement
from mmm_workflows.mmm.results import (
    ChannelResult,
    Diagnostics,
    DriverResult,
    Estimate,
    FitVerdict,
    GoodnessOfFit,
    Window,
)
from mmm_workflows.mmm.scenario import ScenarioResult
from mmm_workflows.mmm.sensitivity import Sensitivity
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.records import (
    DEFAULT_PROJECT,
    GENERATED_BY_RULES,
    Artifact,
    Decision,
    Depth,
    ErrorInfo,
    Finding,
    RunStatus,
)

DEFAULT_SEED = 42


class Request(BaseModel):
    """The arguments of a workflow; a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ResearchRequest(Request):
    """What the marketing question is, and what is known of the data already."""

    query: str = Field(min_length=1, max_length=4000)
    target_variable: str | None = None
    media_channels: tuple[str, ...] | None = None
    review: bool = False
    web_search: Literal["off", "on"] | None = None
    replay: str | None = None


class EdaRequest(Request):
    """Which files to read and what their columns are; what is left out is proposed."""

    data_sources: tuple[str, ...] = Field(min_length=1)
    target_variable: str | None = None
    media_channels: tuple[str, ...] | None = None
    control_variables: tuple[str, ...] | None = None
    date_column: str | None = None
    geography_column: str | None = None
    target_unit: str | None = None
    currency: str | None = None
    research_plan: dict[str, Any] | None = None


class ModelingRequest(Request):
    """Which data to fit, with which plan."""

    mff_data_path: str
    research_plan: dict[str, Any] | None = None
    feature_transformations: dict[str, Any] | None = None
    margin: float | None = Field(default=None, gt=0, le=1)


class WhatifRequest(Request):
    """Which model to ask, and the question in plain words."""

    model_artifact_path: str
    mff_data_path: str
    user_query: str = Field(min_length=1, max_length=4000)


class PipelineRequest(Request):
    """All four workflows on one file: the question of Research, the data, the what-if."""

    query: str = Field(min_length=1, max_length=4000)
    user_query: str = Field(min_length=1, max_length=4000)
    data_sources: tuple[str, ...] = Field(min_length=1)
    target_variable: str | None = None
    media_channels: tuple[str, ...] | None = None
    control_variables: tuple[str, ...] | None = None
    date_column: str | None = None
    geography_column: str | None = None
    target_unit: str | None = None
    currency: str | None = None
    feature_transformations: dict[str, Any] | None = None
    margin: float | None = Field(default=None, gt=0, le=1)


class AskRequest(Request):
    """Which data to ask, and a question; with ``code`` a person's own program is run instead."""

    mff_data_path: str
    question: str = Field(min_length=1, max_length=4000)
    code: str | None = Field(default=None, min_length=1, max_length=50_000)


class Upload(BaseModel):
    """A file that was uploaded and kept; ``path`` is what ``data_sources`` takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    size_bytes: int
    columns: tuple[str, ...]


class Result(BaseModel):
    """What every workflow returns; each workflow adds its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow_id: str
    status: RunStatus
    project: str = DEFAULT_PROJECT
    generated_by: str = GENERATED_BY_RULES
    depth: Depth
    seed: int
    decisions: tuple[Decision, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    questions: tuple[str, ...] = ()
    error: ErrorInfo | None = None


class ResultBody(BaseModel):
    """The fields that one workflow adds to ``Result``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkflowBody(ResultBody):
    """The fields of a whole result.

    Attributes:
        generated_by: Whose words its texts are: ``rules``, a model, or why a model's were refused.
        figures: The figures of a model's text, each with the field it was read from (JSON pointer).
    """

    generated_by: str = GENERATED_BY_RULES
    figures: tuple[CitedFigure, ...] = ()


class Source(ResultBody):
    """A page that a claim of the plan stands in."""

    title: str
    url: str
    tier: str
    sha256: str
    fetched_at: datetime


class ResearchBody(WorkflowBody):
    """The plan, and what it rests on."""

    research_plan: ResearchPlan
    sources: tuple[Source, ...]
    synthesis: str
    web_search: Literal["off", "on", "replay"]
    claims: tuple[Claim, ...] = ()
    evidence_report: str = ""
    web_outcomes: tuple[WebOutcome, ...] = ()


class QualityBody(ResultBody):
    """What was found in the data, and whether it can be modelled."""

    findings: tuple[Finding, ...]
    data_verdict: str
    summary: str


class Visualization(ResultBody):
    """A chart as a picture and as a Vega-Lite specification."""

    title: str
    svg_path: str
    vega_lite_path: str


class EdaBody(WorkflowBody):
    """The data as MFF, with its quality and what follows for modeling."""

    mff_data_path: str
    quality_report: QualityBody
    checklist: tuple[TickedRequirement, ...]
    visualizations: tuple[Visualization, ...]
    recommendations: tuple[str, ...]


class ModelingBody(WorkflowBody):
    """The fitted model and what it says."""

    model_artifact_path: str
    reused: bool
    model_spec: ModelSpec
    findings: tuple[Finding, ...]
    diagnostics: Diagnostics
    fit_verdict: FitVerdict
    window: Window
    channels: tuple[ChannelResult, ...]
    drivers: tuple[DriverResult, ...]
    baseline: Estimate
    fit: GoodnessOfFit
    summary: str


class InterpretationBody(ResultBody):
    """How the question was read."""

    kind: Literal["simulate", "optimize", "clarify"]
    echo: str
    questions: tuple[str, ...]


class WhatifBody(WorkflowBody):
    """The answer to a question; the answers are empty while it asks back."""

    interpretation: InterpretationBody
    scenario_results: tuple[ScenarioResult, ...] = ()
    optimization_results: Optimization | None = None
    sensitivity_analysis: Sensitivity | None = None
    recommendations: tuple[str, ...] = ()
    summary: str = ""
    reasons: dict[str, str] = {}


class AskBody(WorkflowBody):
    """What a program found in the data, with the program beside it.

    Attributes:
        outcome: How the program ended; the figures are empty unless it finished.
        sandbox: What held it: bubblewrap with a guard, or the guard alone.
    """

    question: str
    answer: str
    named_figures: dict[str, float]
    tables: tuple[AnswerTable, ...]
    pictures: tuple[AnswerPicture, ...]
    printed: str
    outcome: str
    sandbox: str
    seconds: float
    code: str
    code_path: str


class PipelineBody(WorkflowBody):
    """The results of the four workflows, each as it returned it, and all their decisions."""

    decisions: tuple[Decision, ...]
    research: dict[str, Any]
    eda: dict[str, Any]
    modeling: dict[str, Any]
    whatif: dict[str, Any]

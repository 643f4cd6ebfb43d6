"""What goes into each workflow and what comes out; docs/guide/results.md explains the fields."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.mmm.answers import AnswerPicture, AnswerTable
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.earlier_answers import ModelUsed
from mmm_workflows.mmm.experiments import OpenExperiment
from mmm_workflows.mmm.history import ChannelHistory
from mmm_workflows.mmm.narrative import CitedFigure
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.pages import WebOutcome
from mmm_workflows.mmm.plan import ResearchPlan, TickedRequirement
from mmm_workflows.mmm.refresh_values import Refresh
from mmm_workflows.mmm.remembered import Remembered
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
from mmm_workflows.mmm.scorecards import PassedOver, PeriodScore, PlanScores, Restated, Scores
from mmm_workflows.mmm.sensitivity import Sensitivity
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.track_record import TrackRecord
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
# How long a run, or the service, that asks memory waits for what is still to be written; that goes
# on behind it. What a few runs left is written in that time.
ASK_S: Final = 2.0

# What the project's earlier runs decided, or the rules alone.
type StartFrom = Literal["earlier", "rules"]


class Request(BaseModel):
    """The arguments of a workflow; a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StartsFrom(Request):
    """The arguments of a workflow that takes choices over from the project's earlier runs."""

    start_from: StartFrom = "earlier"

    @property
    def is_anew(self) -> bool:
        """Whether nothing of an earlier run is taken over."""
        return self.start_from == "rules"


class ResearchRequest(StartsFrom):
    """What the marketing question is, and what is known of the data already."""

    query: str = Field(min_length=1, max_length=4000, examples=["Build MMM for beverage brand"])
    target_variable: str | None = None
    media_channels: tuple[str, ...] | None = None
    review: bool = Field(default=False, strict=True)
    web_search: Literal["off", "on"] | None = None
    replay: str | None = None


class EdaRequest(StartsFrom):
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


class ModelingRequest(StartsFrom):
    """Which data to fit, and with which plan."""

    mff_data_path: str
    research_plan: dict[str, Any] | None = None
    feature_transformations: dict[str, Any] | None = None
    margin: float | None = Field(default=None, gt=0, le=1, strict=True)


class WhatifRequest(Request):
    """Which model to ask, and the question in plain words."""

    model_artifact_path: str
    mff_data_path: str
    user_query: str = Field(
        min_length=1, max_length=4000, examples=["What if we increase TV spend by 20%?"]
    )


class PipelineRequest(StartsFrom):
    """All four workflows on one file: the question of Research, the data, the what-if."""

    query: str = Field(min_length=1, max_length=4000, examples=["Build MMM for beverage brand"])
    user_query: str = Field(
        min_length=1, max_length=4000, examples=["What if we increase TV spend by 20%?"]
    )
    data_sources: tuple[str, ...] = Field(min_length=1)
    target_variable: str | None = None
    media_channels: tuple[str, ...] | None = None
    control_variables: tuple[str, ...] | None = None
    date_column: str | None = None
    geography_column: str | None = None
    target_unit: str | None = None
    currency: str | None = None
    feature_transformations: dict[str, Any] | None = None
    margin: float | None = Field(default=None, gt=0, le=1, strict=True)


class AskRequest(Request):
    """Which data to ask, and a question; with ``code`` a person's own program is run instead."""

    mff_data_path: str
    question: str = Field(min_length=1, max_length=4000)
    code: str | None = Field(default=None, min_length=1, max_length=50_000)


class TrackRequest(Request):
    """Which file tells what came, and which model's forecast to score; None finds it."""

    actuals: str
    model_artifact_path: str | None = None
    date_column: str | None = None
    geography_column: str | None = None


class Upload(BaseModel):
    """A file that was uploaded and kept; ``data_sources`` takes its ``path`` or ``dataset_id``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    dataset_id: str
    sha256: str
    size_bytes: int
    columns: tuple[str, ...]


class Dataset(Upload):
    """An upload of a project, with the first name that its content came under, and when."""

    project: str
    name: str
    created_at: datetime


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
    """The plan, and what it rests on.

    Attributes:
        earlier_runs: The runs of the same category whose plans it took up, the newest first.
        experiments: What earlier runs proposed for channels of the plan.
    """

    research_plan: ResearchPlan
    sources: tuple[Source, ...]
    synthesis: str
    web_search: Literal["off", "on", "replay"]
    claims: tuple[Claim, ...] = ()
    evidence_report: str = ""
    web_outcomes: tuple[WebOutcome, ...] = ()
    earlier_runs: tuple[str, ...] = ()
    experiments: tuple[OpenExperiment, ...] = ()


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


class EarlierBody(ResultBody):
    """An earlier run that read the same file or another version of it.

    Attributes:
        renamed: The name of a column then, and now.
        differences: What is not as it was then; each stands among the findings as well.
    """

    workflow_id: str
    at: datetime
    mff_data_path: str
    relation: Literal["same_file", "newer_version", "older_version"]
    evidence: str
    renamed: dict[str, str]
    differences: tuple[Finding, ...]


class VariableBody(ResultBody):
    """One series of the data; ``source`` is the file and column that it comes from."""

    name: str
    role: str
    unit: str
    additivity: str
    source: str


class CleaningBody(ResultBody):
    """A reversible change of cells, why it was made, and of how many."""

    kind: str
    variable: str
    reason: str
    cells: int


class DatasetBody(ResultBody):
    """What the MFF and its sidecar hold; ``geographies`` is empty for a national table."""

    frequency: str
    first_period: date
    last_period: date
    periods: int
    geographies: tuple[str, ...]
    variables: tuple[VariableBody, ...]
    cleaning: tuple[CleaningBody, ...]


class ReadFile(ResultBody):
    """A file that was read, by name and content."""

    name: str
    sha256: str


class EdaBody(WorkflowBody):
    """The data as MFF, with its quality and what follows for modeling.

    Attributes:
        earlier: The run whose treatment was taken over where the request left it open.
    """

    mff_data_path: str
    sources: tuple[ReadFile, ...] = ()
    dataset: DatasetBody
    earlier: EarlierBody | None = None
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
    history: tuple[ChannelHistory, ...]
    refresh: Refresh | None
    summary: str
    reasons: dict[str, str] = {}


class InterpretationBody(ResultBody):
    """How the question was read."""

    kind: Literal["simulate", "optimize", "clarify"]
    echo: str
    questions: tuple[str, ...]
    question: str = ""


class WhatifBody(WorkflowBody):
    """The answer to a question; the answers are empty while it asks back.

    Attributes:
        model: The fit that the answer rests on.
        remembered: What earlier runs of the project know of plans like this one.
    """

    interpretation: InterpretationBody
    model: ModelUsed | None = None
    remembered: Remembered | None = None
    scenario_results: tuple[ScenarioResult, ...] = ()
    optimization_results: Optimization | None = None
    sensitivity_analysis: Sensitivity | None = None
    track_record: TrackRecord = TrackRecord()
    recommendations: tuple[str, ...] = ()
    summary: str = ""
    reasons: dict[str, str] = {}


class TrackBody(WorkflowBody):
    """A forecast and earlier plans, scored against what came.

    Attributes:
        model_window: The data of the fit; the forecast begins after it.
        actuals_sha256: The hash of the file that told what came.
        passed_over: Newer models of the project that the file cannot score, the newest first.
        restated: Variables whose past the file tells otherwise, of ``compared_periods``.
    """

    model_artifact_path: str
    target: str
    unit: str
    model_window: Window
    actuals_sha256: str
    periods: tuple[PeriodScore, ...]
    scores: Scores
    plans: PlanScores
    passed_over: tuple[PassedOver, ...] = ()
    compared_periods: int
    restated: tuple[Restated, ...]
    findings: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    summary: str


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
    """The results of the four workflows, each as it returned it, and all their decisions.

    Where the plan of the question cannot be carried out, ``whatif`` has the ``status`` failed and
    its ``error``, and nothing of its own.
    """

    decisions: tuple[Decision, ...]
    research: dict[str, Any]
    eda: dict[str, Any]
    modeling: dict[str, Any]
    whatif: dict[str, Any]

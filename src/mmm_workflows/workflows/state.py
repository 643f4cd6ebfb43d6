"""What a run remembers between steps: ids, paths and short facts; data and fits are artifacts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mmm_workflows.workflows.contracts import (
    AskRequest,
    EdaRequest,
    ModelingRequest,
    PipelineRequest,
    ResearchRequest,
    TrackRequest,
    WhatifRequest,
)


class State(BaseModel):
    """A state that refuses keys it does not know; ``body_path`` is where the result body lies."""

    model_config = ConfigDict(extra="forbid")

    body_path: str = ""


class ResearchState(State):
    """Research, from the question to the plan."""

    request: ResearchRequest
    category: str = ""
    earlier_path: str = ""
    web_mode: Literal["off", "on", "replay"] = "off"
    reading_path: str = ""
    evidence_path: str = ""
    plan_path: str = ""
    synthesis: str = ""
    written_by: str = ""


class EdaState(State):
    """EDA, from the files to the MFF."""

    request: EdaRequest
    earlier_path: str = ""
    loaded_path: str = ""
    quality_path: str = ""
    charts_path: str = ""
    mff_path: str = ""
    data_verdict: str = ""


class ModelingState(State):
    """Modeling, from the MFF to the model folder."""

    request: ModelingRequest
    mff_sha256: str = ""
    earlier_path: str = ""
    spec_path: str = ""
    model_path: str = ""
    reused: bool = False
    fit_verdict: str = ""
    refresh_path: str = ""
    no_refresh: str = ""


class WhatifState(State):
    """What-If, from the model folder to the answer."""

    request: WhatifRequest
    mff_sha256: str = ""
    interpretation_path: str = ""
    scenarios_path: str = ""
    optimization_path: str = ""
    no_allocation: str = ""


class TrackState(State):
    """Track, from what came to the scores."""

    request: TrackRequest
    model_path: str = ""
    passed_path: str = ""
    actuals_path: str = ""
    forecast_path: str = ""
    plans_path: str = ""


class AskState(State):
    """A question to the data, from the question to the answer of a program."""

    request: AskRequest
    data_path: str = ""
    columns_path: str = ""
    target: str = ""
    code_path: str = ""
    written_by: str = ""
    run_path: str = ""
    output_paths: dict[str, str] = {}


class PipelineState(State):
    """The four workflows as one run: the ids under which each is kept."""

    request: PipelineRequest
    mff_path: str = ""
    model_path: str = ""
    is_waiting: bool = False
    questions: tuple[str, ...] = ()
    result_paths: dict[str, str] = {}

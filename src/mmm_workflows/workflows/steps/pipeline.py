"""What the pipeline does in each step: each is a whole workflow, kept as a run of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from mmm_workflows.errors import QueryError
from mmm_workflows.records import Decision, Json, RunStatus
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import (
    EdaRequest,
    ModelingRequest,
    PipelineBody,
    ResearchRequest,
    WhatifRequest,
)
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import PipelineState
from mmm_workflows.workflows.words import together

EDA_FIELDS = frozenset(EdaRequest.model_fields)


async def research(state: PipelineState, runtime: Runtime[Context]) -> Update:
    """Plan the data."""
    request = ResearchRequest(
        query=state.request.query,
        target_variable=state.request.target_variable,
        media_channels=state.request.media_channels,
        start_from=state.request.start_from,
    )
    result = await runtime.context.children.run(
        "research", request, runtime.context.speak_as("research")
    )
    return await _keep(state, runtime.context, "research", result)


async def eda(state: PipelineState, runtime: Runtime[Context]) -> Update:
    """Turn the files into MFF."""
    plan = (await asyncio.to_thread(_read, state.result_paths["research"]))["research_plan"]
    asked = state.request.model_dump(include=set(EDA_FIELDS))
    request = EdaRequest.model_validate({**asked, "research_plan": plan})
    result = await runtime.context.children.run("eda", request, runtime.context.speak_as("eda"))
    kept = await _keep(state, runtime.context, "eda", result)
    return {**kept, "mff_path": result["mff_data_path"]}


async def modeling(state: PipelineState, runtime: Runtime[Context]) -> Update:
    """Fit the model."""
    research_result = await asyncio.to_thread(_read, state.result_paths["research"])
    request = ModelingRequest(
        mff_data_path=state.mff_path,
        research_plan=research_result["research_plan"],
        feature_transformations=state.request.feature_transformations,
        margin=state.request.margin,
        start_from=state.request.start_from,
    )
    result = await runtime.context.children.run(
        "modeling", request, runtime.context.speak_as("modeling")
    )
    kept = await _keep(state, runtime.context, "modeling", result)
    return {**kept, "model_path": result["model_artifact_path"]}


async def whatif(state: PipelineState, runtime: Runtime[Context]) -> Update:
    """Answer the question; what it asks back is asked here, one question per execution.

    A question that cannot be answered is refused in its part alone.
    """
    context = runtime.context
    answer: str | None = None
    if state.is_waiting:
        parts = await _so_far(state)
        asked = {"questions": list(state.questions), "generated_by": _written_by(parts)}
        answer = str(interrupt({**asked, **parts}))
    try:
        result = await _answered(state, context, answer)
    except QueryError as error:
        # The plan cannot be carried out; the fit before it stands, and is not lost with it.
        result = await _refused(context, error)
    kept = await _keep(state, context, "whatif", result)
    waits = result["status"] == RunStatus.WAITING
    return {**kept, "is_waiting": waits, "questions": tuple(result["questions"])}


async def _answered(state: PipelineState, context: Context, answer: str | None) -> Json:
    """What-If's result, or its next question."""
    speak = context.speak_as("whatif")
    if answer is not None:
        return await context.children.decide("whatif", answer, speak, asked=state.questions)
    request = WhatifRequest(
        model_artifact_path=state.model_path,
        mff_data_path=state.mff_path,
        user_query=state.request.user_query,
    )
    return await context.children.run("whatif", request, speak)


async def _refused(context: Context, error: QueryError) -> Json:
    decision = Decision(
        project=context.project,
        question="Is the what-if answered?",
        options=("yes", "no"),
        choice="no",
        reason=error.message,
        evidence=error.code,
    )
    await context.record([decision])
    return await context.children.refused("whatif", error, decision)


async def finalize(state: PipelineState, runtime: Runtime[Context]) -> Update:
    """Put the four results into one."""
    parts = await _so_far(state)
    decisions = [decision for part in parts.values() for decision in part["decisions"]]
    body = PipelineBody.model_validate(
        {**parts, "decisions": decisions, "generated_by": _written_by(parts)}
    )
    artifact = await runtime.context.keep_json("pipeline_result", body)
    return {"body_path": artifact.path}


async def _keep(state: PipelineState, context: Context, name: str, result: Json) -> Update:
    content = json.dumps(result, indent=2).encode()
    artifact = await context.keep("child_result", f"{name}.json", content)
    return {"result_paths": {**state.result_paths, name: artifact.path}}


async def _so_far(state: PipelineState) -> Json:
    return {name: await asyncio.to_thread(_read, path) for name, path in state.result_paths.items()}


def _written_by(parts: Json) -> str:
    return together(*(part["generated_by"] for part in parts.values()))


def _read(path: str) -> Json:
    result: Json = json.loads(Path(path).read_bytes())
    return result


def first_state(request: Json) -> PipelineState:
    """The state that a run starts from."""
    return PipelineState.model_validate({"request": request})

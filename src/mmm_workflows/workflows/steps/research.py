"""What Research does in each phase."""

from __future__ import annotations

import asyncio
from pathlib import Path

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.planning import (
    describe_plan,
    find_category,
    propose_plan,
    revise_plan,
)
from mmm_workflows.records import Decision, Json
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import ResearchBody
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import ResearchState

QUESTION = (
    "Is this plan right? Answer yes, or name the target and all channels it should have instead, "
    "such as: revenue by TV, Search and Social."
)
YES = frozenset({"ok", "okay", "yes", "y", "fine", "good", "approve", "approved"})


async def initialize(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Read the category from the question."""
    return {"category": find_category(state.request.query).name}


async def web_search(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Say that no search is made: nothing here may be taken for evidence."""
    decision = Decision(
        project=runtime.context.project,
        question="Is the web searched for evidence?",
        options=("off",),
        choice="off",
        reason="this version plans by rules only",
    )
    await runtime.context.record([decision])
    return {}


async def generate_plan(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Propose the plan and write its choices down."""
    request = state.request
    proposed = propose_plan(
        request.query, target=request.target_variable, channels=request.media_channels
    )
    await runtime.context.record(proposed.decisions)
    artifact = await runtime.context.keep_json("research_plan", proposed.plan)
    return {"plan_path": artifact.path}


async def collect_feedback(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Wait for a person when a review was asked for, until the answer can be read."""
    if not state.request.review:
        return {}
    plan = await asyncio.to_thread(_read, state.plan_path)
    body = _body(state, plan).model_dump(mode="json")
    question = QUESTION
    while True:
        answer = str(interrupt({**body, "questions": [question]}))
        if answer.strip().lower().rstrip(".!") in YES:
            return {}
        revised = revise_plan(plan, answer)
        if revised is not None:
            artifact = await runtime.context.keep_json("research_plan", revised)
            return {"plan_path": artifact.path}
        question = f"{answer!r} names no target and no channel that can be read. {QUESTION}"


async def finalize(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Assemble the result."""
    plan = await asyncio.to_thread(_read, state.plan_path)
    artifact = await runtime.context.keep_json("research_result", _body(state, plan))
    return {"body_path": artifact.path}


def _body(state: ResearchState, plan: ResearchPlan) -> ResearchBody:
    return ResearchBody(
        research_plan=plan,
        sources=(),
        synthesis=describe_plan(plan, state.category),
        web_search="off",
    )


def _read(path: str) -> ResearchPlan:
    return ResearchPlan.model_validate_json(Path(path).read_bytes())


def first_state(request: Json) -> ResearchState:
    """The state that a run starts from."""
    return ResearchState.model_validate({"request": request})

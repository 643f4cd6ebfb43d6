"""What What-If does in each phase."""

from __future__ import annotations

import asyncio
from pathlib import Path

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.dataset import read_mff
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.earlier_answers import ModelUsed, model_used
from mmm_workflows.mmm.facts import whatif_facts
from mmm_workflows.mmm.model_files import ModelFolder, open_model
from mmm_workflows.mmm.optimize import Optimization, optimize
from mmm_workflows.mmm.query import bounds_of, interpret
from mmm_workflows.mmm.questions import Interpretation, QueryKind
from mmm_workflows.mmm.remembered import describe_remembered
from mmm_workflows.mmm.results import FitVerdict
from mmm_workflows.mmm.scenario import ScenarioResult, run_scenario
from mmm_workflows.mmm.sensitivity import sensitivity
from mmm_workflows.mmm.track_record import TrackRecord, record_of
from mmm_workflows.mmm.whatif_advice import (
    FAILED_FIT,
    recommend_allocation,
    recommend_next_unit,
    summarise_optimization,
    summarise_scenarios,
)
from mmm_workflows.mmm.windows import Reference, make_reference
from mmm_workflows.records import Decision, Json
from mmm_workflows.workflows.context import Context, read_kept
from mmm_workflows.workflows.contracts import InterpretationBody, WhatifBody
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import WhatifState
from mmm_workflows.workflows.steps.recalling import recall_earlier


async def load_model(state: WhatifState, runtime: Runtime[Context]) -> Update:
    """Check that the model is whole and was fitted on this MFF."""
    return {"mff_sha256": await asyncio.to_thread(_check, state)}


async def parse_query(state: WhatifState, runtime: Runtime[Context]) -> Update:
    """Read the question; ask back until it can be read. Safe to repeat: it only reads."""
    draws = await asyncio.to_thread(_draws, state)
    question = state.request.user_query
    while True:
        interpretation = interpret(question, draws)
        if interpretation.kind is not QueryKind.CLARIFY:
            break
        body = WhatifBody(interpretation=_shown(interpretation)).model_dump(mode="json")
        question = str(interrupt({**body, "questions": list(interpretation.questions)}))
    decision = Decision(
        project=runtime.context.project,
        question=f"What does {question!r} ask for?",
        options=tuple(QueryKind),
        choice=interpretation.kind,
        reason=interpretation.echo,
    )
    await runtime.context.record([decision])
    read = interpretation.model_copy(update={"question": question})
    artifact = await runtime.context.keep_json("interpretation", read)
    return {"interpretation_path": artifact.path}


async def run_scenarios(state: WhatifState, runtime: Runtime[Context]) -> Update:
    """Evaluate the plan of the question on the draws; an allocation has none."""
    asked, draws, reference = await asyncio.to_thread(_prepared, state)
    if asked.kind is not QueryKind.SIMULATE:
        return {}
    result = await asyncio.to_thread(
        run_scenario, draws, reference, asked.changes, name="Your scenario"
    )
    artifact = await runtime.context.keep_json("scenario", result)
    return {"scenarios_path": artifact.path}


async def suggest_allocation(state: WhatifState, runtime: Runtime[Context]) -> Update:
    """Find the best allocation of the asked total, or of the scenario's."""
    asked, draws, reference = await asyncio.to_thread(_prepared, state)
    total = asked.total
    if total is None:
        scenario = ScenarioResult.model_validate_json(await read_kept(state.scenarios_path))
        total = sum(scenario.totals.values())
    try:
        found = await asyncio.to_thread(_optimize, asked, draws, reference, total)
    except QueryError as error:
        if asked.kind is QueryKind.OPTIMIZE:
            raise
        # The scenario itself was asked for and stands; only the suggestion has no room.
        return {"no_allocation": error.message}
    artifact = await runtime.context.keep_json("optimization", found)
    return {"optimization_path": artifact.path}


async def summarise(state: WhatifState, runtime: Runtime[Context]) -> Update:
    """Say in sentences what was found, recall what is like it, and assemble the result."""
    asked, draws, reference = await asyncio.to_thread(_prepared, state)
    table = await asyncio.to_thread(sensitivity, draws, reference)
    scenarios: tuple[ScenarioResult, ...] = ()
    if state.scenarios_path:
        scenarios = (ScenarioResult.model_validate_json(await read_kept(state.scenarios_path)),)
    found = None
    if state.optimization_path:
        found = Optimization.model_validate_json(await read_kept(state.optimization_path))
    remembered = await recall_earlier(state, runtime.context)
    caution = await asyncio.to_thread(_caution, state)
    sentences = [*caution, *summarise_scenarios(scenarios)]
    if found is not None:
        sentences.append(summarise_optimization(found))
    record = await _track_record(runtime.context, draws.target)
    sentences.append(record.sentence)
    words = await runtime.context.writer.write(
        "whatif_summary",
        facts=whatif_facts(scenarios, found, table, record, remembered=remembered),
        assembled=sentences,
        values={
            "question": state.request.user_query,
            "remembered": describe_remembered(remembered),
        },
    )
    body = WhatifBody(
        generated_by=words.generated_by,
        figures=words.figures,
        interpretation=_shown(asked),
        model=await asyncio.to_thread(_used, state),
        remembered=remembered,
        scenario_results=scenarios,
        optimization_results=found,
        sensitivity_analysis=table,
        track_record=record,
        recommendations=(
            *(recommend_allocation(found) if found is not None else ()),
            *recommend_next_unit(table),
        ),
        summary=words.text,
        reasons={"optimization_results": state.no_allocation} if state.no_allocation else {},
    )
    artifact = await runtime.context.keep_json("whatif_result", body)
    return {"body_path": artifact.path}


async def _track_record(context: Context, target: str) -> TrackRecord:
    """How earlier forecasts of the project did, to stand beside new advice."""
    tracked = await context.done("track", limit=None)
    return record_of([run.result for run in tracked if run.result is not None], target)


def _check(state: WhatifState) -> str:
    model = _model(state)
    model.verify()
    sha256 = read_mff(Path(state.request.mff_data_path)).sidecar.mff_sha256
    model.check_mff(sha256)
    return sha256


def _model(state: WhatifState) -> ModelFolder:
    return open_model(Path(state.request.model_artifact_path))


def _used(state: WhatifState) -> ModelUsed:
    return model_used(_model(state))


def _draws(state: WhatifState) -> Draws:
    return _model(state).draws()


def _prepared(state: WhatifState) -> tuple[Interpretation, Draws, Reference]:
    asked = Interpretation.model_validate_json(Path(state.interpretation_path).read_bytes())
    draws = _draws(state)
    assert asked.window is not None
    return asked, draws, make_reference(draws, asked.window)


def _optimize(
    asked: Interpretation, draws: Draws, reference: Reference, total: float
) -> Optimization:
    return optimize(draws, reference, total, bounds_of(draws, reference, asked, total))


def _caution(state: WhatifState) -> tuple[str, ...]:
    results = _model(state).results()
    return (FAILED_FIT,) if results.fit_verdict is FitVerdict.FAIL else ()


def _shown(asked: Interpretation) -> InterpretationBody:
    return InterpretationBody(
        kind=asked.kind.value, echo=asked.echo, questions=asked.questions, question=asked.question
    )


def first_state(request: Json) -> WhatifState:
    """The state that a run starts from."""
    return WhatifState.model_validate({"request": request})

"""What Modeling does in each phase."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime

from mmm_workflows.mmm.dataset import Dataset, read_mff
from mmm_workflows.mmm.earlier import EarlierFits
from mmm_workflows.mmm.facts import modeling_facts
from mmm_workflows.mmm.history import describe_history, history_of
from mmm_workflows.mmm.interpretation import interpret
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.plan import read_plan
from mmm_workflows.mmm.refresh_values import Refresh
from mmm_workflows.mmm.spec_builder import SpecProposal
from mmm_workflows.mmm.spec_start import propose_from
from mmm_workflows.ports import FitJob, FitOutcome, FitProgress
from mmm_workflows.records import Decision, Json
from mmm_workflows.workflows.context import Context, Speak
from mmm_workflows.workflows.contracts import ModelingBody
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import ModelingState
from mmm_workflows.workflows.steps.refreshing import compare_with_earlier, find_earlier
from mmm_workflows.workflows.steps.starting import describe_start, record_start

SPEAK_EVERY_S: Final = 0.5


async def initialize(state: ModelingState, runtime: Runtime[Context]) -> Update:
    """Read the MFF, the plan and the earlier fits; what is wrong with the first is said first."""
    read_plan(state.request.research_plan)
    dataset = await asyncio.to_thread(_read, state)
    await record_start(state.request, runtime.context)
    earlier = await find_earlier(runtime.context, dataset, state.request.mff_data_path)
    # Kept, so that a run that goes on does not start from what was fitted meanwhile.
    kept = await runtime.context.keep_json("earlier_fits", earlier)
    return {"mff_sha256": dataset.sidecar.mff_sha256, "earlier_path": kept.path}


async def generate_config(state: ModelingState, runtime: Runtime[Context]) -> Update:
    """Choose the model and write every choice down."""
    proposal = await asyncio.to_thread(_propose, state, runtime.context)
    await runtime.context.record(proposal.decisions)
    spec = await runtime.context.keep_json("model_spec", proposal.spec)
    return {"spec_path": spec.path}


async def fit(state: ModelingState, runtime: Runtime[Context]) -> Update:
    """Fit outside of this process; an equal fit of before is reused."""
    context = runtime.context
    proposal = await asyncio.to_thread(_propose, state, context)
    job = FitJob(
        project=context.project,
        mff_path=Path(state.request.mff_data_path),
        mff_sha256=state.mff_sha256,
        spec=proposal.spec,
        seed=context.seed,
        depth=context.depth,
    )
    outcome = await _fit(context, job, context.speak_as("fit"))
    return {"model_path": str(outcome.folder), "reused": outcome.reused}


async def run_diagnostics(state: ModelingState, runtime: Runtime[Context]) -> Update:
    """Read how the sampler did, and write down whether the fit may be used."""
    model = await asyncio.to_thread(open_model, Path(state.model_path))
    results = model.results()
    diagnostics = results.diagnostics
    decision = Decision(
        project=runtime.context.project,
        question="May this fit be used?",
        options=("pass", "warn", "fail"),
        choice=results.fit_verdict,
        reason="the worst verdict of the diagnostics",
        evidence=(
            f"R-hat {diagnostics.rhat_max:.3f}, bulk ESS {diagnostics.ess_bulk_min:.0f}, "
            f"{diagnostics.divergences} divergences"
        ),
    )
    await runtime.context.record([decision])
    compared = await compare_with_earlier(
        runtime.context, await asyncio.to_thread(_earlier, state), model,
        Path(state.request.mff_data_path), _fit,
    )  # fmt: skip
    found = {"fit_verdict": results.fit_verdict.value}
    if isinstance(compared, str):
        return {**found, "no_refresh": compared}
    kept = await runtime.context.keep_json("refresh", compared)
    return {**found, "refresh_path": kept.path}


async def interpret_results(state: ModelingState, runtime: Runtime[Context]) -> Update:
    """Say in sentences what the fit says, and assemble the result."""
    context = runtime.context
    model = await asyncio.to_thread(open_model, Path(state.model_path))
    results = model.results()
    proposal = await asyncio.to_thread(_propose, state, context)
    earlier = await asyncio.to_thread(_earlier, state)
    spec = model.spec()
    history = history_of(earlier.fits, context.workflow_id, state.model_path, spec, results)
    refresh = await asyncio.to_thread(_refresh, state)
    told = () if refresh is None else (refresh.note,)
    words = await context.writer.write(
        "modeling_summary",
        facts=modeling_facts(results, refresh, history),
        assembled=(*interpret(results), *told, *describe_history(history)),
        values={"target": results.target},
    )
    body = ModelingBody(
        generated_by=words.generated_by,
        figures=words.figures,
        model_artifact_path=state.model_path,
        reused=state.reused,
        model_spec=spec,
        findings=proposal.findings,
        diagnostics=results.diagnostics,
        fit_verdict=results.fit_verdict,
        window=results.window,
        channels=results.channels,
        drivers=results.drivers,
        baseline=results.baseline,
        fit=results.fit,
        history=history,
        refresh=refresh,
        summary=" ".join((*describe_start(state.request), words.text)),
        reasons={} if refresh else {"refresh": state.no_refresh},
    )
    artifact = await context.keep_json("modeling_result", body)
    return {"body_path": artifact.path}


def _read(state: ModelingState) -> Dataset:
    return read_mff(Path(state.request.mff_data_path))


def _earlier(state: ModelingState) -> EarlierFits:
    return EarlierFits.model_validate_json(Path(state.earlier_path).read_bytes())


def _refresh(state: ModelingState) -> Refresh | None:
    if not state.refresh_path:
        return None
    return Refresh.model_validate_json(Path(state.refresh_path).read_bytes())


def _propose(state: ModelingState, context: Context) -> SpecProposal:
    """Pure in the request, the MFF and the kept earlier fits, so steps may repeat it."""
    earlier = _earlier(state)
    if state.request.is_anew:
        earlier = earlier.model_copy(update={"fits": ()})
    return propose_from(
        earlier,
        _read(state),
        read_plan(state.request.research_plan),
        state.request.feature_transformations,
        margin=state.request.margin,
    )


async def _fit(context: Context, job: FitJob, speak: Speak) -> FitOutcome:
    """Fit in words, and note that this run uses the model."""
    async with _spoken(speak) as on_progress:
        outcome = await context.compute.fit(job, on_progress)
    await context.register_model(await asyncio.to_thread(open_model, outcome.folder))
    return outcome


@asynccontextmanager
async def _spoken(speak: Speak) -> AsyncIterator[Callable[[FitProgress], None]]:
    """Speak the latest progress twice a second, whatever the pace at which it comes."""
    latest: list[FitProgress] = []

    async def speak_latest() -> None:
        while True:
            await asyncio.sleep(SPEAK_EVERY_S)
            if latest:
                progress = latest.pop()
                latest.clear()
                await speak(_fraction(progress), _sentence(progress), progress.model_dump())

    speaker = asyncio.create_task(speak_latest())
    try:
        yield latest.append
    finally:
        speaker.cancel()
        await asyncio.gather(speaker, return_exceptions=True)


def _fraction(progress: FitProgress) -> float:
    if not progress.draws_total:
        return 0.0
    return 0.95 * sum(progress.draws_done) / progress.draws_total


def _sentence(progress: FitProgress) -> str:
    if not progress.draws_total:
        return progress.stage
    left = "" if progress.seconds_left is None else f", about {progress.seconds_left:.0f} s left"
    return f"{progress.stage}: {sum(progress.draws_done)} of {progress.draws_total} draws{left}"


def first_state(request: Json) -> ModelingState:
    """The state that a run starts from."""
    return ModelingState.model_validate({"request": request})

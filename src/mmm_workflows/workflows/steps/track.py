"""What Track does in each phase."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime
from pydantic import ValidationError

from mmm_workflows.errors import DatasetError, ModelFileError
from mmm_workflows.mmm.actuals import Actuals, compare_history, read_national
from mmm_workflows.mmm.dataset import table_sha256
from mmm_workflows.mmm.forecast import Forecast, forecast
from mmm_workflows.mmm.model_files import ModelFolder, open_model
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.plan_scores import (
    EarlierPlan,
    other_model,
    plans_of,
    score_plans,
    unreadable,
)
from mmm_workflows.mmm.results import FitVerdict, Value
from mmm_workflows.mmm.scenario import ScenarioResult
from mmm_workflows.mmm.scorecards import NotScored, PassedOver, PeriodScore, PlanScores, Scores
from mmm_workflows.mmm.scores import score, score_periods
from mmm_workflows.mmm.seeds import child_seed
from mmm_workflows.mmm.track_record import (
    assumptions,
    describe_passed,
    describe_track,
    track_facts,
)
from mmm_workflows.records import Decision, Json, Run
from mmm_workflows.workflows.context import Context, read_kept
from mmm_workflows.workflows.contracts import TrackBody, TrackRequest
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import TrackState

FAILED_FIT: Final = "The fit failed its diagnostics, so its scores say little about a sound one."
# What says that the actuals are not of this model, and may be of one before it.
OF_ANOTHER_MODEL: Final = frozenset(
    {"actuals_none", "actuals_unit", "dataset_column_unknown", "dataset_frequency_unknown"}
)


class Passed(Value):
    """The models that were passed over, as the phases hand them on."""

    models: tuple[PassedOver, ...] = ()


class ForecastScores(Value):
    """The scores of a forecast, as the phases hand them on."""

    periods: tuple[PeriodScore, ...]
    scores: Scores


async def find_model(state: TrackState, runtime: Runtime[Context]) -> Update:
    """Take the named model, or the project's newest whose data the actuals go beyond."""
    context, request = runtime.context, state.request
    passed: tuple[PassedOver, ...] = ()
    if request.model_artifact_path is not None:
        path, reason = request.model_artifact_path, "it was named"
    else:
        fits = await context.done("modeling", limit=None)
        path, passed = await asyncio.to_thread(
            _newest_before, _models(fits), request, context.project
        )
        reason = "the newest of the project whose data ends before the actuals do"
    await asyncio.to_thread(_check, path)
    decision = Decision(
        project=context.project, question="Which model's forecast is scored?", options=(),
        choice=path, reason=reason, evidence=" ".join(model.why for model in passed),
    )  # fmt: skip
    await context.record([decision])
    kept = await context.keep_json("models_passed_over", Passed(models=passed))
    return {"model_path": path, "passed_path": kept.path}


async def read_actuals(state: TrackState, runtime: Runtime[Context]) -> Update:
    """Read the periods after the model's data, and whether the file tells the past otherwise."""
    actuals = await asyncio.to_thread(_actuals_of, state)
    artifact = await runtime.context.keep_json("actuals", actuals)
    return {"actuals_path": artifact.path}


async def score_forecast(state: TrackState, runtime: Runtime[Context]) -> Update:
    """Forecast the periods from their real spend and drivers, and score each and all."""
    found = await asyncio.to_thread(_scored, state, runtime.context.seed)
    artifact = await runtime.context.keep_json("forecast_scores", found)
    return {"forecast_path": artifact.path}


async def score_earlier_plans(state: TrackState, runtime: Runtime[Context]) -> Update:
    """Hold the plans of the project's earlier answers against what was spent and what came."""
    context = runtime.context
    answers = await context.done("whatif", limit=None)
    found = await asyncio.to_thread(_scored_plans, state, context.seed, answers)
    artifact = await context.keep_json("plan_scores", found)
    return {"plans_path": artifact.path}


async def summarise(state: TrackState, runtime: Runtime[Context]) -> Update:
    """Say in sentences what was found, and assemble the result."""
    model = await asyncio.to_thread(_model, state)
    spec, actuals = model.spec(), await asyncio.to_thread(_kept_actuals, state)
    found = ForecastScores.model_validate_json(await read_kept(state.forecast_path))
    plans = PlanScores.model_validate_json(await read_kept(state.plans_path))
    results = model.results()
    passed = Passed.model_validate_json(await read_kept(state.passed_path)).models
    caution = (FAILED_FIT,) if results.fit_verdict is FitVerdict.FAIL else ()
    words = await runtime.context.writer.write(
        "track_summary",
        facts=track_facts(found.scores, spec.target, [c.name for c in spec.channels]),
        assembled=(
            *caution,
            *describe_passed(passed),
            *describe_track(found.scores, plans, actuals.restated, actuals.compared, spec.target),
        ),
        values={"target": spec.target},
    )
    body = TrackBody(
        generated_by=words.generated_by,
        figures=words.figures,
        model_artifact_path=state.model_path,
        target=spec.target,
        unit=spec.target_unit,
        model_window=results.window,
        periods=found.periods,
        scores=found.scores,
        plans=plans,
        passed_over=passed,
        actuals_sha256=actuals.sha256,
        compared_periods=actuals.compared,
        restated=actuals.restated,
        findings=actuals.findings,
        assumptions=assumptions(actuals.restated),
        summary=words.text,
    )
    artifact = await runtime.context.keep_json("track_result", body)
    return {"body_path": artifact.path}


def _models(fits: Sequence[Run]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            fit.result["model_artifact_path"]
            for fit in fits
            if fit.result is not None and "model_artifact_path" in fit.result
        )
    )


def _newest_before(
    models: Sequence[str], request: TrackRequest, project: str
) -> tuple[str, tuple[PassedOver, ...]]:
    """The first model that the actuals are of, and why those before it were passed over."""
    refused: dict[str, DatasetError | ModelFileError] = {}
    for path in models:
        try:
            _read_after(open_model(Path(path)), request)
        except ModelFileError as error:
            refused[path] = error
        except DatasetError as error:
            if error.code not in OF_ANOTHER_MODEL:
                raise
            refused[path] = error
        else:
            return path, tuple(
                PassedOver(model_artifact_path=name, code=error.code, why=error.message)
                for name, error in refused.items()
            )
    for newest in refused.values():
        raise newest
    raise ModelFileError(
        f"The project {project!r} has no model whose forecast could be scored. Run Modeling first, "
        "or name a model folder as model_artifact_path.",
        code="model_not_found",
    )


def _check(path: str) -> None:
    model = open_model(Path(path))
    model.verify()
    model.baseline()


def _model(state: TrackState) -> ModelFolder:
    return open_model(Path(state.model_path))


def _actuals_of(state: TrackState) -> Actuals:
    return _read_after(_model(state), state.request)


def _read_after(model: ModelFolder, request: TrackRequest) -> Actuals:
    spec, path = model.spec(), Path(request.actuals)
    frame, findings = read_national(
        path,
        spec,
        date_column=request.date_column,
        geography_column=request.geography_column,
    )
    return compare_history(
        frame, spec, model.draws(), model.baseline(), name=path.name,
        sha256=table_sha256(path), findings=findings,
    )  # fmt: skip


def _kept_actuals(state: TrackState) -> Actuals:
    return Actuals.model_validate_json(Path(state.actuals_path).read_bytes())


def _forecast(state: TrackState, seed: int) -> tuple[ModelFolder, Actuals, Forecast]:
    """Pure in the model, what came and the seed, so phases may repeat it."""
    model, actuals = _model(state), _kept_actuals(state)
    seen = forecast(
        model.spec(), model.draws(), model.baseline(), actuals.later,
        seed=child_seed(seed, "track"),
    )  # fmt: skip
    return model, actuals, seen


def _scored(state: TrackState, seed: int) -> ForecastScores:
    model, actuals, seen = _forecast(state, seed)
    spec = model.spec()
    actual = actuals.later[spec.target].to_numpy()
    periods = score_periods(seen, actual, actuals.dates, spec.target_unit)
    scores = score(
        seen, periods, model.baseline().target, unit=spec.target_unit, frequency=spec.frequency
    )
    return ForecastScores(periods=periods, scores=scores)


def _scored_plans(state: TrackState, seed: int, answers: Sequence[Run]) -> PlanScores:
    model, actuals, seen = _forecast(state, seed)
    read = [_plans(answer) for answer in answers]
    plans = [plan for found in read if not isinstance(found, NotScored) for plan in found]
    lost = [found for found in read if isinstance(found, NotScored)]
    here = model.path.resolve()
    own = [plan for plan in plans if Path(plan.model_path).resolve() == here]
    found = score_plans(own, model.draws(), seen, actuals.later)
    others = tuple(other_model(plan) for plan in plans if plan not in own)
    return found.model_copy(update={"not_scored": (*found.not_scored, *others, *lost)})


def _plans(answer: Run) -> tuple[EarlierPlan, ...] | NotScored:
    if answer.result is None:
        return ()
    try:
        allocation = answer.result["optimization_results"]
        return plans_of(
            answer.workflow_id,
            answer.request["user_query"],
            answer.request["model_artifact_path"],
            [ScenarioResult.model_validate(s) for s in answer.result["scenario_results"]],
            None if allocation is None else Optimization.model_validate(allocation),
        )
    except (KeyError, ValidationError):
        is_scenario = answer.result.get("scenario_results")
        return unreadable(answer.workflow_id, "scenario" if is_scenario else "allocation")


def first_state(request: Json) -> TrackState:
    """The state that a run starts from."""
    return TrackState.model_validate({"request": request})

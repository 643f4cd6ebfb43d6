"""What Modeling takes from the project's earlier fits: a start, a history, and what has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mmm_workflows.errors import FitFailed, ModelFileError
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.earlier import EarlierFits, earlier_fits
from mmm_workflows.mmm.known_again import known_again
from mmm_workflows.mmm.model_files import ModelFolder, open_model
from mmm_workflows.mmm.refresh_causes import Refit
from mmm_workflows.mmm.refresh_models import (
    Pair,
    climb,
    compare_models,
    refits_of,
    with_note,
)
from mmm_workflows.mmm.refresh_values import Refresh
from mmm_workflows.mmm.renames import recorded_renames
from mmm_workflows.mmm.results import FitVerdict
from mmm_workflows.ports import FitJob, FitOutcome
from mmm_workflows.records import Depth, Json
from mmm_workflows.workflows.context import Context, Speak

type Fit = Callable[[Context, FitJob, Speak], Awaitable[FitOutcome]]


async def find_earlier(context: Context, dataset: Dataset, mff_path: str) -> EarlierFits:
    """The fits that the project made of this data or a version of it before, the newest first."""
    fitted, read = await context.done("modeling"), await context.done("eda")

    def find() -> EarlierFits:
        renames = recorded_renames(read, mff_path)
        return known_again(earlier_fits(fitted, dataset, renames.of), dataset)

    return await asyncio.to_thread(find)


async def compare_with_earlier(
    context: Context, earlier: EarlierFits, model: ModelFolder, mff_path: Path, fit: Fit
) -> Refresh | str:
    """This fit against the latest usable one before it, or why there is no comparison.

    At depth full the causes of a change are told apart by refits, each registered with this run.
    """
    if model.results().fit_verdict is FitVerdict.FAIL:
        return "this fit failed its diagnostics, so it is not compared"
    last = earlier.before(str(model.path))
    if last is None:
        return "there is no other usable fit of a version of this data in the project"
    try:
        before = await asyncio.to_thread(_verified, Path(last.model_path))
    except ModelFileError as error:
        return f"the model of run {last.workflow_id} cannot be read any more: {error.message}"
    pair = Pair(last, before, model, mff_path)
    refresh = await asyncio.to_thread(compare_models, pair)
    refits = await asyncio.to_thread(refits_of, pair, refresh, context.depth, context.seed)
    if isinstance(refits, str):
        refresh = refresh.model_copy(update={"not_run": (refits,)})
    elif refits:
        made = await make_refits(
            refits, lambda at, refit: _refit(context, refit, fit, at, len(refits))
        )
        if isinstance(made, str):
            refresh = refresh.model_copy(update={"not_run": (made,)})
        else:
            refresh = await asyncio.to_thread(climb, pair, refresh, made)
    return await asyncio.to_thread(with_note, pair, refresh)


async def make_refits(
    refits: Sequence[Refit], make: Callable[[int, Refit], Awaitable[ModelFolder]]
) -> list[tuple[Refit, ModelFolder]] | str:
    """The refits with their models, or why one could not be made; the run goes on without them."""
    made = []
    for at, refit in enumerate(refits):
        try:
            made.append((refit, await make(at, refit)))
        except FitFailed as error:
            return f"a refit could not be made: {error.message}"
    return made


async def _refit(context: Context, refit: Refit, fit: Fit, at: int, count: int) -> ModelFolder:
    job = FitJob(
        project=context.project,
        mff_path=refit.mff_path,
        mff_sha256=refit.mff_sha256,
        spec=refit.spec,
        seed=refit.seed,
        # Convergence is looked at at any depth; the rest would be looked at for nothing.
        depth=Depth.QUICK,
    )
    speak = context.speak_as("run_diagnostics")

    async def speak_of(fraction: float, message: str, data: Json | None = None) -> None:
        said = f"refit {at + 1} of {count}, {refit.cause.replace('_', ' ')}: {message}"
        await speak((at + fraction) / count, said, data)

    outcome = await fit(context, job, speak_of)
    return await asyncio.to_thread(open_model, outcome.folder)


def _verified(path: Path) -> ModelFolder:
    model = open_model(path)
    model.verify()
    return model

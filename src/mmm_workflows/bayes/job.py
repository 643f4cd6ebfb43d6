"""One fit from the data to the files of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from pymc_marketing.mmm import MMM

from mmm_workflows.bayes.attribute import channel_results, driver_results
from mmm_workflows.bayes.build import build
from mmm_workflows.bayes.decompose import (
    Decomposition,
    baseline_draws,
    decompose,
    media_draws,
)
from mmm_workflows.bayes.diagnose import (
    baseline_check,
    diagnose,
    learning_check,
    residual_check,
    worst,
)
from mmm_workflows.bayes.fit import Emit, sample
from mmm_workflows.bayes.information import information
from mmm_workflows.bayes.inputs import Inputs, make_inputs
from mmm_workflows.bayes.predict import forecast, hold_out
from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import Dataset, read_mff
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import (
    BASELINE,
    DRAWS,
    POSTERIOR,
    RESULTS,
    SPEC,
    write_baseline,
    write_draws,
    write_manifest,
)
from mmm_workflows.mmm.results import (
    Check,
    FloatArray,
    GoodnessOfFit,
    HoldoutFit,
    Information,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.seeds import child_seed
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.ports import FitJob, FitProgress
from mmm_workflows.records import Depth

PACKAGES: Final = (
    "pymc-marketing",
    "pymc",
    "pytensor",
    "nutpie",
    "arviz",
    "numpy",
    "mmm-workflows",
)


def run(job: FitJob, folder: Path, key: str, emit: Emit) -> None:
    """Fit the model and write every file of its folder, the manifest last."""
    dataset = read_mff(job.mff_path)
    if dataset.sidecar.mff_sha256 != job.mff_sha256:
        raise DatasetError(
            f"{job.mff_path.name} is not the MFF that this fit was asked for: it has changed "
            "since. Start Modeling again.",
            code="mff_changed",
        )
    inputs = make_inputs(dataset, job.spec)
    mmm = build(inputs, job.spec)
    idata = sample(
        mmm, inputs, job.spec.sampler, seed=child_seed(job.seed, "fit"), emit=emit, stage="model"
    )
    holdout = None
    if job.depth is Depth.FULL:
        holdout = hold_out(inputs, job.spec, seed=job.seed, emit=emit)
    emit(FitProgress(stage="summarising"))
    draws = media_draws(idata, inputs, job.spec)
    results = summarise_fit(job, idata, inputs, draws, holdout)
    (folder / SPEC).write_text(job.spec.model_dump_json(indent=2), encoding="utf-8")
    (folder / RESULTS).write_text(results.model_dump_json(indent=2), encoding="utf-8")
    write_draws(folder / DRAWS, draws)
    controls = _controls(dataset, job.spec)
    write_baseline(folder / BASELINE, baseline_draws(idata, inputs, job.spec, controls))
    save_posterior(mmm, folder / POSTERIOR)
    write_manifest(
        folder,
        project=job.project,
        key=key,
        mff_sha256=job.mff_sha256,
        seed=job.seed,
        depth=job.depth,
        versions={name: version(name) for name in PACKAGES},
    )


def _controls(dataset: Dataset, spec: ModelSpec) -> FloatArray:
    frame = dataset.national().loc[str(spec.start) : str(spec.end)]
    values: FloatArray = frame[[c.name for c in spec.controls]].to_numpy(np.float64)
    return values


def save_posterior(mmm: MMM, path: Path) -> None:
    """Write the fit so that ``MMM.load`` reads it: parameters, statistics and data."""
    mmm.save(str(path))


def summarise_fit(
    job: FitJob, idata: xr.DataTree, inputs: Inputs, draws: Draws, holdout: HoldoutFit | None
) -> ModelResults:
    """Every reported number of a fit."""
    spec = job.spec
    parts = decompose(idata, inputs, spec)
    learnt: tuple[Information, ...] = ()
    if job.depth is not Depth.QUICK:
        learnt = information(draws, spec, seed=child_seed(job.seed, "prior"))
    extra = _checks(job, parts, inputs, learnt)
    skipped = ("holdout",) if job.depth is Depth.FULL and holdout is None else ()
    diagnostics = diagnose(idata, depth=job.depth, extra=extra, also_not_run=skipped)
    periods = inputs.target.size
    return ModelResults(
        target=spec.target,
        unit=spec.target_unit,
        spend_unit=spec.spend_unit,
        window=Window(start=spec.start, end=spec.end),
        depth=job.depth,
        seed=job.seed,
        diagnostics=diagnostics,
        fit_verdict=worst(diagnostics.checks),
        channels=channel_results(parts, draws, learnt or [None] * len(spec.channels)),
        drivers=driver_results(parts, spec.target_unit),
        baseline=summarise(parts.baseline * periods, spec.target_unit),
        fit=_goodness(job, idata, parts.mean, inputs, holdout),
    )


def _checks(
    job: FitJob, parts: Decomposition, inputs: Inputs, learnt: Sequence[Information]
) -> tuple[Check, ...]:
    if job.depth is Depth.QUICK:
        return ()
    return (
        residual_check(inputs.target - parts.mean.mean(axis=0)),
        baseline_check(parts),
        *map(learning_check, (c.name for c in job.spec.channels), learnt),
    )


def _goodness(
    job: FitJob, idata: xr.DataTree, mean: FloatArray, inputs: Inputs, holdout: HoldoutFit | None
) -> GoodnessOfFit:
    actual = inputs.target
    seen = forecast(
        idata, mean, float(actual.max()), job.spec, seed=child_seed(job.seed, "predictive")
    )
    left = ((actual - mean) ** 2).sum(axis=1)
    r2 = 1 - left / ((actual - actual.mean()) ** 2).sum()
    return GoodnessOfFit(
        r2=summarise(np.asarray(r2), "share"),
        mape=seen.mape(actual),
        coverage=seen.coverage(actual),
        holdout=holdout,
        reasons={} if holdout else {"holdout": _no_holdout(job.depth, job.spec)},
    )


def _no_holdout(depth: Depth, spec: ModelSpec) -> str:
    if depth is Depth.FULL:
        return f"too few {spec.frequency} periods to leave some out"
    return f"not run at depth {depth}"

"""A model of 1,000 draws and 5 channels that nobody fitted, and a run that has one as its result."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from mmm_workflows.config import Settings
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import (
    BASELINE,
    DRAWS,
    POSTERIOR,
    RESULTS,
    SPEC,
    open_model,
    write_baseline,
    write_draws,
    write_manifest,
)
from mmm_workflows.mmm.results import (
    Diagnostics,
    FitVerdict,
    GoodnessOfFit,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.spec import Adstock, ChannelSpec, Frequency, ModelSpec, Saturation
from mmm_workflows.records import DEFAULT_PROJECT, MODEL, Artifact, Depth, Run, RunStatus
from mmm_workflows.workflows.runner import open_runner

DRAW_COUNT: Final = 1000
CHANNELS: Final = ("TV_Spend", "Search_Spend", "Radio_Spend", "Social_Spend", "Print_Spend")
WEEKS: Final = 156
DATES: Final = np.datetime64("2023-01-02", "D") + 7 * np.arange(WEEKS)
START: Final = date(2023, 1, 2)
END: Final = date(2025, 12, 22)
FITTED: Final = "load-fit"


async def prepare(settings: Settings) -> str:
    """Keep the model as that of a run that has succeeded; the run's workflow_id."""
    path = settings.models / DEFAULT_PROJECT / FITTED
    size = _write(path)
    async with open_runner(settings) as runner:
        runs = runner.services.runs
        if await runs.exists(FITTED):
            return FITTED
        run = Run(
            workflow_id=FITTED, workflow="modeling", seed=1, graph_version="load", request={},
            status=RunStatus.SUCCEEDED, progress=1.0, result=_result(path),
        )  # fmt: skip
        await runs.create(run)
        await runs.register_artifact(
            Artifact(
                artifact_id=open_model(path).sha256, kind=MODEL, path=str(path),
                sha256=open_model(path).sha256, size_bytes=size, workflow_id=FITTED,
            )
        )  # fmt: skip
    return FITTED


def make_draws() -> Draws:
    """Draws of a made brand, the same ones each time."""
    random = np.random.default_rng(3)
    shape = (DRAW_COUNT, len(CHANNELS))
    spend = random.gamma(4.0, [5e3, 3e3, 1e3, 2e3, 1.5e3], (WEEKS, len(CHANNELS))).round(2)
    return Draws(
        channels=CHANNELS,
        dates=DATES,
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=1e6,
        alpha=random.beta(4, 6, shape),
        theta=None,
        lam=random.gamma(8, 0.25, shape),
        beta=np.abs(random.normal(0.1, 0.02, shape)),
        adstock=Adstock.GEOMETRIC,
        saturation=Saturation.LOGISTIC,
        l_max=8,
        frequency=Frequency.WEEKLY,
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
    )


def _write(path: Path) -> int:
    path.mkdir(parents=True, exist_ok=True)
    (path / SPEC).write_text(_spec().model_dump_json(), encoding="utf-8")
    (path / RESULTS).write_text(_results().model_dump_json(), encoding="utf-8")
    (path / POSTERIOR).write_bytes(b"nobody opens it")
    write_baseline(path / BASELINE, _baseline())
    write_draws(path / DRAWS, make_draws())
    write_manifest(
        path, project=DEFAULT_PROJECT, key=FITTED, mff_sha256="0" * 64, seed=1,
        depth=Depth.STANDARD, versions={},
    )  # fmt: skip
    return sum(file.stat().st_size for file in path.iterdir())


def _baseline() -> Baseline:
    """A level that neither drivers nor seasons move."""
    return Baseline(
        intercept=np.ones(DRAW_COUNT), drivers=np.zeros((DRAW_COUNT, 1)),
        waves=np.zeros((DRAW_COUNT, 6)), sigma=np.full(DRAW_COUNT, 0.05), nu=None,
        target=np.full(WEEKS, 1e6), controls=np.empty((WEEKS, 0)),
    )  # fmt: skip


def _spec() -> ModelSpec:
    return ModelSpec(
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
        frequency=Frequency.WEEKLY,
        start=START,
        end=END,
        channels=tuple(ChannelSpec(name=name, effect_scale=0.3) for name in CHANNELS),
    )


def _results() -> ModelResults:
    diagnostics = Diagnostics(
        rhat_max=1.0, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=DRAW_COUNT, chains=4,
        checks=(), not_run=(),
    )  # fmt: skip
    return ModelResults(
        target="Revenue",
        unit="EUR",
        spend_unit="EUR",
        window=Window(start=START, end=END),
        depth=Depth.STANDARD,
        seed=1,
        diagnostics=diagnostics,
        fit_verdict=FitVerdict.PASS,
        channels=(),
        drivers=(),
        baseline=summarise(np.full(100, 7e7), "EUR"),
        fit=GoodnessOfFit(
            r2=summarise(np.full(100, 0.8), "share"), mape=0.04, coverage=0.94, holdout=None,
            reasons={"holdout": "not run"},
        ),
    )  # fmt: skip


def _result(path: Path) -> dict[str, object]:
    """A result of the size that a run of Modeling has."""
    estimate = summarise(np.linspace(1.0, 2.0, 1000), "EUR per EUR").model_dump(mode="json")
    names = ("contribution", "share", "roas", "mroas", "cost_per_contribution")
    channels = [
        {"channel": c, "verdict": "act", **{name: estimate for name in names}} for c in CHANNELS
    ]
    return {
        "status": "succeeded", "workflow_id": FITTED, "model_artifact_path": str(path),
        "channels": channels, "interpretation": "Made for a measurement. " * 40,
    }  # fmt: skip

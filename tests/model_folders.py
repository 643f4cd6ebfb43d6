"""Model folders that are made by hand: whole, verified, and fitted by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import (
    BASELINE,
    DRAWS,
    POSTERIOR,
    RESULTS,
    SPEC,
    ModelFolder,
    open_model,
    write_baseline,
    write_draws,
    write_manifest,
)
from mmm_workflows.mmm.results import ModelResults
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.records import Depth


def make_model_folder(
    folder: Path,
    spec: ModelSpec,
    results: ModelResults,
    draws: Draws,
    *,
    mff_sha256: str,
    baseline: Baseline | None = None,
    project: str = "default",
    key: str = "made-by-hand",
    seed: int = 42,
    depth: Depth = Depth.STANDARD,
    versions: Mapping[str, str] | None = None,
) -> ModelFolder:
    """Write a model folder; without a ``baseline`` it is one that no forecast may be asked of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC).write_text(spec.model_dump_json(), encoding="utf-8")
    (folder / RESULTS).write_text(results.model_dump_json(), encoding="utf-8")
    (folder / POSTERIOR).write_bytes(b"nobody opens the posterior")
    write_draws(folder / DRAWS, draws)
    if baseline is None:
        (folder / BASELINE).write_bytes(b"nobody opens the baseline")
    else:
        write_baseline(folder / BASELINE, baseline)
    write_manifest(
        folder, project=project, key=key, mff_sha256=mff_sha256, seed=seed, depth=depth,
        versions=dict(versions or {}),
    )  # fmt: skip
    return open_model(folder)

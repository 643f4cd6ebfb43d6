"""The model folder: spec, manifest, posterior, draws and results, each file with its hash.

spec.json       every choice (spec.ModelSpec)
results.json    every reported number (results.ModelResults)
draws.npz       the media response per draw, for What-If (draws.Draws), float64
baseline.npz    the rest of the fitted mean per draw, for forecasts (baseline.Baseline), float64
posterior.nc    the fit for PyMC-Marketing's ``MMM.load``: parameters, data, and the
                contributions in float32
manifest.json   hashes, versions, seed, depth, the MFF's hash
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mmm_workflows.errors import DatasetError, ModelFileError
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.results import ModelResults
from mmm_workflows.mmm.spec import Adstock, Frequency, ModelSpec, Saturation
from mmm_workflows.records import Depth, now

MODEL_SCHEMA_VERSION: Final = 2
# A folder of this format answers What-If and keeps no baseline, so that it cannot forecast.
WITHOUT_BASELINE: Final = 1
MANIFEST: Final = "manifest.json"
SPEC: Final = "spec.json"
RESULTS: Final = "results.json"
DRAWS: Final = "draws.npz"
BASELINE: Final = "baseline.npz"
POSTERIOR: Final = "posterior.nc"
FILES: Final = (SPEC, RESULTS, DRAWS, BASELINE, POSTERIOR)
DRAW_ARRAYS: Final = ("dates", "spend", "channel_scale", "alpha", "lam", "beta")
BASELINE_ARRAYS: Final = ("intercept", "drivers", "waves", "sigma", "target", "controls")


class Manifest(BaseModel):
    """What a model folder is: where it comes from, and the hash of each of its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = MODEL_SCHEMA_VERSION
    project: str
    key: str
    mff_sha256: str
    seed: int
    depth: Depth
    versions: dict[str, str]
    created_at: datetime
    sha256: dict[str, str]


@dataclass(frozen=True)
class ModelFolder:
    """A model folder whose manifest was read; each file is verified when it is opened."""

    path: Path
    manifest: Manifest

    @property
    def sha256(self) -> str:
        """The hash of the manifest, which holds the hash of every other file."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()

    def spec(self) -> ModelSpec:
        """The choices of the model."""
        return ModelSpec.model_validate_json(self._verified(SPEC))

    def results(self) -> ModelResults:
        """The numbers that the fit reports."""
        return ModelResults.model_validate_json(self._verified(RESULTS))

    def draws(self) -> Draws:
        """The media response per draw."""
        self._verified(DRAWS)
        return read_draws(self.path / DRAWS)

    def baseline(self) -> Baseline:
        """The rest of the fitted mean per draw, and its scatter.

        Raises:
            ModelFileError: The folder is of the format that did not keep it (``model_schema``).
        """
        if self.manifest.schema_version == WITHOUT_BASELINE:
            raise ModelFileError(
                f"The model folder {self.path} has format {WITHOUT_BASELINE}, which keeps no "
                "baseline, so it cannot forecast. Run Modeling again on the same data: it is "
                f"written in format {MODEL_SCHEMA_VERSION} then.",
                code="model_schema",
            )
        self._verified(BASELINE)
        return read_baseline(self.path / BASELINE)

    def verify(self) -> None:
        """Check the hash of every file.

        Raises:
            ModelFileError: A file is missing or has changed (``model_damaged``).
        """
        for name in self.manifest.sha256:
            self._verified(name)

    def check_mff(self, mff_sha256: str) -> None:
        """Refuse another MFF than the one that the model was fitted on.

        Raises:
            DatasetError: It is another one (``mff_not_the_models``).
        """
        if mff_sha256 != self.manifest.mff_sha256:
            raise DatasetError(
                f"This MFF (hash {mff_sha256[:12]}…) is not the one that the model {self.path.name} "
                f"was fitted on (hash {self.manifest.mff_sha256[:12]}…). Use the MFF of that fit, "
                "or fit a model on this one.",
                code="mff_not_the_models",
            )

    def _verified(self, name: str) -> bytes:
        path = self.path / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelFileError(
                f"The model folder {self.path} has no readable file {name}. Fit the model again."
            ) from error
        if hashlib.sha256(content).hexdigest() != self.manifest.sha256.get(name):
            raise ModelFileError(
                f"The file {name} of the model folder {self.path} is not the one that the fit "
                "wrote: its hash differs from the manifest's. Fit the model again."
            )
        return content


def open_model(path: Path) -> ModelFolder:
    """Read the manifest of a model folder.

    Raises:
        ModelFileError: There is no such folder (``model_not_found``), its manifest cannot be read
            (``model_damaged``) or is of another format (``model_schema``).
    """
    manifest_path = path / MANIFEST
    if not path.is_dir():
        raise ModelFileError(
            f"There is no model folder {path}. Run Modeling first; its result names the folder as "
            "model_artifact_path.",
            code="model_not_found",
        )
    if not manifest_path.is_file():
        raise ModelFileError(f"The folder {path} has no {MANIFEST}, so it is no model folder.")
    try:
        raw = json.loads(manifest_path.read_bytes())
        found = raw.get("schema_version") if isinstance(raw, dict) else None
        if not isinstance(found, int) or not WITHOUT_BASELINE <= found <= MODEL_SCHEMA_VERSION:
            raise ModelFileError(
                f"The model folder {path} has format {found}; this version reads formats "
                f"{WITHOUT_BASELINE} to {MODEL_SCHEMA_VERSION}. Fit the model again.",
                code="model_schema",
            )
        manifest = Manifest.model_validate(raw)
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ModelFileError(
            f"The {MANIFEST} of the model folder {path} cannot be read. Fit the model again."
        ) from error
    files = _files_of(manifest.schema_version)
    if set(manifest.sha256) != set(files):
        raise ModelFileError(
            f"The {MANIFEST} of the model folder {path} vouches for "
            f"{', '.join(sorted(manifest.sha256)) or 'nothing'}; a model folder holds "
            f"{', '.join(files)}. Fit the model again."
        )
    return ModelFolder(path, manifest)


def _files_of(schema_version: int) -> tuple[str, ...]:
    if schema_version == WITHOUT_BASELINE:
        return tuple(name for name in FILES if name != BASELINE)
    return FILES


def write_manifest(
    folder: Path, *, project: str, key: str, mff_sha256: str, seed: int, depth: Depth,
    versions: dict[str, str],
) -> None:  # fmt: skip
    """Close a folder that holds every file: hash each and write the manifest, last."""
    manifest = Manifest(
        project=project,
        key=key,
        mff_sha256=mff_sha256,
        seed=seed,
        depth=depth,
        versions=versions,
        created_at=now(),
        sha256={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def publish(partial: Path, final: Path) -> None:
    """Make a finished folder visible by one rename; whoever comes second keeps the first's."""
    try:
        partial.replace(final)
    except OSError:
        open_model(final).verify()
        shutil.rmtree(partial, ignore_errors=True)


def write_draws(path: Path, draws: Draws) -> None:
    """Write the draws without pickle, as ``np.load(allow_pickle=False)`` reads them."""
    arrays = {name: getattr(draws, name) for name in DRAW_ARRAYS}
    if draws.theta is not None:
        arrays["theta"] = draws.theta
    facts = {
        "channels": list(draws.channels),
        "target_scale": draws.target_scale,
        "adstock": draws.adstock,
        "saturation": draws.saturation,
        "l_max": draws.l_max,
        "frequency": draws.frequency,
        "target": draws.target,
        "target_unit": draws.target_unit,
        "target_is_money": draws.target_is_money,
        "spend_unit": draws.spend_unit,
        "margin": draws.margin,
    }
    np.savez_compressed(path, facts=np.array(json.dumps(facts)), **arrays)


def read_draws(path: Path) -> Draws:
    """Read what ``write_draws`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        facts = json.loads(str(stored["facts"]))
        arrays = {name: stored[name] for name in DRAW_ARRAYS}
        theta = stored["theta"] if "theta" in stored.files else None
    return Draws(
        **arrays,
        theta=theta,
        channels=tuple(facts["channels"]),
        target_scale=float(facts["target_scale"]),
        adstock=Adstock(facts["adstock"]),
        saturation=Saturation(facts["saturation"]),
        l_max=int(facts["l_max"]),
        frequency=Frequency(facts["frequency"]),
        target=facts["target"],
        target_unit=facts["target_unit"],
        target_is_money=bool(facts["target_is_money"]),
        spend_unit=facts["spend_unit"],
        margin=facts["margin"],
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the baseline without pickle, as ``np.load(allow_pickle=False)`` reads it."""
    arrays = {name: getattr(baseline, name) for name in BASELINE_ARRAYS}
    if baseline.nu is not None:
        arrays["nu"] = baseline.nu
    np.savez_compressed(path, **arrays)


def read_baseline(path: Path) -> Baseline:
    """Read what ``write_baseline`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in BASELINE_ARRAYS}
        nu = stored["nu"] if "nu" in stored.files else None
    return Baseline(**arrays, nu=nu)

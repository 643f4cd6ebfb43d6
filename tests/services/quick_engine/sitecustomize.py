"""Stands in for the engine, in the child process of a fit that finds this on its PYTHONPATH.

It says how far it is, takes as long as the job's draws say, and leaves a model folder that verifies.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmm_workflows.ports import FitJob, FitProgress

DRAWS_PER_S = 200


def run(job: FitJob, folder: Path, key: str, emit: Callable[[FitProgress], None]) -> None:
    from mmm_workflows.mmm.model_files import FILES, write_manifest
    from mmm_workflows.ports import FitProgress

    sampler = job.spec.sampler
    each = sampler.tune + sampler.draws
    for done in range(0, each + 1, 50):
        chains = (done,) * sampler.chains
        emit(FitProgress(stage="draws", draws_done=chains, draws_total=each * sampler.chains))
        time.sleep(50 / DRAWS_PER_S)
    for name in FILES:
        (folder / name).write_bytes(
            f"{name} by seed {job.seed} of {job.mff_path.stat()[6]}".encode()
        )
    write_manifest(
        folder, project=job.project, key=key, mff_sha256=job.mff_sha256, seed=job.seed,
        depth=job.depth, versions={},
    )  # fmt: skip


engine = ModuleType("mmm_workflows.bayes.job")
engine.run = run
sys.modules[engine.__name__] = engine

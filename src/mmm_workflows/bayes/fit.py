"""Sampling the posterior, with progress that is honest about all chains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import nutpie
import xarray as xr
from pymc.backends.arviz import patch_nutpie_idata
from pymc_marketing.mmm import MMM

from mmm_workflows.bayes.inputs import Inputs
from mmm_workflows.errors import FitFailed
from mmm_workflows.mmm.spec import SamplerSpec
from mmm_workflows.ports import FitProgress

CORES: Final = 2
PROGRESS_EVERY_MS: Final = 250

type Emit = Callable[[FitProgress], None]


def sample(
    mmm: MMM, inputs: Inputs, sampler: SamplerSpec, *, seed: int, emit: Emit, stage: str
) -> xr.DataTree:
    """Draw the posterior of the free parameters and make the model a fitted one.

    ``MMM.fit`` takes no progress callback, so this does what it does: sample a frozen copy, attach
    constant data, fit data and attributes. Contributions are left to ``decompose``: they follow
    from the parameters, and storing them would take 20 times the space.

    Returns:
        The model's inference data, without the draws of the tuning.

    Raises:
        FitFailed: The sampler found no place to start from, or gave up (``fit_failed``).
    """
    names = [rv.name for rv in mmm.model.free_RVs]
    emit(FitProgress(stage=f"{stage}: compiling"))
    compiled = nutpie.compile_pymc_model(
        mmm.model, backend="numba", var_names=names, freeze_model=True
    )
    started = time.monotonic()
    try:
        idata = nutpie.sample(
            compiled,
            draws=sampler.draws,
            tune=sampler.tune,
            chains=sampler.chains,
            cores=CORES,
            seed=seed,
            target_accept=sampler.target_accept,
            save_warmup=False,
            progress_bar=False,
            progress_callback=_Watcher(emit, stage),
            progress_rate=PROGRESS_EVERY_MS,
        )
    except (RuntimeError, ValueError) as error:
        raise FitFailed(
            f"The sampler stopped: {error}. Look for values far from all others in the findings "
            "of EDA, correct them in the source file and run EDA again."
        ) from error
    patch_nutpie_idata(idata, mmm.model, time.monotonic() - started)
    mmm.idata = idata
    mmm.idata["/fit_data"] = mmm.create_fit_data(inputs.table(), inputs.target_series())
    mmm.set_idata_attrs(mmm.idata)
    mmm.is_fitted_ = True
    fitted: xr.DataTree = mmm.idata
    return fitted


class _Watcher:
    """nutpie's progress callback; it is called on a thread of the sampler's."""

    def __init__(self, emit: Emit, stage: str) -> None:
        self._emit = emit
        self._stage = stage
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def __call__(self, chains: Sequence[Any]) -> None:
        done = tuple(int(c.finished_draws) for c in chains)
        total = sum(int(c.total_draws) for c in chains)
        elapsed = time.monotonic() - self._started
        # Over the sum of the chains: with 2 cores the last ones start when the first have ended.
        left = elapsed * (total - sum(done)) / sum(done) if sum(done) else None
        with self._lock:
            self._emit(
                FitProgress(
                    stage=f"{self._stage}: sampling",
                    draws_done=done,
                    draws_total=total,
                    divergences=sum(int(c.divergences) for c in chains),
                    seconds_left=left,
                )
            )

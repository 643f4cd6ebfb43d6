"""Small fits of each carry-over, in a child process as every fit runs, read back from their files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mmm_workflows.mmm.dataset import (
    Dataset,
    Role,
    Sidecar,
    Variable,
    long_table,
    read_mff,
    table_sha256,
    write_mff,
)
from mmm_workflows.mmm.model_files import POSTERIOR, ModelFolder, open_model
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.spec import (
    Adstock,
    ChannelSpec,
    ControlSpec,
    Frequency,
    Likelihood,
    ModelSpec,
    SamplerSpec,
    Saturation,
)
from mmm_workflows.ports import FitJob, FitProgress
from mmm_workflows.records import Depth
from mmm_workflows.tools.compute import LocalCompute

if TYPE_CHECKING:
    from mmm_workflows.bayes.inputs import Inputs

CACHE = Path(__file__).parents[3] / ".cache"
PERIODS = 72
START = "2023-01-02"
PRICE = "Price"
CHANNELS = {"TV": (30_000.0, 1.5), "Search": (12_000.0, 3.0), "Radio/Audio": (8_000.0, 1.0)}
MONEY = Variable(name="Revenue", role=Role.TARGET, unit="EUR", is_money=True, source="made")
COUNTED = Variable(name="Orders", role=Role.TARGET, unit="orders", source="made")
type Make = Callable[..., "Fitted"]


@dataclass(frozen=True)
class Fitted:
    """A model folder with the job that it came from and what was said on the way."""

    folder: ModelFolder
    job: FitJob
    said: tuple[FitProgress, ...]

    @cached_property
    def mmm(self) -> Any:
        """The model as PyMC-Marketing loads it."""
        from pymc_marketing.mmm import MMM

        return MMM.load(str(self.folder.path / POSTERIOR))

    @cached_property
    def inputs(self) -> Inputs:
        """What the fit was fed."""
        from mmm_workflows.bayes.inputs import make_inputs

        return make_inputs(read_mff(self.job.mff_path), self.job.spec)


def make_dataset(
    target: Variable,
    *,
    periods: int = PERIODS,
    late: str | None = None,
    flat: str | None = None,
    seed: int = 4,
) -> Dataset:
    """Weekly spend with pauses, a price, and a target of 1 m that all of them move.

    Args:
        target: What is explained; counted targets are a thousandth as large.
        periods: Number of weeks.
        late: The channel that was launched in the last ten weeks, if there is one.
        flat: The channel that spends the same in every week but for a hair, if there is one.
        seed: Of spend, price and noise.
    """
    random = np.random.default_rng(seed)
    dates = pd.date_range(START, periods=periods, freq="7D", name="Period")
    wide = pd.DataFrame(index=dates)
    total = 1e6 + 5e4 * np.sin(2 * np.pi * dates.day_of_year.to_numpy() / 365.25)
    for name, (level, roas) in CHANNELS.items():
        on = random.random(periods) < 0.75
        spend = np.where(on, random.gamma(3.0, level / 3, periods), 0.0)
        if name == late:
            spend[:-10] = 0.0
        if name == flat:
            spend = level * (1 + 1e-4 * on)
        felt = carry_over(spend / spend.max(), adstock_weights(Adstock.GEOMETRIC, 0.4, 8))
        shape = saturate(Saturation.LOGISTIC, felt, 2.0, 1.0)
        total = total + roas * spend.sum() * shape / shape.sum()
        wide[name] = spend
    wide[PRICE] = random.normal(10, 1, periods)
    total = total - 2e4 * (wide[PRICE].to_numpy() - 10) + random.normal(0, 1.5e4, periods)
    wide[target.name] = total if target.is_money else np.round(total / 1000)
    variables = (
        target,
        *(Variable(name=n, role=Role.CHANNEL, unit="EUR", is_money=True, source="made")
          for n in CHANNELS),
        Variable(name=PRICE, role=Role.CONTROL, unit="EUR", source="made", additivity="mean"),
    )  # fmt: skip
    sidecar = Sidecar(frequency=Frequency.WEEKLY, variables=variables, sources=())
    return Dataset(long_table(wide), sidecar)


def make_spec(dataset: Dataset, **more: object) -> ModelSpec:
    """Three channels and the price, a season and a trend that bends once."""
    frame = dataset.national()
    target = dataset.target
    values = {
        "target": target.name, "target_unit": target.unit, "target_is_money": target.is_money,
        "spend_unit": "EUR", "frequency": Frequency.WEEKLY,
        "start": frame.index[0].date(), "end": frame.index[-1].date(),
        "channels": tuple(ChannelSpec(name=name, effect_scale=0.1) for name in CHANNELS),
        "controls": (ControlSpec(name=PRICE, centre=10, scale=1),),
        "yearly_seasonality": 1, "trend_knots": 1,
        "sampler": SamplerSpec(draws=200, tune=200, chains=2),
    }  # fmt: skip
    return ModelSpec.model_validate(values | more)


@pytest.fixture(scope="session")
def made_spec() -> Callable[..., tuple[Dataset, ModelSpec]]:
    """Made data in money and a spec of it, to be built without a fit."""

    def make(**choices: object) -> tuple[Dataset, ModelSpec]:
        dataset = make_dataset(MONEY)
        return dataset, make_spec(dataset, **choices)

    return make


@pytest.fixture(scope="session")
def make_fit(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Fit a spec on made data; equal jobs are fitted once."""
    home = tmp_path_factory.mktemp("fits")

    def fit(
        target: Variable,
        *,
        depth: Depth,
        late: str | None = None,
        flat: str | None = None,
        **choices: object,
    ) -> Fitted:
        dataset = make_dataset(target, late=late, flat=flat)
        path = write_mff(dataset, home, f"{target.name}_{late}_{flat}".replace("/", "_"))
        job = FitJob(
            project="fits", mff_path=path, mff_sha256=table_sha256(path),
            spec=make_spec(dataset, **choices), seed=7, depth=depth,
        )  # fmt: skip
        said: list[FitProgress] = []
        compute = LocalCompute(home / "models", CACHE, environment=os.environ)
        outcome = asyncio.run(compute.fit(job, said.append))
        return Fitted(open_model(outcome.folder), job, tuple(said))

    return fit


@pytest.fixture(scope="session")
def money_fit(make_fit: Make) -> Fitted:
    """Geometric carry-over, logistic saturation, every part, a margin, every diagnostic."""
    return make_fit(MONEY, depth=Depth.FULL, margin=0.4)


@pytest.fixture(scope="session")
def counted_fit(make_fit: Make) -> Fitted:
    """Delayed carry-over, Michaelis-Menten, a counted target, no control, the least diagnostics."""
    return make_fit(
        COUNTED, depth=Depth.QUICK, adstock=Adstock.DELAYED,
        saturation=Saturation.MICHAELIS_MENTEN, likelihood=Likelihood.STUDENT_T,
        controls=(), yearly_seasonality=0, trend_knots=0, l_max=6,
    )  # fmt: skip

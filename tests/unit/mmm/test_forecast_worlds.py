"""Worlds of known truth, forecast from a posterior that knows their media and learns the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mmm_workflows.mmm.baseline import Baseline, fourier_waves, trend_columns
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.forecast import forecast
from mmm_workflows.mmm.scorecards import Scores, ScoreVerdict
from mmm_workflows.mmm.scores import score, score_periods
from mmm_workflows.mmm.spec import ChannelSpec, ControlSpec, Frequency, ModelSpec
from mmm_workflows.mmm.synthetic import World, recovery_worlds
from mmm_workflows.mmm.worlds import WEEKLY_SAMPLE

type Floats = NDArray[np.float64]

KEPT, DRAWS = 130, 300
CONTROLS = ("Price", "Promotion")


@dataclass(frozen=True)
class Learnt:
    """What is known of a world after 130 of its weeks."""

    spec: ModelSpec
    draws: Draws
    baseline: Baseline
    later: pd.DataFrame

    def scores(self, *, shift: float = 0.0) -> Scores:
        baseline = replace(
            self.baseline, intercept=self.baseline.intercept + shift / self.draws.target_scale
        )
        seen = forecast(self.spec, self.draws, baseline, self.later, seed=1)
        days = tuple(stamp.date() for stamp in self.later.index)
        periods = score_periods(seen, self.later["Revenue"].to_numpy(), days, "EUR")
        return score(seen, periods, baseline.target, unit="EUR", frequency=Frequency.WEEKLY)


def learn(world: World) -> Learnt:
    """The exact posterior of a linear baseline under a flat prior, given the true media."""
    frame = world.frame.set_index("Date")
    past, names = frame.iloc[:KEPT], list(world.truth.channels)
    controls = tuple(
        ControlSpec(name=n, centre=float(past[n].mean()), scale=float(past[n].std(ddof=0)))
        for n in CONTROLS
    )
    spec = ModelSpec(
        target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=Frequency.WEEKLY, start=past.index[0].date(), end=past.index[-1].date(),
        channels=tuple(ChannelSpec(name=n, effect_scale=0.3) for n in names),
        controls=controls, l_max=world.truth.l_max, trend_knots=2, yearly_seasonality=2,
    )  # fmt: skip
    scale = float(past["Revenue"].max())
    drivers = np.hstack([
        np.column_stack([(past[c.name] - c.centre) / c.scale for c in controls]),
        trend_columns(KEPT, spec.trend_knots),
    ])  # fmt: skip
    waves = fourier_waves(pd.DatetimeIndex(past.index), spec.yearly_seasonality)
    design = np.hstack([np.ones((KEPT, 1)), drivers, waves])
    media = world.parts[names].sum(axis=1).to_numpy()[:KEPT]
    coefficients, sigma = _draw(design, (past["Revenue"].to_numpy() - media) / scale)
    known = {
        key: np.tile([getattr(c, key) for c in world.truth.channels.values()], (DRAWS, 1))
        for key in ("alpha", "lam", "beta")
    }
    draws = Draws(
        channels=tuple(names), dates=past.index.to_numpy().astype("datetime64[D]"),
        spend=past[names].to_numpy(),
        channel_scale=np.array([c.channel_scale for c in world.truth.channels.values()]),
        target_scale=scale, alpha=known["alpha"], theta=None, lam=known["lam"],
        beta=known["beta"] / scale, adstock=world.truth.adstock,
        saturation=world.truth.saturation, l_max=world.truth.l_max, frequency=Frequency.WEEKLY,
        target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
    )  # fmt: skip
    end = 1 + drivers.shape[1]
    baseline = Baseline(
        intercept=coefficients[:, 0], drivers=coefficients[:, 1:end], waves=coefficients[:, end:],
        sigma=sigma, nu=None, target=past["Revenue"].to_numpy(),
        controls=past[list(CONTROLS)].to_numpy(),
    )  # fmt: skip
    return Learnt(spec, draws, baseline, frame.iloc[KEPT:])


def _draw(design: Floats, target: Floats) -> tuple[Floats, Floats]:
    random = np.random.default_rng(4)
    best, *_ = np.linalg.lstsq(design, target, rcond=None)
    free = design.shape[0] - design.shape[1]
    left = float(((target - design @ best) ** 2).sum())
    sigma = np.sqrt(left / random.chisquare(free, DRAWS))
    root = np.linalg.cholesky(np.linalg.inv(design.T @ design))
    apart = random.standard_normal((DRAWS, design.shape[1])) @ root.T
    return best + sigma[:, None] * apart, sigma


@pytest.fixture(scope="module")
def worlds() -> list[Learnt]:
    return [learn(world) for world in recovery_worlds(WEEKLY_SAMPLE)]


def test_in_worlds_that_the_model_can_describe_the_intervals_hold(worlds: list[Learnt]) -> None:
    """20 worlds of 26 weeks each; the trend of a world bends where no hinge of the model is."""
    scored = [world.scores() for world in worlds]
    weeks = sum(s.periods for s in scored)
    most = sum(s.coverage_94.inside for s in scored) / weeks
    half = sum(s.coverage_50.inside for s in scored) / weeks
    assert weeks == 20 * 26
    assert abs(most - 0.94) < 0.04, most
    assert abs(half - 0.5) < 0.08, half
    assert sum(s.bias.verdict is ScoreVerdict.FAILS for s in scored) <= 4
    assert all(s.skill.skill is not None and s.skill.skill > 0 for s in scored)


def test_a_baseline_that_is_a_twentieth_too_high_is_caught_in_every_world(
    worlds: list[Learnt],
) -> None:
    for world in worlds:
        found = world.scores(shift=0.05 * float(world.baseline.target.mean())).bias
        assert found.verdict is ScoreVerdict.FAILS
        assert found.share is not None and found.share.hdi_high < 0
        assert "too high" in found.message

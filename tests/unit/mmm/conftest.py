"""Posterior draws as a fit would leave them, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation

CHANNELS = ("TV_Spend", "Digital_Spend", "Search_Spend", "Radio_Spend", "Social_Spend")


def make_draws(
    *,
    count: int = 200,
    periods: int = 156,
    channels: tuple[str, ...] = CHANNELS,
    saturation: Saturation = Saturation.LOGISTIC,
    adstock: Adstock = Adstock.GEOMETRIC,
    target_is_money: bool = True,
    frequency: Frequency = Frequency.WEEKLY,
    margin: float | None = None,
    seed: int = 3,
) -> Draws:
    """Weekly draws from 2023-01-02 on; every channel has spend in most periods."""
    random = np.random.default_rng(seed)
    width = len(channels)
    step = {Frequency.WEEKLY: 7, Frequency.DAILY: 1}.get(frequency)
    if step is None:
        dates = np.arange("2014-01", periods, dtype="datetime64[M]").astype("datetime64[D]")
        dates = (np.datetime64("2014-01") + np.arange(periods)).astype("datetime64[D]")
    else:
        dates = np.datetime64("2023-01-02") + step * np.arange(periods)
    spend = random.gamma(3.0, 1.0, (periods, width)) * np.linspace(5e3, 3e4, width)
    spend *= random.random((periods, width)) < 0.8
    lam = random.gamma(8, 0.25, (count, width))
    return Draws(
        channels=channels,
        dates=dates.astype("datetime64[D]"),
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=1e6,
        alpha=random.beta(4, 6, (count, width)),
        theta=random.uniform(0, 3, (count, width)) if adstock is Adstock.DELAYED else None,
        lam=lam if saturation is Saturation.LOGISTIC else lam / 4,
        beta=np.abs(random.normal(0.1, 0.03, (count, width))),
        adstock=adstock,
        saturation=saturation,
        l_max=8,
        frequency=frequency,
        target="Revenue",
        target_unit="EUR" if target_is_money else "units",
        target_is_money=target_is_money,
        spend_unit="EUR",
        margin=margin,
    )


@pytest.fixture(scope="session")
def draws() -> Draws:
    return make_draws()

"""Worlds with known truth: spend, drivers and a target whose every part is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate, saturate_slope
from mmm_workflows.mmm.results import FloatArray, Window
from mmm_workflows.mmm.seeds import child_seed
from mmm_workflows.mmm.spec import DEFAULT_L_MAX, Adstock, Frequency, Saturation
from mmm_workflows.mmm.worlds import (
    SAMPLE_SEED,
    ChannelPlan,
    ChannelTruth,
    Flighting,
    Range,
    WorldPlan,
    WorldTruth,
)

WEEKS_PER_PERIOD: Final[dict[Frequency, float]] = {
    Frequency.DAILY: 1 / 7,
    Frequency.WEEKLY: 1.0,
    Frequency.MONTHLY: 365.25 / 12 / 7,
}
OFFSETS: Final[dict[Frequency, str]] = {
    Frequency.DAILY: "D",
    Frequency.WEEKLY: "7D",
    Frequency.MONTHLY: "MS",
}
DAYS_PER_YEAR: Final = 365.25
# Weeks on and off of a burst: shortest and longest.
FLIGHT_WEEKS: Final = (3, 6)
PAUSE_WEEKS: Final = (3, 8)
PROMOTION_DEPTHS: Final = (0.1, 0.15, 0.2, 0.25)


@dataclass(frozen=True, kw_only=True)
class World:
    """One world: its table, as a person would have it, and the truth behind it.

    Attributes:
        frame: Date, Geography (of a geo world), target, spends, price and promotion: one row per
            geography and period, money to the cent.
        parts: What each row's target is made of, same rows: baseline, trend, season, price,
            promotion, one column per channel, noise. They add up to the target, to the cent.
    """

    plan: WorldPlan
    seed: int
    frame: pd.DataFrame
    parts: pd.DataFrame
    truth: WorldTruth

    def csv(self) -> bytes:
        """The table as the bytes of a CSV file."""
        text = self.frame.to_csv(
            index=False, float_format="%.2f", date_format="%Y-%m-%d", lineterminator="\n"
        )
        return text.encode()

    def truth_json(self) -> bytes:
        """The truth as the bytes of a JSON file."""
        return (self.truth.model_dump_json(indent=2) + "\n").encode()


def recovery_seeds(count: int = 20) -> tuple[int, ...]:
    """Seeds for worlds to test recovery on; none is the seed of the shipped data."""
    return tuple(child_seed(SAMPLE_SEED, f"recovery {number}") for number in range(count))


def recovery_worlds(plan: WorldPlan, count: int = 20) -> Iterator[World]:
    """Worlds of a family under other seeds: spend, drivers, noise and truth are drawn anew."""
    for seed in recovery_seeds(count):
        yield make_world(plan, seed)


def make_world(plan: WorldPlan, seed: int) -> World:
    """Draw one world of a family; the same plan and seed give the same bytes.

    Every part has its own stream, so that a plan with one channel more has the same price.
    """
    dates = pd.date_range(plan.start, periods=plan.periods, freq=OFFSETS[plan.frequency])
    sizes = _geography_sizes(plan, seed)
    base = plan.base * WEEKS_PER_PERIOD[plan.frequency] * sizes[:, None]  # (G, 1)
    season = _season(plan, dates, seed)
    media = [
        _channel(plan, channel, season=season, sizes=sizes, seed=seed) for channel in plan.channels
    ]
    parts: dict[str, FloatArray] = {"baseline": base * np.ones(plan.periods)}
    parts["trend"] = base * _trend(plan, seed)
    parts["season"] = base * season
    columns: dict[str, FloatArray] = {m.plan.name: m.spend for m in media}
    if plan.price_column is not None:
        price, effect = _price(plan, seed)
        columns[plan.price_column], parts["price"] = np.tile(price, (sizes.size, 1)), base * effect
    if plan.promotion_column is not None:
        depth, effect = _promotion(plan, season, seed)
        columns[plan.promotion_column] = np.tile(depth, (sizes.size, 1))
        parts["promotion"] = base * effect
    parts |= {m.plan.name: m.contribution for m in media}
    noise = _stream(plan, seed, "noise").normal(0.0, plan.noise, (sizes.size, plan.periods))
    parts["noise"] = base * noise
    target = np.round(np.sum(list(parts.values()), axis=0), 2)
    frame = _table(plan, dates, {plan.target: target, **columns})
    truth = _truth(plan, dates, media, parts, seed=seed)
    return World(plan=plan, seed=seed, frame=frame, parts=_table(plan, dates, parts), truth=truth)


@dataclass(frozen=True, kw_only=True)
class _Media:
    """A channel with its parameters; ``spend`` and ``contribution`` have the shape (G, T)."""

    plan: ChannelPlan
    spend: FloatArray
    contribution: FloatArray
    slope: float  # target units per unit of a proportional rise of the spend, summed
    alpha: float
    lam: float
    beta: FloatArray  # (G, 1)
    scale: FloatArray  # (G, 1)


def _channel(
    plan: WorldPlan, channel: ChannelPlan, *, season: FloatArray, sizes: FloatArray, seed: int
) -> _Media:
    spend = _spend(plan, channel, season=season, sizes=sizes, seed=seed)
    rng = _stream(plan, seed, f"{channel.name} response")
    weekly_alpha, lam = rng.uniform(*channel.weekly_alpha), rng.uniform(*channel.lam)
    roas = float(np.exp(rng.uniform(*np.log(channel.roas))))
    alpha = float(weekly_alpha ** WEEKS_PER_PERIOD[plan.frequency])
    scale = spend.max(axis=1, keepdims=True)
    weights = adstock_weights(Adstock.GEOMETRIC, alpha, DEFAULT_L_MAX[plan.frequency])
    felt = carry_over(spend / scale, weights)
    # Regions answer differently: the same shape, another height.
    heights = sizes[:, None] * np.exp(
        rng.normal(0.0, 0.2 if sizes.size > 1 else 0.0, (sizes.size, 1))
    )
    raw = saturate(Saturation.LOGISTIC, felt, lam, heights)
    beta = heights * roas * spend.sum() / raw.sum()
    rise = felt * saturate_slope(Saturation.LOGISTIC, felt, lam, beta)
    return _Media(
        plan=channel,
        spend=spend,
        contribution=saturate(Saturation.LOGISTIC, felt, lam, beta),
        slope=float(rise.sum()),
        alpha=alpha,
        lam=float(lam),
        beta=beta,
        scale=scale,
    )


def _spend(
    plan: WorldPlan, channel: ChannelPlan, *, season: FloatArray, sizes: FloatArray, seed: int
) -> FloatArray:
    """Money per geography and period, to the cent, shape (G, T)."""
    rng = _stream(plan, seed, f"{channel.name} spend")
    weeks = np.arange(plan.periods) * WEEKS_PER_PERIOD[plan.frequency]
    week = np.floor(weeks + 1e-9).astype(np.int64)
    # Campaigns are planned together: one wave lifts all channels a little.
    wave = _wave(_stream(plan, seed, "campaigns"), int(week[-1]) + 1, 0.9, 0.25)
    pattern = _pattern(channel.flighting, rng, int(week[-1]) + 1) * np.exp(wave)
    shape = pattern[week] * (1 + _season_pull(channel.flighting) * season / 0.1)
    per_geo = np.exp(_wave_rows(rng, sizes.size, plan.periods)) if sizes.size > 1 else 1.0
    planned = np.maximum(shape, 0.0) * sizes[:, None] * per_geo
    budget = channel.weekly_spend * np.exp(rng.normal(0.0, 0.08))
    total = budget * WEEKS_PER_PERIOD[plan.frequency] * plan.periods
    return np.asarray(np.round(planned * total / planned.sum(), 2), dtype=np.float64)


def _season_pull(flighting: Flighting) -> float:
    """How much of a season of 10 % of the base the spend follows: search follows demand."""
    return 0.2 if flighting is Flighting.ALWAYS_ON else 0.05


def _pattern(flighting: Flighting, rng: Generator, weeks: int) -> FloatArray:
    """Relative spend per week, not negative, shape (weeks,)."""
    jitter = np.exp(_wave(rng, weeks, 0.5, 0.2))
    if flighting is Flighting.BURSTS:
        return _flights(rng, weeks) * jitter
    if flighting is Flighting.STEPS:
        steps = rng.uniform(0.5, 1.5, weeks // 13 + 1)
        return np.asarray(np.repeat(steps, 13)[:weeks] * jitter, dtype=np.float64)
    if flighting is Flighting.PULSED:
        on = np.repeat(rng.random(weeks // 2 + 1) < 0.65, 2)[:weeks]
        return np.asarray(np.where(on, 1.0, 0.15) * jitter, dtype=np.float64)
    return np.asarray(jitter, dtype=np.float64)


def _flights(rng: Generator, weeks: int) -> FloatArray:
    pattern = np.zeros(weeks)
    week = int(rng.integers(0, PAUSE_WEEKS[1] + 1))
    while week < weeks:
        length = int(rng.integers(FLIGHT_WEEKS[0], FLIGHT_WEEKS[1] + 1))
        pattern[week : week + length] = rng.uniform(0.6, 1.6)
        week += length + int(rng.integers(PAUSE_WEEKS[0], PAUSE_WEEKS[1] + 1))
    # A window shorter than the first pause still has a flight.
    if not pattern.any():
        pattern[weeks // 2 :] = 1.0
    return pattern


def _wave(rng: Generator, length: int, memory: float, sd: float) -> FloatArray:
    """A first-order autoregression around 0 with the standard deviation ``sd``."""
    shocks = rng.normal(0.0, sd * np.sqrt(1 - memory**2), length)
    wave = np.empty(length)
    level = rng.normal(0.0, sd)
    for step in range(length):
        level = memory * level + shocks[step]
        wave[step] = level
    return wave


def _wave_rows(rng: Generator, rows: int, length: int) -> FloatArray:
    return np.stack([_wave(rng, length, 0.8, 0.3) for _ in range(rows)])


def _season(plan: WorldPlan, dates: pd.DatetimeIndex, seed: int) -> FloatArray:
    """Two pairs of yearly waves, and a pattern of the week for daily data; mean near 0."""
    rng = _stream(plan, seed, "season")
    amplitude = rng.uniform(*plan.season)
    phase, second = rng.uniform(-0.6, 0.6), rng.uniform(0, 2 * np.pi)
    angle = 2 * np.pi * dates.day_of_year.to_numpy(np.float64) / DAYS_PER_YEAR
    # The peak of the first wave lies around the turn of the year.
    season = amplitude * (np.cos(angle - phase) + 0.4 * np.cos(2 * angle - second))
    if plan.frequency is Frequency.DAILY:
        days = rng.normal(0.0, 0.06, 7)
        season = season + (days - days.mean())[dates.day_of_week.to_numpy()]
    return np.asarray(season, dtype=np.float64)


def _trend(plan: WorldPlan, seed: int) -> FloatArray:
    """Share of the base above the first period: a line with one bend."""
    rng = _stream(plan, seed, "trend")
    growth, bend, at = rng.uniform(*plan.growth), rng.normal(0.0, 0.04), rng.uniform(0.3, 0.7)
    time = np.linspace(0.0, 1.0, plan.periods)
    return np.asarray(growth * time + bend * np.maximum(time - at, 0.0), dtype=np.float64)


def _price(plan: WorldPlan, seed: int) -> tuple[FloatArray, FloatArray]:
    """Price per period to the cent, and its effect as a share of the base."""
    rng = _stream(plan, seed, "price")
    steps = plan.periods // max(round(13 / WEEKS_PER_PERIOD[plan.frequency]), 1) + 1
    levels = np.repeat(rng.normal(0.0, 0.04, steps), -(-plan.periods // steps))[: plan.periods]
    price = np.round(plan.price * (1 + levels + _wave(rng, plan.periods, 0.6, 0.02)), 2)
    effect = -_draw(rng, plan.elasticity) * (price / price.mean() - 1)
    return np.asarray(price, dtype=np.float64), np.asarray(effect, dtype=np.float64)


def _promotion(plan: WorldPlan, season: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Depth of the promotion per period (0 is none), and its effect as a share of the base."""
    rng = _stream(plan, seed, "promotion")
    chance = np.where(season > 0, 0.25, 0.12)
    depth = np.where(
        rng.random(plan.periods) < chance, rng.choice(PROMOTION_DEPTHS, plan.periods), 0.0
    )
    return depth, np.asarray(_draw(rng, plan.promotion_lift) * depth, dtype=np.float64)


def _geography_sizes(plan: WorldPlan, seed: int) -> FloatArray:
    """Share of the whole per geography, sums to 1, shape (G,); one for a national world."""
    if plan.geographies == 0:
        return np.ones(1)
    sizes = np.exp(_stream(plan, seed, "geographies").normal(0.0, 0.6, plan.geographies))
    return np.asarray(sizes / sizes.sum(), dtype=np.float64)


def _truth(
    plan: WorldPlan,
    dates: pd.DatetimeIndex,
    media: list[_Media],
    parts: dict[str, FloatArray],
    *,
    seed: int,
) -> WorldTruth:
    explained = float(np.sum([values.sum() for name, values in parts.items() if name != "noise"]))
    drivers = [name for name in ("trend", "season", "price", "promotion") if name in parts]
    base = plan.base * WEEKS_PER_PERIOD[plan.frequency] / max(plan.geographies, 1)
    return WorldTruth(
        world=plan.name,
        seed=seed,
        target=plan.target,
        unit=plan.unit,
        frequency=plan.frequency,
        window=Window(start=dates[0].date(), end=dates[-1].date()),
        periods=plan.periods,
        geographies=plan.geographies,
        l_max=DEFAULT_L_MAX[plan.frequency],
        channels={m.plan.name: _channel_truth(m, explained) for m in media},
        baseline=round(float(parts["baseline"].sum()), 2),
        drivers={name: round(float(parts[name].sum()), 2) for name in drivers},
        noise_sd=round(plan.noise * base, 2),
    )


def _channel_truth(media: _Media, explained: float) -> ChannelTruth:
    spend, contribution = float(media.spend.sum()), float(media.contribution.sum())
    return ChannelTruth(
        spend=round(spend, 2),
        contribution=round(contribution, 2),
        share_0_1=round(contribution / explained, 6),
        roas=round(contribution / spend, 6),
        mroas=round(media.slope / spend, 6),
        alpha=round(media.alpha, 6),
        lam=round(media.lam, 6),
        beta=round(float(media.beta.sum()), 2),
        channel_scale=round(float(media.scale.max()), 2),
    )


def _table(
    plan: WorldPlan, dates: pd.DatetimeIndex, columns: dict[str, FloatArray]
) -> pd.DataFrame:
    """One row per geography and period from columns of the shape (G, T)."""
    count = max(plan.geographies, 1)
    index: dict[str, object] = {plan.date_column: np.tile(dates.to_numpy(), count)}
    if plan.geographies:
        names = [f"Region {number:02d}" for number in range(1, count + 1)]
        index["Geography"] = np.repeat(names, plan.periods)
    return pd.DataFrame(index | {name: values.ravel() for name, values in columns.items()})


def _draw(rng: Generator, between: Range) -> float:
    return float(rng.uniform(*between))


def _stream(plan: WorldPlan, seed: int, name: str) -> Generator:
    return np.random.default_rng(child_seed(seed, f"{plan.name}/{name}"))

"""Families of synthetic worlds: what is drawn from which range; a seed picks one of them."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

from pydantic import Field, model_validator

from mmm_workflows.mmm.results import Value, Window
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation

TRUTH_SCHEMA_VERSION: Final = 1

type Range = tuple[float, float]


class Flighting(StrEnum):
    """How a channel's spend is spread over time."""

    BURSTS = "bursts"
    ALWAYS_ON = "always_on"
    STEPS = "steps"
    PULSED = "pulsed"


class ChannelPlan(Value):
    """One channel of a family; parameters are drawn evenly from their ranges.

    Attributes:
        weekly_spend: Mean spend per week over the window, money; a world is some 8 % off it.
        weekly_alpha: Retention from one week to the next; other frequencies get its root or power.
        lam: Of the logistic saturation, on spend divided by its largest value.
        roas: Drawn evenly on the log scale.
    """

    name: str
    flighting: Flighting
    weekly_spend: float = Field(gt=0)
    weekly_alpha: Range = (0.1, 0.5)
    lam: Range = (1.0, 4.0)
    roas: Range = (0.6, 3.8)


class WorldPlan(Value):
    """A family of worlds.

    Attributes:
        base: Mean target per week without media, money, over all geographies.
        season: Amplitude of the yearly season as a share of the base.
        growth: Growth over the whole window as a share of the base.
        elasticity: Per cent of the base lost per per cent of price; used when there is a price.
        promotion_lift: Share of the base gained by a promotion, per unit of its depth.
        noise: Standard deviation of the noise as a share of the base per period.
        geographies: Number of geographies; 0 is a national table without that column.
    """

    name: str
    frequency: Frequency = Frequency.WEEKLY
    start: date
    periods: int = Field(ge=2)
    date_column: str = "Date"
    target: str = "Revenue"
    unit: str = "EUR"
    base: float = Field(gt=0)
    season: Range = (0.06, 0.14)
    growth: Range = (0.02, 0.15)
    price_column: str | None = "Price"
    price: float = Field(default=24.9, gt=0)
    elasticity: Range = (0.8, 1.6)
    promotion_column: str | None = "Promotion"
    promotion_lift: Range = (0.3, 0.8)
    noise: float = Field(default=0.03, ge=0)
    geographies: int = Field(default=0, ge=0)
    channels: tuple[ChannelPlan, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> WorldPlan:
        named = [self.date_column, self.target, *(c.name for c in self.channels)]
        named += [c for c in (self.price_column, self.promotion_column) if c is not None]
        if self.geographies:
            named.append("Geography")
        if len(set(named)) != len(named):
            raise ValueError(f"a column appears twice among {named}")
        return self


class ChannelTruth(Value):
    """What a channel really did over the window, summed over geographies.

    Attributes:
        contribution: Target units against the same world without this channel's spend; what is
            carried over beyond the last period is not counted, as a model cannot see it.
        roas: ``contribution / spend``.
        mroas: Revenue per money of a small proportional rise of the spend in every period.
        alpha: Retention per period.
        lam: On spend divided by ``channel_scale``.
        beta: The most the channel can add per period, in target units; summed over geographies.
        channel_scale: The largest spend per period; in a geo world each geography has its own,
            and this is the largest of them.
    """

    spend: float
    contribution: float
    share_0_1: float
    roas: float
    mroas: float
    alpha: float
    lam: float
    beta: float
    channel_scale: float


class WorldTruth(Value):
    """Every number a model of this world should find; written beside its data.

    Attributes:
        drivers: Target units that the trend, season, price and promotion added over the window,
            against the trend at its start, the season at its mean, the mean price, no promotion.
        noise_sd: Standard deviation of the noise of one period (and geography), target units.
    """

    schema_version: int = TRUTH_SCHEMA_VERSION
    world: str
    seed: int
    target: str
    unit: str
    frequency: Frequency
    window: Window
    periods: int
    geographies: int
    adstock: Adstock = Adstock.GEOMETRIC
    saturation: Saturation = Saturation.LOGISTIC
    l_max: int
    channels: dict[str, ChannelTruth]
    baseline: float
    drivers: dict[str, float]
    noise_sd: float


# Set before the first fit; it is the seed of the data that is shipped, and of nothing else.
SAMPLE_SEED: Final = 20260101

WEEKLY_SAMPLE: Final = WorldPlan(
    name="weekly_sample",
    start=date(2023, 1, 2),
    periods=156,
    base=1_450_000,
    channels=(
        ChannelPlan(
            name="TV_Spend",
            flighting=Flighting.BURSTS,
            weekly_spend=62_000,
            weekly_alpha=(0.4, 0.75),
        ),
        ChannelPlan(
            name="Radio_Spend",
            flighting=Flighting.BURSTS,
            weekly_spend=15_000,
            weekly_alpha=(0.2, 0.5),
        ),
        ChannelPlan(
            name="OOH_Spend",
            flighting=Flighting.BURSTS,
            weekly_spend=21_000,
            weekly_alpha=(0.3, 0.6),
        ),
        ChannelPlan(
            name="Search_Spend",
            flighting=Flighting.ALWAYS_ON,
            weekly_spend=36_000,
            weekly_alpha=(0.02, 0.2),
        ),
        ChannelPlan(
            name="Social_Spend",
            flighting=Flighting.STEPS,
            weekly_spend=28_000,
            weekly_alpha=(0.1, 0.4),
        ),
        ChannelPlan(
            name="Display_Spend",
            flighting=Flighting.PULSED,
            weekly_spend=13_000,
            weekly_alpha=(0.1, 0.4),
        ),
    ),
)

SALES: Final = WorldPlan(
    name="sales",
    start=date(2024, 1, 1),
    periods=104,
    target="Sales",
    base=420_000,
    price_column=None,
    promotion_column=None,
    channels=(
        ChannelPlan(
            name="TV_Spend",
            flighting=Flighting.BURSTS,
            weekly_spend=30_000,
            weekly_alpha=(0.4, 0.75),
        ),
        ChannelPlan(
            name="Digital_Spend",
            flighting=Flighting.STEPS,
            weekly_spend=24_000,
            weekly_alpha=(0.05, 0.3),
        ),
    ),
)

"""The written choice of a model: what is explained, by what, with which priors."""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SPEC_SCHEMA_VERSION: Final = 1


class Frequency(StrEnum):
    """How far apart the periods are."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


PERIODS_PER_YEAR: Final[dict[Frequency, int]] = {
    Frequency.DAILY: 365,
    Frequency.WEEKLY: 52,
    Frequency.MONTHLY: 12,
}
# How long media is allowed to carry over: 8 weeks, in each frequency's periods.
DEFAULT_L_MAX: Final[dict[Frequency, int]] = {
    Frequency.DAILY: 28,
    Frequency.WEEKLY: 8,
    Frequency.MONTHLY: 3,
}


class Adstock(StrEnum):
    """The shape of carry-over; weights are normalised to sum to 1."""

    GEOMETRIC = "geometric"
    DELAYED = "delayed"


class Saturation(StrEnum):
    """The shape of diminishing returns."""

    LOGISTIC = "logistic"
    MICHAELIS_MENTEN = "michaelis_menten"


class ControlTransform(StrEnum):
    """What is done to a control before it is standardised."""

    NONE = "none"
    LOG = "log"
    SQRT = "sqrt"


class Likelihood(StrEnum):
    """How the target scatters around its mean."""

    NORMAL = "normal"
    STUDENT_T = "student_t"


class Choice(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReturnPrior(Choice):
    """What published claims say of a channel's return, before its data is read: a LogNormal.

    Attributes:
        quantity: What the claims speak of; an elasticity was turned into a return.
        median: Target units per unit of spend over all periods of the fit, as ``roas`` is.
        spread: Standard deviation of its logarithm.
        claims: The ids of the claims.
    """

    quantity: Literal["roas", "elasticity"]
    median: float = Field(gt=0)
    spread: float = Field(gt=0)
    claims: tuple[str, ...] = Field(min_length=1)


class ChannelSpec(Choice):
    """One channel with its priors.

    Attributes:
        effect_scale: Prior sd of its coefficient on the scaled target, a HalfNormal; it has no
            say where there is a ``return_prior``.
        alpha_prior: The Beta of its retention per period.
        carry_over_claims: The ids of the claims that ``alpha_prior`` rests on; empty when it is
            the rules' own.
    """

    name: str
    effect_scale: float = Field(gt=0)
    alpha_prior: tuple[float, float] = (2.0, 3.0)
    lam_prior: tuple[float, float] = (4.0, 2.0)
    return_prior: ReturnPrior | None = None
    carry_over_claims: tuple[str, ...] = ()


class ControlSpec(Choice):
    """One control: transformed, centred on ``centre`` and divided by ``scale``."""

    name: str
    transform: ControlTransform = ControlTransform.NONE
    centre: float
    scale: float = Field(gt=0)
    prior_sd: float = Field(default=0.3, gt=0)


class SamplerSpec(Choice):
    """How many draws; the seed belongs to the run, not to the spec."""

    draws: int = Field(default=1000, ge=50)
    tune: int = Field(default=1000, ge=50)
    chains: int = Field(default=4, ge=2)
    target_accept: float = Field(default=0.9, gt=0.5, lt=1)


class ModelSpec(Choice):
    """Everything that decides a posterior but the data and the seed."""

    schema_version: int = SPEC_SCHEMA_VERSION
    target: str
    target_unit: str
    target_is_money: bool
    spend_unit: str
    frequency: Frequency
    start: date
    end: date
    channels: tuple[ChannelSpec, ...] = Field(min_length=1)
    controls: tuple[ControlSpec, ...] = ()
    adstock: Adstock = Adstock.GEOMETRIC
    l_max: int = Field(default=8, ge=1)
    saturation: Saturation = Saturation.LOGISTIC
    trend_knots: int = Field(default=0, ge=0, description="hinges of the linear trend")
    yearly_seasonality: int = Field(default=3, ge=0, description="pairs of Fourier terms")
    weekday_levels: bool = Field(default=False, description="one level per day of the week")
    likelihood: Likelihood = Likelihood.NORMAL
    margin: float | None = Field(default=None, gt=0, le=1)
    sampler: SamplerSpec = SamplerSpec()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> ModelSpec:
        names = [c.name for c in self.channels] + [c.name for c in self.controls] + [self.target]
        if len(set(names)) != len(names):
            raise ValueError(f"a variable has two roles among {names}")
        return self

    def digest(self) -> str:
        """The hash of every choice, for reuse of a fit."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

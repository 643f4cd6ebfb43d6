"""Numbers with unit and interval: what a fit and a scenario report."""

from __future__ import annotations

import math
from datetime import date
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mmm_workflows.records import Depth

HDI_PROB: Final = 0.94
RESULTS_SCHEMA_VERSION: Final = 1
# The names of the checks of ``Information`` begin with this.
LEARNING: Final = "prior to posterior: "
# A posterior this wide, as a share of the prior's width, has learnt next to nothing.
PRIOR_DECIDES_WIDTH: Final = 0.8

type FloatArray = NDArray[np.float64]


class Value(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Value):
    """A posterior summary: never a point without its interval and unit."""

    mean: float
    median: float
    hdi_low: float
    hdi_high: float
    hdi_prob: float = HDI_PROB
    unit: str


def hdi(draws: FloatArray, prob: float = HDI_PROB) -> tuple[float, float]:
    """The narrowest interval that holds ``prob`` of the draws.

    Args:
        draws: One value per draw, any shape; read flat.
        prob: Share of the draws to hold, between 0 and 1.

    Returns:
        Its lower and upper end, in the unit of the draws.
    """
    ordered = np.sort(np.ravel(draws))
    held = int(np.floor(prob * ordered.size))
    widths = ordered[held:] - ordered[: ordered.size - held]
    start = int(np.argmin(widths))
    return float(ordered[start]), float(ordered[start + held])


def summarise(draws: FloatArray, unit: str, prob: float = HDI_PROB) -> Estimate:
    """Summarise values that were computed per draw; summarise last, never a ratio of means."""
    flat = np.ravel(np.asarray(draws, dtype=np.float64))
    low, high = hdi(flat, prob)
    return Estimate(
        mean=float(flat.mean()),
        median=float(np.median(flat)),
        hdi_low=low,
        hdi_high=high,
        hdi_prob=prob,
        unit=unit,
    )


class Amount(Value):
    """An observed sum: exact, so without an interval."""

    value: float
    unit: str


class Window(Value):
    """Periods whose start lies in it; ``end`` is the start of its last period."""

    start: date
    end: date


class FitVerdict(StrEnum):
    """Whether the posterior can be read."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


class Check(Value):
    """One diagnostic: what was measured, against what, and what follows."""

    name: str
    value: float
    threshold: float | None = None
    verdict: FitVerdict
    message: str


class Diagnostics(Value):
    """How the sampler did, and which checks ran at this depth."""

    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    divergences: int
    draws: int
    chains: int
    checks: tuple[Check, ...]
    not_run: tuple[str, ...]


class Information(Value):
    """How much of what is said of a channel's return came from the data, how much from its prior.

    Attributes:
        prior: What the prior says before the data is read: of the return where the target is
            money, else of the contribution.
        data_share: 1 less the posterior variance over the prior variance, on the scale on which
            the prior is a standard normal; between 0 and 1.
        prior_share: ``1 - data_share``.
        sources: The ids of the claims that the prior of the return rests on; empty when the
            rules chose it.
        carry_over_sources: The ids of the claims that the prior of the carry-over rests on.
    """

    prior: Estimate
    data_share: float
    prior_share: float
    sources: tuple[str, ...] = ()
    carry_over_sources: tuple[str, ...] = ()

    @property
    def width(self) -> float:
        """The posterior's standard deviation over the prior's, on that scale; at most 1."""
        return math.sqrt(self.prior_share)

    @property
    def prior_decides(self) -> bool:
        """Whether the posterior is nearly as wide as the prior."""
        return self.width > PRIOR_DECIDES_WIDTH


class ChannelResult(Value):
    """What one channel did in the window; a null field has its reason in ``reasons``."""

    channel: str
    spend: Amount
    contribution: Estimate
    share: Estimate
    roas: Estimate | None
    roi: Estimate | None
    cost_per_contribution: Estimate | None
    mroas: Estimate | None
    information: Information | None = None
    verdict: str | None
    reasons: dict[str, str]


class DriverResult(Value):
    """What a control, the trend or the season added to the target in the window."""

    name: str
    contribution: Estimate


class HoldoutFit(Value):
    """How the last periods were forecast by a fit that had not seen them."""

    window: Window
    mape: float
    coverage: float
    hdi_prob: float = HDI_PROB
    naive_mape: float


class GoodnessOfFit(Value):
    """How the fitted mean follows the target; in-sample unless ``holdout`` says otherwise."""

    r2: Estimate
    mape: float
    coverage: float
    hdi_prob: float = HDI_PROB
    holdout: HoldoutFit | None
    reasons: dict[str, str]


class ModelResults(Value):
    """All that a fit reports; ``results.json`` of the model folder.

    Contributions of channels, ``drivers`` and ``baseline`` add up to the fitted mean, draw by
    draw; the baseline is the target with every channel and driver at its reference.
    """

    schema_version: int = RESULTS_SCHEMA_VERSION
    target: str
    unit: str
    spend_unit: str
    window: Window
    depth: Depth
    seed: int
    diagnostics: Diagnostics
    fit_verdict: FitVerdict
    channels: tuple[ChannelResult, ...]
    drivers: tuple[DriverResult, ...]
    baseline: Estimate
    fit: GoodnessOfFit

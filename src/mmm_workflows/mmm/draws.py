"""Posterior draws of the media response: what What-If needs of a fit, in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmm_workflows.mmm.response import adstock_weights
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation


@dataclass(frozen=True, kw_only=True)
class Draws:
    """One media response per posterior draw, with the history it was fitted on.

    S draws, T periods, C channels. ``spend`` is money per period in the file's unit;
    ``alpha``, ``theta``, ``lam`` and ``beta`` live on the scale of spend / ``channel_scale`` and
    target / ``target_scale``, as PyMC-Marketing fits them. Channel c's contribution per period is
    ``target_scale * saturate(carry_over(spend[:, c] / channel_scale[c], weights), lam, beta)``.

    Attributes:
        dates: Start of each period, ``(T,)`` datetime64[D], ascending.
        theta: Periods to the peak of a delayed adstock, ``(S, C)``; None for the geometric.
    """

    channels: tuple[str, ...]
    dates: NDArray[np.datetime64]
    spend: FloatArray  # (T, C)
    channel_scale: FloatArray  # (C,)
    target_scale: float
    alpha: FloatArray  # (S, C)
    theta: FloatArray | None  # (S, C)
    lam: FloatArray  # (S, C)
    beta: FloatArray  # (S, C)
    adstock: Adstock
    saturation: Saturation
    l_max: int
    frequency: Frequency
    target: str
    target_unit: str
    target_is_money: bool
    spend_unit: str
    margin: float | None = None

    @cached_property
    def weights(self) -> tuple[FloatArray, ...]:
        """Of each channel the weights of its carry-over per draw, ``(S, l_max)``."""
        kinds = (None,) * len(self.channels) if self.theta is None else self.theta.T
        return tuple(
            adstock_weights(self.adstock, alpha, self.l_max, theta)
            for alpha, theta in zip(self.alpha.T, kinds, strict=True)
        )

    @property
    def count(self) -> int:
        """The number of draws, S."""
        return int(self.alpha.shape[0])

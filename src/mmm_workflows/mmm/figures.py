"""How a number is written for a reader: one way for the terminal, the pages and the sentences."""

from __future__ import annotations

import math
from typing import Literal

from mmm_workflows.mmm.results import Estimate

_STEPS = ((1e9, "bn"), (1e6, "m"), (1e3, "k"))


def figure(value: float) -> str:
    """A number with three significant digits: 0.0123, 1.23, 12.3, 1.23k, 4.56m."""
    if not math.isfinite(value):
        return str(value)
    for size, suffix in _STEPS:
        # 999.6 would be written as 1,000 with three digits, so it belongs to the next step.
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{suffix}"
    return _three_digits(value)


def money(value: float, unit: str) -> str:
    """An amount with its unit: ``1.23m EUR``."""
    return f"{figure(value)} {unit}"


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage with three significant digits."""
    return f"{_three_digits(100 * share)} %"


def probability(value: float) -> str:
    """A probability as a percentage; draws cannot tell one beyond 99.9 % from certainty."""
    if value > 0.999:
        return "more than 99.9 %"
    if value < 0.001:
        return "less than 0.1 %"
    return percent(value)


def interval(estimate: Estimate, *, point: Literal["mean", "median"] = "mean") -> str:
    """An estimate with its interval: ``1.23 [0.98, 1.51]``; the unit and probability stand apart.

    The median is for what is divided by an effect: near an effect of zero its mean has no limit.
    """
    low, high = figure(estimate.hdi_low), figure(estimate.hdi_high)
    return f"{figure(getattr(estimate, point))} [{low}, {high}]"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

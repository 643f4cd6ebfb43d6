"""Claims as numbers that can be compared: what unit, period and net return mean, made explicit."""

from __future__ import annotations

import math
from typing import Final, Literal

from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.readings import Kpi, Unit
from mmm_workflows.mmm.results import Value

type Quantity = Literal["roas", "elasticity", "carry_over"]

WEEKS: Final = {Unit.DAYS: 1 / 7, Unit.WEEKS: 1.0, Unit.MONTHS: 365.25 / 12 / 7}
# Outside of these a figure was misread or means something else.
ROAS_RANGE: Final = (0.01, 100.0)
ELASTICITY_RANGE: Final = (0.0001, 2.0)
CARRY_OVER_RANGE: Final = (0.001, 0.999)
_RANGES: Final[dict[Quantity, tuple[float, float]]] = {
    "roas": ROAS_RANGE,
    "elasticity": ELASTICITY_RANGE,
    "carry_over": CARRY_OVER_RANGE,
}


class Plain(Value):
    """A claim as a plain quantity; ``low`` and ``high`` are equal where it gives one figure.

    Attributes:
        converted: How the figure was turned into the quantity; empty when it was not.
    """

    quantity: Quantity
    low: float
    high: float
    converted: str = ""


def plain(claim: Claim) -> Plain | str:
    """A claim's figure as ROAS, elasticity or weekly carry-over; else why it cannot be one."""
    made = converted(claim)
    if isinstance(made, str):
        return made
    least, most = _RANGES[made.quantity]
    if not least <= made.low <= made.high <= most:
        return f"{made.low:.3g} to {made.high:.3g} is no usual {made.quantity.replace('_', '-')}"
    return made


def converted(claim: Claim) -> Plain | str:
    """As ``plain``, also for a figure that is no usual one, such as a negative elasticity."""
    if claim.value is None:
        return f"a claim about {claim.kpi.replace('_', '-')} without a figure gives no prior"
    low, high = claim.value, claim.value if claim.value_to is None else claim.value_to
    match claim.kpi:
        case Kpi.ROAS | Kpi.ROI:
            return _roas(claim, low, high)
        case Kpi.ELASTICITY:
            return Plain(quantity="elasticity", low=low, high=high)
        case Kpi.CARRY_OVER:
            return _carry_over(claim, low, high)
        case Kpi.HALF_LIFE:
            return _half_life(claim, low, high)
        case _:
            return f"a {claim.kpi} is no quantity that a prior is put on"


def _roas(claim: Claim, low: float, high: float) -> Plain | str:
    if claim.is_profit:
        return "a return in profit is no revenue per spend while the margin is not known"
    steps = []
    if claim.unit is Unit.PERCENT:
        low, high = low / 100, high / 100
        steps.append("percent by 100")
    if claim.kpi is Kpi.ROI:
        if not claim.is_net:
            return "the source does not say whether its ROI is net of the spend"
        low, high = low + 1, high + 1
        steps.append("ROAS = net ROI + 1")
    elif claim.is_net:
        return "a ROAS that is called net may be a net return, which is one less"
    return Plain(quantity="roas", low=low, high=high, converted=", ".join(steps))


def _carry_over(claim: Claim, low: float, high: float) -> Plain | str:
    if claim.per not in WEEKS:
        return "the source does not say for which period its carry-over is"
    steps = []
    if claim.unit is Unit.PERCENT:
        low, high = low / 100, high / 100
        steps.append("percent by 100")
    if claim.per is not Unit.WEEKS:
        low, high = (a ** (1 / WEEKS[claim.per]) for a in (low, high))
        steps.append(f"per {claim.per} to per week as alpha ** (1 / {WEEKS[claim.per]:.3g})")
    return Plain(quantity="carry_over", low=low, high=high, converted=", ".join(steps))


def _half_life(claim: Claim, low: float, high: float) -> Plain | str:
    if claim.unit not in WEEKS or low <= 0:
        return "a half-life needs a time above 0"
    low, high = (0.5 ** (1 / (h * WEEKS[claim.unit])) for h in (low, high))
    return Plain(
        quantity="carry_over",
        low=low,
        high=high,
        converted=f"alpha = 0.5 ** (1 / half-life in weeks), from {claim.unit}",
    )


def to_line(quantity: Quantity, value: float) -> float:
    """The value on the scale on which claims are pooled: log, or logit for a carry-over."""
    return math.log(value / (1 - value)) if quantity == "carry_over" else math.log(value)


def from_line(quantity: Quantity, value: float) -> float:
    """The value back from the scale on which claims are pooled."""
    return 1 / (1 + math.exp(-value)) if quantity == "carry_over" else math.exp(value)

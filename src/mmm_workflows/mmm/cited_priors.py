"""What a published figure about a channel becomes in the model's own quantities."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from scipy import optimize, special

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.plan import PlannedPrior
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Frequency, ReturnPrior

# Carry-over is published per week: how many weeks a period is.
WEEKS_PER_PERIOD: Final[dict[Frequency, float]] = {
    Frequency.DAILY: 1 / 7,
    Frequency.WEEKLY: 1.0,
    Frequency.MONTHLY: 52 / 12,
}
QUANTILES: Final = 4001


def return_prior(
    prior: PlannedPrior,
    quantity: Literal["roas", "elasticity"],
    *,
    target_sum: float,
    spend_sum: float,
) -> ReturnPrior:
    """The prior on a channel's return, in target units per unit of its spend.

    A ROAS is one already. An elasticity of e says that the spend's share of the target is about
    e, so that the return is ``e * target_sum / spend_sum``: the average elasticity over the
    periods of the data. Where returns diminish the elasticity at the present spend is below the
    average one, so the median errs on the low side. The spread of a logarithm is the same for both.

    Args:
        prior: On the quantity.
        quantity: What its median is of.
        target_sum: Of the target over all periods, above 0.
        spend_sum: Of the channel over all periods, above 0.
    """
    factor = 1.0 if quantity == "roas" else target_sum / spend_sum
    return ReturnPrior(
        quantity=quantity,
        median=prior.median * factor,
        spread=prior.spread,
        claims=prior.claims,
    )


def retention_prior(prior: PlannedPrior, frequency: Frequency) -> tuple[float, float]:
    """The Beta on retention per period that says what a prior on weekly retention says.

    Weekly retention is logit-normal. Retention over a period of k weeks is its k-th power; the
    Beta has the median and the standard deviation, both on the logit scale, of that power.

    Raises:
        SpecError: The median is no share, or the prior is so wide that its Beta would favour no
            and full retention over all between.
    """
    if not prior.median < 1:
        raise SpecError(
            f"A carry-over of {prior.median:g} is no share that lasts: it must be below 1."
        )
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    weekly = special.logit(prior.median) + prior.spread * special.ndtri(levels)
    # In logs, because a daily root of a high retention is 1 to the last digit.
    log_kept = WEEKS_PER_PERIOD[frequency] * special.log_expit(weekly)
    logit = log_kept - np.log(-np.expm1(log_kept))
    shape = _beta(float(np.median(logit)), float(logit.std()))
    if max(shape) < 1:
        raise SpecError(
            f"A spread of {prior.spread:g} on the logit scale says less than knowing nothing."
        )
    return shape


def _beta(median: float, spread: float) -> tuple[float, float]:
    """The Beta with this median and standard deviation on the logit scale.

    The variance of a Beta's logit is the sum of the trigammas of its two parameters.
    """

    def missed(logs: FloatArray) -> list[float]:
        a, b = np.exp(logs)
        # The smaller tail, so that a median next to 1 keeps its digits.
        middle = special.logit(special.betaincinv(a, b, 0.5))
        width = np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
        return [middle - median, np.log(width / spread)]

    # A Beta with these moments were it normal on the logit scale.
    share = special.expit(median)
    start = np.log([1 / (spread**2 * (1 - share)) + 0.3, 1 / (spread**2 * share) + 0.3])
    found = optimize.root(missed, start, method="hybr", tol=1e-10)
    if not found.success:
        raise SpecError(
            f"No Beta has a median of {share:g} and a spread of {spread:g} on the logit scale."
        )
    a, b = np.exp(found.x)
    return float(a), float(b)

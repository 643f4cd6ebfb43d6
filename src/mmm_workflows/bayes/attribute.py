"""What each channel did: per draw first, summarised last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmm_workflows.bayes.decompose import Decomposition, felt_spend
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.response import saturate_slope
from mmm_workflows.mmm.results import (
    Amount,
    ChannelResult,
    DriverResult,
    Estimate,
    FloatArray,
    Information,
    summarise,
)
from mmm_workflows.records import Depth

NOT_EXAMINED = "not examined: this version has no channel exam"


def channel_results(
    parts: Decomposition, draws: Draws, learnt: Sequence[Information | None]
) -> tuple[ChannelResult, ...]:
    """One result per channel over all periods of the draws, with what was learnt of each.

    Contributions end with the last period: what carries over past it is not counted, as in
    PyMC-Marketing's ``incrementality``. ``share`` is of the fitted mean's sum.
    """
    whole = parts.mean.sum(axis=1)  # (S,)
    return tuple(
        _channel(parts.channels[:, :, c].sum(axis=1), whole, draws, c, information)
        for c, information in enumerate(learnt)
    )


def driver_results(parts: Decomposition, unit: str) -> tuple[DriverResult, ...]:
    """What each control, the trend and the season added over all periods."""
    return tuple(
        DriverResult(name=name, contribution=summarise(values.sum(axis=1), unit))
        for name, values in parts.drivers.items()
    )


def marginal_return(draws: Draws, channel: int) -> FloatArray:
    """Target units of the next unit of money per draw, if each period's spend grew alike.

    The derivative of the contribution by a common factor on the spend, at 1, over the spend.
    """
    felt = felt_spend(draws, channel)
    slope = saturate_slope(
        draws.saturation, felt, draws.lam[:, [channel]], draws.beta[:, [channel]]
    )
    gained = draws.target_scale * (slope * felt).sum(axis=1)
    return np.asarray(gained / draws.spend[:, channel].sum(), dtype=np.float64)


def _channel(
    contribution: FloatArray,
    whole: FloatArray,
    draws: Draws,
    c: int,
    information: Information | None,
) -> ChannelResult:
    spend = float(draws.spend[:, c].sum())
    unit, money = draws.target_unit, draws.spend_unit
    rate = f"{unit} per {money}"
    reasons = {"verdict": NOT_EXAMINED}
    if information is None:
        reasons["information"] = f"not run at depth {Depth.QUICK}"
    roas: Estimate | None = None
    cost: Estimate | None = None
    if draws.target_is_money:
        roas = summarise(contribution / spend, rate)
        reasons["cost_per_contribution"] = "the target is money: see roas"
    else:
        cost = summarise(spend / contribution, f"{money} per {unit}")
        reasons["roas"] = f"the target is counted in {unit}: see cost_per_contribution"
    roi: Estimate | None = None
    if draws.margin is not None:
        roi = summarise((draws.margin * contribution - spend) / spend, f"{money} per {money}")
    else:
        reasons["roi"] = "no margin was given"
    return ChannelResult(
        channel=draws.channels[c],
        spend=Amount(value=spend, unit=money),
        contribution=summarise(contribution, unit),
        share=summarise(contribution / whole, "share"),
        roas=roas,
        roi=roi,
        cost_per_contribution=cost,
        mroas=summarise(marginal_return(draws, c), rate),
        information=information,
        verdict=None,
        reasons=reasons,
    )

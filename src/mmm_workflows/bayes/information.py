"""How much the data told about each channel's return, and how much its prior."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import special

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FloatArray, Information, summarise
from mmm_workflows.mmm.spec import Adstock, ChannelSpec, ModelSpec

PRIOR_DRAWS: Final = 2000
# Enough shapes for the tails of the prior; each is held against every posterior draw.
SHAPES_FOR_TAILS: Final = 500
# Beyond it a probability has no logarithm.
SMALLEST: Final = 1e-300


def information(draws: Draws, spec: ModelSpec, *, seed: int) -> tuple[Information, ...]:
    """What was learnt of each channel, in the order of the spec."""
    # Each channel has its own numbers, so that a prior on one leaves what is said of the others.
    return tuple(
        _learnt(draws, channel, c, np.random.default_rng([seed, c]))
        for c, channel in enumerate(spec.channels)
    )


def data_share(learnt: FloatArray) -> float:
    """The share of the data in what is known, from posterior draws on the prior's normal scale.

    On the scale on which the prior is N(0, 1) the data, were it normal there, would have the
    precision ``1 / variance - 1``; its share of the whole is ``1 - variance``. A posterior wider
    than the prior has learnt nothing: 0.
    """
    return float(np.clip(1 - learnt.var(), 0.0, 1.0))


def cited_scale(returns: FloatArray, median: float, spread: float) -> FloatArray:
    """Returns on the scale on which a LogNormal is N(0, 1)."""
    return np.asarray((np.log(returns) - np.log(median)) / spread, dtype=np.float64)


def own_scale(returns: FloatArray, sizes: FloatArray) -> FloatArray:
    """Returns on the scale on which the rules' prior is N(0, 1): through its distribution function.

    Args:
        returns: Shape ``(S,)``.
        sizes: Scales of the HalfNormal that the return is for a drawn shape each, ``(P,)``; the
            prior is their even mixture.
    """
    ratio = returns[:, None] / (np.sqrt(2) * sizes)
    below = np.clip(special.erf(ratio).mean(axis=1), SMALLEST, 1.0)
    above = np.clip(special.erfc(ratio).mean(axis=1), SMALLEST, 1.0)
    # Each tail by its own small number: 1 less a small one has no digits left.
    scaled = np.where(below < above, special.ndtri(below), -special.ndtri(above))
    return np.asarray(scaled, dtype=np.float64)


def _learnt(
    draws: Draws, channel: ChannelSpec, index: int, random: np.random.Generator
) -> Information:
    spend = float(draws.spend[:, index].sum())
    theta = None if draws.theta is None else draws.theta[:, index]
    shape = _per_size(draws, index, draws.alpha[:, index], theta, draws.lam[:, index])
    returns = shape * draws.beta[:, index]
    cited = channel.return_prior
    if cited is not None:
        prior = cited.median * np.exp(cited.spread * random.standard_normal(PRIOR_DRAWS))
        scaled = cited_scale(returns, cited.median, cited.spread)
    else:
        sizes = channel.effect_scale * _prior_shapes(draws, channel, index, random)
        prior = sizes * np.abs(random.standard_normal(PRIOR_DRAWS))
        scaled = own_scale(returns, sizes[:SHAPES_FOR_TAILS])
    share = data_share(scaled)
    unit, rate = draws.target_unit, f"{draws.target_unit} per {draws.spend_unit}"
    return Information(
        prior=summarise(prior, rate) if draws.target_is_money else summarise(prior * spend, unit),
        data_share=share,
        prior_share=1 - share,
        sources=() if cited is None else cited.claims,
        carry_over_sources=channel.carry_over_claims,
    )


def _prior_shapes(
    draws: Draws, channel: ChannelSpec, index: int, random: np.random.Generator
) -> FloatArray:
    """Returns per unit of the coefficient, with carry-over and saturation from their priors."""
    theta = None
    if draws.adstock is Adstock.DELAYED:
        theta = np.abs(random.normal(0, draws.l_max / 4, PRIOR_DRAWS))
    alpha = random.beta(*channel.alpha_prior, PRIOR_DRAWS)
    lam = random.gamma(channel.lam_prior[0], 1 / channel.lam_prior[1], PRIOR_DRAWS)
    return _per_size(draws, index, alpha, theta, lam)


def _per_size(
    draws: Draws, index: int, alpha: FloatArray, theta: FloatArray | None, lam: FloatArray
) -> FloatArray:
    scaled = draws.spend[:, index] / draws.channel_scale[index]
    weights = adstock_weights(draws.adstock, alpha, draws.l_max, theta)
    felt = carry_over(np.broadcast_to(scaled, (alpha.size, scaled.size)), weights)
    total = saturate(draws.saturation, felt, lam[:, None], 1.0).sum(axis=1)
    return np.asarray(draws.target_scale * total / draws.spend[:, index].sum(), dtype=np.float64)

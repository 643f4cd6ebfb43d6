"""Carry-over and diminishing returns, in numpy: the maths of PyMC-Marketing 1.3 on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Adstock, Saturation


def adstock_weights(
    kind: Adstock, alpha: ArrayLike, l_max: int, theta: ArrayLike | None = None
) -> FloatArray:
    """Weights of the present and the ``l_max - 1`` periods before; they sum to 1.

    Args:
        kind: The shape of the carry-over.
        alpha: Retention per period, 0 to 1, any shape ``(...)``.
        l_max: Number of weights.
        theta: Periods until the peak, for ``Adstock.DELAYED``; same shape as ``alpha``.

    Returns:
        Shape ``(..., l_max)``, index 0 for the present period.
    """
    lags = np.arange(l_max, dtype=np.float64)
    rate = np.asarray(alpha, dtype=np.float64)[..., None]
    exponent = lags
    if kind is Adstock.DELAYED:
        peak = np.zeros_like(rate) if theta is None else np.asarray(theta, np.float64)[..., None]
        distance = (lags - peak) ** 2
        # Counted from the nearest lag: a power of all of it can leave nothing to divide by.
        exponent = distance - distance.min(axis=-1, keepdims=True)
    weights = np.power(rate, exponent)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float64)


def carry_over(spend: ArrayLike, weights: ArrayLike) -> FloatArray:
    """Spend as it is felt: each period's own and what is carried over into it.

    Args:
        spend: Shape ``(..., T)``; nothing was spent before the first period.
        weights: Shape ``(..., L)``, index 0 for the present; leading axes broadcast.

    Returns:
        Shape ``(..., T)``, in the unit of the spend.
    """
    series = np.asarray(spend, dtype=np.float64)
    lags = np.asarray(weights, dtype=np.float64)
    each = np.broadcast_shapes(series.shape[:-1], lags.shape[:-1])
    # Periods first: each step is then over many draws that lie side by side.
    by_period = np.moveaxis(np.broadcast_to(series, (*each, series.shape[-1])), -1, 0)
    by_lag = np.ascontiguousarray(
        np.moveaxis(np.broadcast_to(lags, (*each, lags.shape[-1])), -1, 0)
    )
    felt = np.multiply(by_period, by_lag[0], order="C")
    part = np.empty_like(felt)
    for lag in range(1, min(len(by_lag), len(by_period))):
        felt[lag:] += np.multiply(by_period[:-lag], by_lag[lag], out=part[lag:])
    return np.ascontiguousarray(np.moveaxis(felt, 0, -1))


def saturate(kind: Saturation, felt: ArrayLike, lam: ArrayLike, beta: ArrayLike) -> FloatArray:
    """Contribution on the scaled target of scaled, carried-over spend; arguments broadcast.

    Logistic: ``beta * (1 - exp(-lam x)) / (1 + exp(-lam x))``; Michaelis-Menten:
    ``beta * x / (lam + x)``, whose ``lam`` is the spend at half of ``beta``.
    """
    x = np.asarray(felt, dtype=np.float64)
    shape = np.asarray(lam, dtype=np.float64)
    size = np.asarray(beta, dtype=np.float64)
    if kind is Saturation.LOGISTIC:
        return np.asarray(size * np.tanh(shape * x / 2), dtype=np.float64)
    return np.asarray(size * x / (shape + x), dtype=np.float64)


def saturate_slope(
    kind: Saturation, felt: ArrayLike, lam: ArrayLike, beta: ArrayLike
) -> FloatArray:
    """The derivative of ``saturate`` by the spend that is felt; arguments broadcast."""
    x = np.asarray(felt, dtype=np.float64)
    shape = np.asarray(lam, dtype=np.float64)
    size = np.asarray(beta, dtype=np.float64)
    if kind is Saturation.LOGISTIC:
        return np.asarray(size * shape / 2 * (1 - np.tanh(shape * x / 2) ** 2), dtype=np.float64)
    return np.asarray(size * shape / (shape + x) ** 2, dtype=np.float64)

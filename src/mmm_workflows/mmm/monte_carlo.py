"""How far a mean of posterior draws may be off for no other reason than that the draws are finite."""

from __future__ import annotations

import numpy as np

from mmm_workflows.mmm.results import FloatArray


def effective_size(draws: FloatArray, chains: int) -> float:
    """How many independent draws tell as much of the mean as these do.

    Split chains and Geyer's initial monotone sequence (Vehtari et al., 2021, Bayesian Analysis 16),
    as ArviZ's ``ess(method="mean")``.

    Args:
        draws: One value per draw, chains end to end.
        chains: Of equal length, at least 4 draws each.
    """
    halves = _split(draws, chains)
    length = halves.shape[1]
    covariance = _autocovariance(halves)
    within = float(covariance[:, 0].mean() * length / (length - 1))
    between = float(halves.mean(axis=1).var(ddof=1))
    total = within * (length - 1) / length + between
    if total == 0:
        return float(halves.size)
    correlation = 1 - (within - covariance.mean(axis=0)) / total
    correlation[0] = 1.0
    even = length - length % 2
    pairs = correlation[:even].reshape(-1, 2).sum(axis=1)
    # A pair below zero is noise, and so is one above the pair before it.
    ends = np.flatnonzero(pairs <= 0)
    count = int(ends[0]) if ends.size else pairs.size - 1
    kept = np.minimum.accumulate(pairs[:count])
    # What is left of a pair that was cut makes the sum less uncertain where neighbours alternate.
    rest = max(float(correlation[2 * count]), 0.0)
    time = max(-1 + 2 * float(kept.sum()) + rest, 1 / np.log10(halves.size))
    return float(halves.size / time)


def standard_error(draws: FloatArray, chains: int) -> float:
    """The Monte Carlo standard error of the mean of some draws, in their unit."""
    spread = float(np.std(draws, ddof=1))
    return spread / float(np.sqrt(effective_size(draws, chains)))


def _split(draws: FloatArray, chains: int) -> FloatArray:
    """Each half of each chain as a row; the middle draw of an odd chain is left out."""
    rows = np.asarray(draws, dtype=np.float64).reshape(chains, -1)
    half = rows.shape[1] // 2
    return np.concatenate([rows[:, :half], rows[:, -half:]])


def _autocovariance(rows: FloatArray) -> FloatArray:
    """Per row and lag, divided by the number of draws, as the sequence needs it."""
    length = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    transformed = np.fft.rfft(centred, n=2 * length, axis=1)
    products = np.fft.irfft(np.abs(transformed) ** 2, n=2 * length, axis=1)
    return np.asarray(products[:, :length] / length, dtype=np.float64)

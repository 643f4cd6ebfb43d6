"""The error of a mean of draws: as simulated, and as ArviZ says."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest

from mmm_workflows.mmm.monte_carlo import effective_size, standard_error
from mmm_workflows.mmm.results import FloatArray

CHAINS = 4


def chains(rho: float, length: int, random: np.random.Generator, count: int = CHAINS) -> FloatArray:
    """Normal draws of variance 1 whose neighbours correlate by ``rho``, chains end to end."""
    rows = np.empty((count, length))
    rows[:, 0] = random.normal(size=count)
    for k in range(1, length):
        rows[:, k] = rho * rows[:, k - 1] + np.sqrt(1 - rho**2) * random.normal(size=count)
    return rows.ravel()


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("length", [101, 1000])
def test_it_is_what_arviz_says(rho: float, length: int) -> None:
    draws = chains(rho, length, np.random.default_rng(1))
    rows = draws.reshape(CHAINS, -1)
    assert effective_size(draws, CHAINS) == pytest.approx(
        float(az.ess(rows, method="mean")), rel=0.02
    )
    assert standard_error(draws, CHAINS) == pytest.approx(
        float(az.mcse(rows, method="mean")), rel=0.02
    )


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_means_scatter_by_as_much_as_it_says(rho: float) -> None:
    random = np.random.default_rng(2)
    repeated = [chains(rho, 500, random) for _ in range(400)]
    scatter = np.std([draws.mean() for draws in repeated])
    said = np.mean([standard_error(draws, CHAINS) for draws in repeated])
    # The scatter of 400 means is itself known to 3.5 %; four times that.
    assert said == pytest.approx(scatter, rel=0.14)


def test_chains_that_disagree_tell_little_however_long_they_are() -> None:
    draws = chains(0.0, 1000, np.random.default_rng(3)) + np.repeat([0.0, 0.0, 0.0, 3.0], 1000)
    assert effective_size(draws, CHAINS) < 20

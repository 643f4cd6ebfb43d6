"""Whether the posterior can be read: convergence first, then how the model fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import arviz as az
import xarray as xr

from mmm_workflows.bayes.decompose import Decomposition
from mmm_workflows.mmm.figures import percent, probability
from mmm_workflows.mmm.results import (
    LEARNING,
    PRIOR_DECIDES_WIDTH,
    Check,
    Diagnostics,
    FitVerdict,
    FloatArray,
    Information,
)
from mmm_workflows.records import Depth

RHAT_PASS: Final = 1.01
RHAT_FAIL: Final = 1.05
ESS_PASS: Final = 400.0
ESS_FAIL: Final = 100.0
DIVERGENT_SHARE_FAIL: Final = 0.01
AUTOCORRELATION_WARN: Final = 0.4
NEGATIVE_BASELINE_WARN: Final = 0.05

BY_DEPTH: Final[dict[Depth, tuple[str, ...]]] = {
    Depth.QUICK: ("residual autocorrelation", "negative baseline", "prior to posterior", "holdout"),
    Depth.STANDARD: ("holdout",),
    Depth.FULL: (),
}


def diagnose(
    idata: xr.DataTree, *, depth: Depth, extra: Sequence[Check], also_not_run: Sequence[str] = ()
) -> Diagnostics:
    """R-hat, effective sample sizes and divergences, with the further checks of the depth."""
    summary = az.summary(idata, kind="diagnostics", round_to="none")
    stats = idata["sample_stats"]["diverging"].to_numpy()
    rhat = float(summary["r_hat"].astype(float).max())
    bulk = float(summary["ess_bulk"].astype(float).min())
    tail = float(summary["ess_tail"].astype(float).min())
    divergences = int(stats.sum())
    return Diagnostics(
        rhat_max=rhat,
        ess_bulk_min=bulk,
        ess_tail_min=tail,
        divergences=divergences,
        draws=int(stats.size),
        chains=int(stats.shape[0]),
        checks=(
            _rhat(rhat),
            _ess("bulk ESS", bulk),
            _ess("tail ESS", tail),
            _divergences(divergences, int(stats.size)),
            *extra,
        ),
        not_run=(*BY_DEPTH[depth], *also_not_run),
    )


def worst(checks: Sequence[Check]) -> FitVerdict:
    """The verdict on the fit: that of its worst check."""
    order = (FitVerdict.PASS, FitVerdict.WARN, FitVerdict.FAIL)
    return max((c.verdict for c in checks), key=order.index)


def residual_check(residual: FloatArray) -> Check:
    """Lag-1 autocorrelation of the mean residual: something that moves slowly is missing."""
    centred = residual - residual.mean()
    value = float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
    verdict = FitVerdict.WARN if abs(value) > AUTOCORRELATION_WARN else FitVerdict.PASS
    said = (
        f"Neighbouring residuals correlate by {value:.2f}: a slow driver may be missing, so the "
        "intervals may be too narrow."
        if verdict is FitVerdict.WARN
        else f"Neighbouring residuals correlate by {value:.2f}."
    )
    return Check(
        name="residual autocorrelation",
        value=value,
        threshold=AUTOCORRELATION_WARN,
        verdict=verdict,
        message=said,
    )


def baseline_check(parts: Decomposition) -> Check:
    """Probability that baseline and drivers together are below zero over the window."""
    without_media = (parts.mean - parts.channels.sum(axis=2)).sum(axis=1)
    value = float((without_media < 0).mean())
    verdict = FitVerdict.WARN if value > NEGATIVE_BASELINE_WARN else FitVerdict.PASS
    return Check(
        name="negative baseline",
        value=value,
        threshold=NEGATIVE_BASELINE_WARN,
        verdict=verdict,
        message=f"With probability {probability(value)} media explains more than all of the target.",
    )


def learning_check(channel: str, learnt: Information) -> Check:
    """How far the data narrowed what is said of a channel: the posterior's width over the prior's."""
    claims = f", from {', '.join(learnt.sources)}," if learnt.sources else ""
    said = (
        f"its prior{claims} decides what is said of it"
        if learnt.prior_decides
        else "the data speaks about it"
    )
    return Check(
        name=f"{LEARNING}{channel}",
        value=learnt.width,
        threshold=PRIOR_DECIDES_WIDTH,
        verdict=FitVerdict.WARN if learnt.prior_decides else FitVerdict.PASS,
        message=(
            f"{channel}: the posterior is {percent(learnt.width)} as wide as the prior, so {said}."
        ),
    )


def _rhat(value: float) -> Check:
    verdict = _graded(value <= RHAT_PASS, value <= RHAT_FAIL)
    return Check(
        name="R-hat",
        value=value,
        threshold=RHAT_PASS,
        verdict=verdict,
        message=f"The largest R-hat is {value:.3f}; up to {RHAT_PASS} the chains agree, "
        f"above {RHAT_FAIL} they do not.",
    )


def _ess(name: str, value: float) -> Check:
    return Check(
        name=name,
        value=value,
        threshold=ESS_PASS,
        verdict=_graded(value >= ESS_PASS, value >= ESS_FAIL),
        message=f"The smallest {name} is {value:.0f}; {ESS_PASS:.0f} are enough for intervals.",
    )


def _divergences(count: int, draws: int) -> Check:
    return Check(
        name="divergences",
        value=float(count),
        threshold=0.0,
        verdict=_graded(count == 0, count <= DIVERGENT_SHARE_FAIL * draws),
        message=f"{count} of {draws} draws diverged"
        + ("." if count == 0 else ": part of the posterior may not have been visited."),
    )


def _graded(passes: bool, survives: bool) -> FitVerdict:
    if passes:
        return FitVerdict.PASS
    return FitVerdict.WARN if survives else FitVerdict.FAIL

"""How a forecast did against what came, and how much so few periods can tell of it."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mmm_workflows.mmm.figures import figure, interval, percent
from mmm_workflows.mmm.forecast import Forecast
from mmm_workflows.mmm.results import HDI_PROB, FloatArray, Window, hdi, summarise
from mmm_workflows.mmm.scorecards import (
    MIN_PERIODS,
    Bias,
    Coverage,
    PeriodScore,
    Scores,
    ScoreVerdict,
    Skill,
)
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.windows import PERIOD_WORD, YEAR_BACK

HALF: Final = 0.5


def score_periods(
    forecast: Forecast, actual: FloatArray, dates: tuple[date, ...], unit: str
) -> tuple[PeriodScore, ...]:
    """Each period by itself."""
    chances = pit(forecast, actual)
    low, high = np.quantile(forecast.observed, [0.25, 0.75], axis=0)
    return tuple(
        PeriodScore(
            period=day,
            actual=float(actual[t]),
            predicted=summarise(forecast.observed[:, t], unit),
            half_low=float(low[t]),
            half_high=float(high[t]),
            pit=float(chances[t]),
        )
        for t, day in enumerate(dates)
    )


def score(
    forecast: Forecast,
    periods: tuple[PeriodScore, ...],
    history: FloatArray,
    *,
    unit: str,
    frequency: Frequency,
) -> Scores:
    """All periods together; ``history`` is the target up to the forecast, for the naive one."""
    actual = np.array([p.actual for p in periods])
    correlation = miss_correlation(np.array([p.pit for p in periods]))
    effective = effective_periods(len(periods), correlation)
    word = PERIOD_WORD[frequency]
    half = np.array([(p.half_low, p.half_high) for p in periods])
    most = np.array([(p.predicted.hdi_low, p.predicted.hdi_high) for p in periods])
    return Scores(
        window=Window(start=periods[0].period, end=periods[-1].period),
        unit=unit,
        frequency=frequency,
        periods=len(periods),
        correlation=correlation,
        effective_periods=effective,
        coverage_50=coverage(HALF, half, forecast.observed, actual, word),
        coverage_94=coverage(HDI_PROB, most, forecast.observed, actual, word),
        bias=bias(forecast, actual, unit, word),
        skill=skill(forecast, actual, naive(history, len(periods), frequency), unit),
    )


def pit(forecast: Forecast, actual: FloatArray) -> FloatArray:
    """The forecast's probability of less than what came, per period: exact, without its scatter."""
    off = (actual - forecast.mean) / forecast.scale[:, None]
    nu = forecast.nu
    below = special.ndtr(off) if nu is None else special.stdtr(nu[:, None], off)
    return np.asarray(below.mean(axis=0), dtype=np.float64)


def crps(observed: FloatArray, actual: FloatArray) -> FloatArray:
    """Continuous ranked probability score per period, in target units; ``observed`` is ``(S, W)``.

    The mean distance of the draws from what came, less half their mean distance from each other.
    """
    ordered = np.sort(observed, axis=0)
    count = len(ordered)
    weights = 2 * np.arange(1, count + 1) - count - 1
    apart = (weights @ ordered) / count**2
    return np.asarray(np.abs(observed - actual).mean(axis=0) - apart, dtype=np.float64)


def miss_correlation(chances: FloatArray) -> float | None:
    """Of a period's miss with the next one's, around their mean: a level that is off is no tie."""
    if chances.size < 2:
        return None
    z = special.ndtri(np.clip(chances, 1e-12, 1 - 1e-12))
    return _following(np.asarray(z, dtype=np.float64))


def effective_periods(periods: int, correlation: float | None) -> float:
    """How many independent periods tell about as much; never more than there are."""
    together = min(max(correlation or 0.0, 0.0), 1.0)
    return max(periods * (1 - together) / (1 + together), 1.0)


def coverage(
    prob: float, bounds: FloatArray, observed: FloatArray, actual: FloatArray, word: str
) -> Coverage:
    """How many lie inside their ``bounds`` ``(W, 2)``, beside how many of each draw's future do.

    The draws of a future share its level and parameters, as the periods that came do.
    """
    periods = actual.size
    inside = int(_inside(actual, bounds).sum())
    fewest, most = _likely(_inside(observed, bounds).sum(axis=1), periods)
    if periods < MIN_PERIODS:
        verdict, told = ScoreVerdict.TOO_FEW, f"{periods} {word} are too few to judge it by"
    elif fewest <= inside <= most:
        verdict, told = ScoreVerdict.HOLDS, "it may well hold"
    else:
        verdict = ScoreVerdict.FAILS
        told = "it is too narrow, or beside the mark" if inside < fewest else "it is too wide"
    return Coverage(
        prob=prob,
        inside=inside,
        periods=periods,
        share=inside / periods,
        low=fewest / periods,
        high=most / periods,
        verdict=verdict,
        message=f"{inside} of {periods} {word} lie in their {percent(prob)} interval; of a right "
        f"forecast, {fewest} to {most} would: {told}.",
    )


def bias(forecast: Forecast, actual: FloatArray, unit: str, word: str) -> Bias:
    """Whether what came lies above or below the forecast on the whole."""
    error = summarise((actual - forecast.observed).mean(axis=1), unit)
    whole = float(actual.sum())
    share = None
    if whole:
        off = (whole - forecast.observed.sum(axis=1)) / abs(whole)
        share = summarise(np.asarray(off, dtype=np.float64), "share")
    inside = error.hdi_low <= 0 <= error.hdi_high
    said = f"What came less what was forecast is {interval(error)} {unit} per period"
    if actual.size < MIN_PERIODS:
        verdict, told = ScoreVerdict.TOO_FEW, f"{actual.size} {word} are too few to judge it by"
    elif inside:
        verdict, told = ScoreVerdict.HOLDS, "the interval holds 0, so no bias can be told"
    else:
        verdict = ScoreVerdict.FAILS
        told = f"the forecast is too {'low' if error.mean > 0 else 'high'}"
    return Bias(error=error, share=share, verdict=verdict, message=f"{said}: {told}.")


def naive(history: FloatArray, periods: int, frequency: Frequency) -> tuple[FloatArray, str]:
    """Last year's values once more, or the last value where there is no last year; and which."""
    season = YEAR_BACK[frequency]
    if history.size < season:
        return np.full(periods, history[-1]), "the last value before the forecast"
    year = history[history.size - season :]
    return np.resize(year, periods), "the same periods of the last year before the forecast"


def skill(
    forecast: Forecast,
    actual: FloatArray,
    guess: tuple[FloatArray, str],
    unit: str,
) -> Skill:
    """The misses of the forecast beside the naive one's, period by period."""
    median = np.median(forecast.observed, axis=0)
    own, other = np.abs(actual - median), np.abs(actual - guess[0])
    apart = other - own
    low, high = _mean_interval(apart)
    if effective_periods(apart.size, _following(apart)) < MIN_PERIODS:
        verdict, told = ScoreVerdict.TOO_FEW, "too few unrelated periods to judge it by"
    elif low > 0:
        verdict, told = ScoreVerdict.HOLDS, "the forecast is the better one"
    elif high < 0:
        verdict, told = ScoreVerdict.FAILS, "the naive one is better"
    else:
        verdict, told = ScoreVerdict.OPEN, "which of them is better stays open"
    mae, naive_mae = float(own.mean()), float(other.mean())
    return Skill(
        unit=unit,
        mae=mae,
        naive_mae=naive_mae,
        mape=_relative(own, actual),
        naive_mape=_relative(other, actual),
        crps=float(crps(forecast.observed, actual).mean()),
        skill=1 - mae / naive_mae if naive_mae else None,
        naive=guess[1],
        verdict=verdict,
        message=f"It misses by {figure(mae)} {unit} per period, {guess[1]} by "
        f"{figure(naive_mae)}: {told}.",
    )


def inside_hdi(draws: FloatArray, actual: float) -> bool:
    """Whether a value lies in the interval of its draws."""
    low, high = hdi(draws)
    return low <= actual <= high


def _relative(miss: FloatArray, actual: FloatArray) -> float | None:
    known = actual != 0
    return float((miss[known] / np.abs(actual[known])).mean()) if known.any() else None


def _inside(values: FloatArray, bounds: FloatArray) -> NDArray[np.bool_]:
    return (values >= bounds[:, 0]) & (values <= bounds[:, 1])


def _likely(counts: NDArray[np.int64], periods: int) -> tuple[int, int]:
    """The fewest and the most that neither tail of the counts speaks against."""
    each = np.bincount(counts, minlength=periods + 1)
    tail = (1 - HDI_PROB) / 2 * counts.size
    fewest = np.flatnonzero(each.cumsum() >= tail)[0]
    most = np.flatnonzero(each[::-1].cumsum()[::-1] >= tail)[-1]
    return int(fewest), int(most)


def _following(values: FloatArray) -> float:
    """The correlation of a value with the next one, around their mean; 0 of values all alike."""
    if not np.ptp(values):
        return 0.0
    off = values - values.mean()
    return float(off[:-1] @ off[1:] / (off @ off))


def _mean_interval(values: FloatArray) -> tuple[float, float]:
    """Of the mean of values that follow each other, by the variance of their slow cosines.

    Unlike a variance from lagged products, its t interval keeps its level in few periods
    (Lazarus, Lewis, Stock and Watson 2018, whose number of cosines this is, but two at least).
    """
    periods, count = values.size, max(2, int(0.4 * values.size ** (2 / 3)))
    turns = np.pi * np.outer(np.arange(1, count + 1), np.arange(periods) + 0.5) / periods
    slow = np.cos(turns) @ values * np.sqrt(2 / periods)
    half = float(
        special.stdtrit(count, (1 + HDI_PROB) / 2) * np.sqrt((slow @ slow) / count / periods)
    )
    return float(values.mean()) - half, float(values.mean()) + half

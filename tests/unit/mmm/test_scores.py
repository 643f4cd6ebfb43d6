"""Forecasts are scored against futures whose truth is known: right ones hold, wrong ones are caught."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from conftest import make_draws
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.forecast import Forecast, forecast
from mmm_workflows.mmm.scorecards import MIN_PERIODS, Coverage, PlanScores, Scores, ScoreVerdict
from mmm_workflows.mmm.scores import (
    bias,
    coverage,
    crps,
    effective_periods,
    miss_correlation,
    naive,
    pit,
    score,
    score_periods,
    skill,
)
from mmm_workflows.mmm.spec import ChannelSpec, ControlSpec, Frequency, Likelihood, ModelSpec
from mmm_workflows.mmm.track_record import describe_track, record_of
from mmm_workflows.mmm.windows import future_dates

type Floats = NDArray[np.float64]

WEEKS = 26
CHANNELS = ("TV_Spend", "Search_Spend")


def tighter(draws: Draws) -> Draws:
    """Returns that two years of data have told better than the shared draws."""
    return replace(draws, beta=0.1 + (draws.beta - 0.1) / 5)


def make_spec(draws: Draws, likelihood: Likelihood) -> ModelSpec:
    return ModelSpec(
        target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=Frequency.WEEKLY, start=draws.dates[0].item(), end=draws.dates[-1].item(),
        channels=tuple(ChannelSpec(name=n, effect_scale=0.3) for n in draws.channels),
        controls=(ControlSpec(name="Price", centre=10, scale=2),),
        trend_knots=1, yearly_seasonality=2, likelihood=likelihood,
    )  # fmt: skip


def make_baseline(draws: Draws, likelihood: Likelihood) -> Baseline:
    """A posterior of everything that is not media, as uncertain as one of two years of weeks."""
    random = np.random.default_rng(5)
    count, periods = draws.count, draws.dates.size
    return Baseline(
        intercept=random.normal(0.6, 0.008, count),
        drivers=random.normal([-0.03, 0.02, 0.01], 0.003, (count, 3)),
        waves=random.normal(0.02, 0.003, (count, 4)),
        sigma=np.abs(random.normal(0.04, 0.004, count)),
        nu=random.uniform(3, 8, count) if likelihood is Likelihood.STUDENT_T else None,
        target=random.normal(6e5, 5e4, periods),
        controls=random.normal(10, 2, (periods, 1)),
    )


def make_later(draws: Draws, weeks: int) -> pd.DataFrame:
    random = np.random.default_rng(6)
    later = pd.DataFrame(index=pd.DatetimeIndex(future_dates(draws, weeks)))
    for c, name in enumerate(draws.channels):
        later[name] = random.choice(draws.spend[:, c], weeks)
    later["Price"] = random.normal(10, 2, weeks)
    return later


def make_forecast(likelihood: Likelihood = Likelihood.NORMAL, *, weeks: int = WEEKS) -> Forecast:
    draws = tighter(make_draws(count=500, periods=104, channels=CHANNELS))
    baseline = make_baseline(draws, likelihood)
    return forecast(make_spec(draws, likelihood), draws, baseline, make_later(draws, weeks), seed=1)


def make_future(seen: Forecast, seed: int) -> Floats:
    """What comes if one draw of the posterior is the truth: its mean and its scatter."""
    random = np.random.default_rng(seed)
    truth = int(random.integers(seen.mean.shape[0]))
    size = seen.mean.shape[1]
    noise = (
        random.standard_normal(size) if seen.nu is None else random.standard_t(seen.nu[truth], size)
    )
    return np.asarray(seen.mean[truth] + seen.scale[truth] * noise)


def scores_of(seen: Forecast, actual: Floats) -> Scores:
    days = tuple(d.date() for d in pd.date_range("2025-01-06", periods=actual.size, freq="7D"))
    periods = score_periods(seen, actual, days, "EUR")
    history = np.random.default_rng(9).normal(6e5, 5e4, 104)
    return score(seen, periods, history, unit="EUR", frequency=Frequency.WEEKLY)


@pytest.fixture(scope="module", params=list(Likelihood))
def seen(request: pytest.FixtureRequest) -> Forecast:
    return make_forecast(request.param)


FUTURES = 200


def test_where_the_model_is_right_its_intervals_hold_as_often_as_they_say(seen: Forecast) -> None:
    """Over 200 futures of 26 weeks; weeks of one future share its truth, futures do not."""
    scored = [scores_of(seen, make_future(seen, seed)) for seed in range(FUTURES)]
    for name, prob in (("coverage_94", 0.94), ("coverage_50", 0.5)):
        shares = np.array([getattr(s, name).share for s in scored])
        error = shares.std() / np.sqrt(FUTURES)
        assert abs(shares.mean() - prob) < 4 * error, (name, shares.mean(), error)
    judged = np.array([s.bias.verdict is ScoreVerdict.FAILS for s in scored])
    assert abs(judged.mean() - 0.06) < 4 * np.sqrt(0.06 * 0.94 / FUTURES), judged.mean()


def test_where_the_model_is_right_the_pit_is_even(seen: Forecast) -> None:
    """One week of each of many futures: those are independent, weeks of one future are not."""
    chances = np.empty(2000)
    for seed in range(2000):
        week = [seed % WEEKS]
        one = replace(seen, mean=seen.mean[:, week], observed=seen.observed[:, week])
        chances[seed] = pit(one, make_future(seen, seed)[week])[0]
    counts, _ = np.histogram(chances, bins=10, range=(0, 1))
    chi2 = float(((counts - 200) ** 2 / 200).sum())
    assert special.chdtrc(9, chi2) > 0.001, counts


def test_a_shifted_baseline_is_caught_by_the_bias_and_not_by_a_right_one(seen: Forecast) -> None:
    shifted = [scores_of(seen, make_future(seen, seed) + 8e4).bias for seed in range(60)]
    caught = [b.verdict is ScoreVerdict.FAILS and b.error.mean > 0 for b in shifted]
    assert np.mean(caught) > 0.9
    assert "too low" in shifted[0].message


def test_intervals_that_are_too_narrow_are_caught_by_the_coverage(seen: Forecast) -> None:
    known = np.broadcast_to(seen.mean.mean(axis=0), seen.mean.shape)
    narrow = replace(
        seen, mean=known, scale=seen.scale / 4, observed=known + (seen.observed - seen.mean) / 4
    )
    found = [scores_of(narrow, make_future(seen, seed)).coverage_94 for seed in range(60)]
    judged = [c for c in found if c.verdict is not ScoreVerdict.TOO_FEW]
    assert len(judged) > 30
    assert np.mean([c.verdict is ScoreVerdict.FAILS for c in judged]) > 0.9
    assert any("too narrow" in c.message for c in judged)


def test_a_pit_is_the_share_of_the_scattered_draws_below(seen: Forecast) -> None:
    actual = make_future(seen, 3)
    by_draws = (seen.observed < actual).mean(axis=0)
    assert pit(seen, actual) == pytest.approx(by_draws, abs=0.05)


def test_few_weeks_are_not_judged() -> None:
    seen = make_forecast(weeks=MIN_PERIODS - 1)
    scored = scores_of(seen, make_future(seen, 1))
    for part in (scored.coverage_94, scored.coverage_50, scored.bias, scored.skill):
        assert part.verdict is ScoreVerdict.TOO_FEW
        assert "to judge it by" in part.message
    single = scores_of(make_forecast(weeks=1), np.array([6e5]))
    assert single.correlation is None
    assert single.effective_periods == 1


def test_weeks_whose_misses_follow_each_other_count_for_fewer() -> None:
    follow = miss_correlation(np.repeat([0.1, 0.9], 10))
    assert follow == pytest.approx(17 / 20)
    assert effective_periods(20, follow) == pytest.approx(20 * 3 / 37)
    assert miss_correlation(np.full(20, 0.9)) == 0, "a level that is off is no tie between weeks"
    swinging = miss_correlation(np.tile([0.1, 0.9], 10))
    assert swinging is not None and swinging < 0
    assert effective_periods(20, swinging) == 20, "opposite misses do not make more weeks"


def test_a_coverage_says_how_little_fourteen_weeks_tell() -> None:
    observed = np.random.default_rng(2).standard_normal((40_000, 14))
    reach = special.ndtri(0.97)
    found = cover(observed, reach, np.array([9.0] * 3 + [0.0] * 11))
    # Of 14 independent weeks up to 10 lie inside in under 3 % of futures, up to 11 in more.
    assert special.bdtr(10, 14, 0.94) < 0.03 < special.bdtr(11, 14, 0.94)
    assert (found.low, found.high) == (11 / 14, 1)
    assert found.verdict is ScoreVerdict.HOLDS and "11 to 14 would" in found.message
    fails = cover(observed, reach, np.array([9.0] * 4 + [0.0] * 10))
    assert fails.verdict is ScoreVerdict.FAILS and "too narrow" in fails.message
    wide = coverage(0.5, np.tile([-0.674, 0.674], (14, 1)), observed, np.zeros(14), "weeks")
    assert wide.verdict is ScoreVerdict.FAILS and "too wide" in wide.message


def cover(observed: Floats, reach: float, actual: Floats) -> Coverage:
    return coverage(0.94, np.tile([-reach, reach], (actual.size, 1)), observed, actual, "weeks")


def follow(random: np.random.Generator, weeks: int, tie: float) -> Floats:
    """Misses of variance 1, each tied to the one before."""
    misses = random.standard_normal(weeks + 50)
    for t in range(1, misses.size):
        misses[t] = tie * misses[t - 1] + np.sqrt(1 - tie**2) * misses[t]
    return misses[50:]


@pytest.mark.parametrize("weeks", [8, 13, 26, 52])
@pytest.mark.parametrize(("own", "other"), [(0.0, 0.0), (0.0, 0.8), (0.8, 0.8)])
def test_of_two_that_miss_alike_neither_is_called_better_more_often_than_said(
    weeks: int, own: float, other: float
) -> None:
    """Of 1000 pairs, 6 in 100 may be decided; up to 10 where misses follow each other."""
    random = np.random.default_rng([weeks, int(10 * own), int(10 * other)])
    zero = np.zeros((3, weeks))
    right = Forecast(mean=zero, scale=np.ones(3), nu=None, observed=zero)
    decided = 0
    for _ in range(1000):
        actual = follow(random, weeks, own)
        guess = actual - follow(random, weeks, other)
        found = skill(right, actual, (guess, "a guess"), "EUR").verdict
        decided += found in (ScoreVerdict.HOLDS, ScoreVerdict.FAILS)
    assert decided / 1000 <= (0.1 if own or other else 0.08)
    if weeks >= 26:
        assert decided / 1000 >= 0.03, "an interval that never decides says nothing"


def test_a_forecast_that_misses_half_as_much_is_called_better() -> None:
    random = np.random.default_rng(3)
    zero = np.zeros((3, 52))
    right = Forecast(mean=zero, scale=np.ones(3), nu=None, observed=zero)
    actual = follow(random, 52, 0.0)
    guess = actual - 2 * follow(random, 52, 0.5)
    assert skill(right, actual, (guess, "a guess"), "EUR").verdict is ScoreVerdict.HOLDS
    assert skill(right, actual, (actual + actual / 3, "it"), "EUR").verdict is ScoreVerdict.FAILS


@pytest.mark.parametrize("off", [-6, -3, 3, 6])
def test_the_further_off_a_forecast_is_the_surer_its_coverage_fails(off: int) -> None:
    seen = make_forecast(weeks=52)
    found = scores_of(seen, make_future(seen, 1) + off * seen.observed.std(axis=0))
    assert found.coverage_94.verdict is ScoreVerdict.FAILS
    assert found.coverage_50.verdict is ScoreVerdict.FAILS
    assert found.skill.verdict is not ScoreVerdict.TOO_FEW
    assert "beside the mark" in found.coverage_94.message
    assert "cannot settle" not in record_sentence(found)


def record_sentence(found: Scores) -> str:
    result = {
        "workflow_id": "t1", "model_artifact_path": "m", "target": "Revenue",
        "scores": found.model_dump(mode="json"), "plans": {"scored": []},
    }  # fmt: skip
    return record_of([result], "Revenue").sentence


def test_a_record_of_few_weeks_says_that_they_settle_nothing() -> None:
    seen = make_forecast(weeks=MIN_PERIODS - 1)
    assert "So few weeks cannot settle it." in record_sentence(
        scores_of(seen, make_future(seen, 1))
    )


def test_a_track_says_when_misses_that_follow_each_other_tell_less() -> None:
    seen = make_forecast(weeks=52)
    swell = np.sin(np.arange(52) / 6) * seen.observed.std(axis=0)
    plans = PlanScores(scored=(), not_scored=())
    for actual, said in ((seen.mean.mean(axis=0) + swell, True), (make_future(seen, 3), False)):
        found = scores_of(seen, actual)
        assert (round(found.effective_periods) < 52) is said
        told = " ".join(describe_track(found, plans, (), 52, "Revenue"))
        assert ("Misses follow each other" in told) is said


def test_a_year_that_is_a_little_off_is_judged() -> None:
    seen = make_forecast(weeks=52)
    found = scores_of(seen, make_future(seen, 1) + seen.observed.std(axis=0))
    assert ScoreVerdict.TOO_FEW not in {found.coverage_94.verdict, found.skill.verdict}


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_a_right_forecast_whose_weeks_share_an_error_is_failed_as_seldom_as_said(
    shared: float,
) -> None:
    """The level is as uncertain as a week's scatter, or three times; 6 of 100 futures may fail."""
    seen = make_forecast(weeks=52)
    level = shared * seen.scale.mean() * np.random.default_rng(8).standard_normal(len(seen.mean))
    seen = replace(seen, mean=seen.mean + level[:, None], observed=seen.observed + level[:, None])
    scored = [scores_of(seen, make_future(seen, seed)) for seed in range(FUTURES)]
    most = 0.06 + 2 * np.sqrt(0.06 * 0.94 / FUTURES)
    for name in ("coverage_94", "coverage_50"):
        failed = np.mean([getattr(s, name).verdict is ScoreVerdict.FAILS for s in scored])
        assert failed <= most, (name, failed)


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30),
    actual=st.floats(-1e3, 1e3),
)
def test_the_crps_is_the_area_between_the_two_distributions(
    values: list[float], actual: float
) -> None:
    draws = np.array(values)
    edges = np.sort(np.append(draws, actual))
    middles = (edges[:-1] + edges[1:]) / 2
    below = (draws[:, None] <= middles).mean(axis=0)
    area = float((((below - (middles >= actual)) ** 2) * np.diff(edges)).sum())
    assert crps(draws[:, None], np.array([actual]))[0] == pytest.approx(area, abs=1e-9)


def test_the_naive_forecast_repeats_a_year_or_the_last_value() -> None:
    history = np.arange(104.0)
    guess, how = naive(history, 60, Frequency.WEEKLY)
    assert guess[:52].tolist() == history[52:].tolist()
    assert guess[52:].tolist() == history[52:60].tolist(), "later years repeat the last one known"
    assert "last year" in how
    guess, how = naive(history[:30], 3, Frequency.WEEKLY)
    assert guess.tolist() == [29.0] * 3
    assert "last value" in how


def test_a_forecast_that_knows_the_season_beats_the_naive_one() -> None:
    seen = make_forecast()
    scored = scores_of(seen, make_future(seen, 4))
    assert scored.skill.skill == pytest.approx(1 - scored.skill.mae / scored.skill.naive_mae)
    assert scored.skill.crps < scored.skill.mae, "the spread is worth something"
    assert scored.skill.mape is not None and scored.skill.mape < 0.2


def test_what_never_sold_has_no_relative_error() -> None:
    seen = make_forecast()
    nothing = np.zeros(WEEKS)
    scored = scores_of(seen, nothing)
    assert scored.skill.mape is None and scored.bias.share is None
    assert bias(seen, nothing, "EUR", "weeks").error.mean < 0


def test_every_period_has_its_date_and_its_two_intervals() -> None:
    seen = make_forecast()
    actual = make_future(seen, 2)
    days = tuple(date(2025, 1, 6) for _ in actual)
    for period in score_periods(seen, actual, days, "EUR"):
        most = period.predicted
        assert most.hdi_low < period.half_low < most.median < period.half_high < most.hdi_high
        assert 0 <= period.pit <= 1

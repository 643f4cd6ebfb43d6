"""Windows of a plan: which periods they hold, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.dates import period_grid
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.query import interpret
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.windows import (
    future_dates,
    is_past,
    last_periods,
    make_reference,
    next_periods,
    periods_in,
)

DAYS = {Frequency.DAILY: 1, Frequency.WEEKLY: 7}


@pytest.fixture(scope="module")
def draws(draws: Draws) -> Draws:
    """Two of the draws: a window needs none, and a failing example stays short."""
    few = {name: getattr(draws, name)[:2] for name in ("alpha", "lam", "beta", "dates", "spend")}
    return replace(draws, **few)


def history(draws: Draws, frequency: Frequency, first: date, last: date) -> Draws:
    """Draws on the periods from ``first`` to ``last``; a spend tells its period and channel."""
    dates = period_grid([first, last], frequency)
    spend = 1.0 + np.arange(len(dates))[:, None] + 1000.0 * np.arange(len(draws.channels))
    days = np.array(dates, dtype="datetime64[D]")
    return replace(draws, dates=days, spend=spend, frequency=frequency)


def weekly(draws: Draws, weeks: int = 156) -> Draws:
    first = date(2023, 1, 2)
    return history(draws, Frequency.WEEKLY, first, first + timedelta(weeks=weeks - 1))


@pytest.mark.parametrize(
    ("frequency", "first", "last", "count", "start", "end"),
    [
        (Frequency.WEEKLY, (2023, 1, 2), (2025, 12, 22), 13, (2025, 12, 29), (2026, 3, 23)),
        (Frequency.WEEKLY, (2023, 1, 1), (2025, 2, 23), 1, (2025, 3, 2), (2025, 3, 2)),
        (Frequency.DAILY, (2023, 1, 1), (2024, 2, 27), 3, (2024, 2, 28), (2024, 3, 1)),
        (Frequency.MONTHLY, (2022, 1, 1), (2024, 12, 1), 3, (2025, 1, 1), (2025, 3, 1)),
        # Month ends: the month that comes after a short one is not cut short with it.
        (Frequency.MONTHLY, (2022, 1, 31), (2024, 2, 29), 2, (2024, 3, 31), (2024, 4, 30)),
        (Frequency.MONTHLY, (2022, 1, 31), (2024, 4, 30), 10, (2024, 5, 31), (2025, 2, 28)),
        (Frequency.MONTHLY, (2022, 1, 30), (2023, 2, 28), 1, (2023, 3, 30), (2023, 3, 30)),
    ],
)
def test_the_next_periods_follow_the_data(
    draws: Draws,
    frequency: Frequency,
    first: Sequence[int],
    last: Sequence[int],
    count: int,
    start: Sequence[int],
    end: Sequence[int],
) -> None:
    known = history(draws, frequency, date(*first), date(*last))
    assert next_periods(known, count) == Window(start=date(*start), end=date(*end))


@given(
    frequency=st.sampled_from(Frequency),
    first=st.dates(date(2018, 1, 1), date(2022, 12, 31)),
    steps=st.integers(24, 60),
    count=st.integers(1, 30),
)
def test_future_periods_continue_the_grid_of_the_data(
    draws: Draws, frequency: Frequency, first: date, steps: int, count: int
) -> None:
    last = first + timedelta(days=steps * DAYS.get(frequency, 30))
    known = history(draws, frequency, first, last)
    dates = [*known.dates.tolist(), *future_dates(known, count).tolist()]
    # Of all dates: the ends of 28 February and 30 June alone could be month ends.
    assert dates == period_grid(dates, frequency)


@pytest.mark.parametrize(
    ("frequency", "last", "periods", "said"),
    [
        (Frequency.WEEKLY, date(2025, 12, 29), 13, "next 13 weeks"),
        (Frequency.MONTHLY, date(2025, 12, 1), 3, "next 3 months"),
        (Frequency.DAILY, date(2025, 12, 31), 91, "next 91 days"),
    ],
)
def test_without_a_window_the_next_quarter_is_meant_and_said(
    draws: Draws, frequency: Frequency, last: date, periods: int, said: str
) -> None:
    first = date(2022, 1, 3) if frequency is Frequency.WEEKLY else date(2022, 1, 1)
    known = history(draws, frequency, first, last)
    for question in ("Increase TV by 20%", "optimise a budget of 10k"):
        read = interpret(question, known)
        assert read.window == next_periods(known, periods)
        assert said in read.echo and "no window was named" in read.echo
        assert make_reference(known, read.window).dates.size == periods


def test_the_last_periods_end_with_the_data_and_are_none_when_there_are_too_few(
    draws: Draws,
) -> None:
    known = weekly(draws)
    assert last_periods(known, 2) == Window(start=date(2025, 12, 15), end=date(2025, 12, 22))
    assert last_periods(known, 156) == Window(start=date(2023, 1, 2), end=date(2025, 12, 22))
    assert last_periods(known, 157) is None


def test_a_past_window_is_compared_with_what_was_spent_around_and_in_it(draws: Draws) -> None:
    known = weekly(draws)
    window = Window(start=date(2023, 3, 6), end=date(2023, 3, 20))  # rows 9 to 11
    reference = make_reference(known, window)
    assert is_past(known, window)
    assert reference.how == "what was spent"
    np.testing.assert_array_equal(reference.spend, known.spend[9:12])
    np.testing.assert_array_equal(reference.before, known.spend[2:9])
    np.testing.assert_array_equal(reference.after, known.spend[12:19])
    np.testing.assert_array_equal(reference.totals, known.spend[9:12].sum(axis=0))


def test_nothing_is_spent_before_and_after_the_data(draws: Draws) -> None:
    known = weekly(draws)
    side = known.l_max - 1
    opening = make_reference(known, Window(start=date(2023, 1, 9), end=date(2023, 1, 9)))
    np.testing.assert_array_equal(opening.before[: side - 1], 0)
    np.testing.assert_array_equal(opening.before[side - 1], known.spend[0])
    closing = make_reference(known, Window(start=date(2025, 12, 15), end=date(2025, 12, 15)))
    np.testing.assert_array_equal(closing.after[0], known.spend[-1])
    np.testing.assert_array_equal(closing.after[1:], 0)


def test_a_future_window_is_compared_with_the_same_weeks_a_year_before(draws: Draws) -> None:
    known = weekly(draws)
    reference = make_reference(known, next_periods(known, 13))
    assert not is_past(known, reference.window)
    assert "year before" in reference.how
    np.testing.assert_array_equal(reference.spend, known.spend[156 - 52 : 156 - 52 + 13])
    np.testing.assert_array_equal(reference.before, known.spend[-(known.l_max - 1) :])
    np.testing.assert_array_equal(reference.after, 0)


@given(ahead=st.integers(0, 100), width=st.integers(1, 52))
def test_each_future_week_is_the_one_of_the_last_year_of_the_data(
    draws: Draws, ahead: int, width: int
) -> None:
    known = weekly(draws)
    dates = future_dates(known, 104)[ahead : ahead + width]
    reference = make_reference(known, Window(start=dates[0].item(), end=dates[-1].item()))
    np.testing.assert_array_equal(reference.dates, dates)
    by_date = dict(zip(known.dates.tolist(), known.spend, strict=True))
    week, reach = timedelta(weeks=1), known.l_max - 1
    begins = reference.window.start

    def usual(day: date) -> np.ndarray:
        while day not in by_date:
            day -= 52 * week
        return by_date[day]

    expected = [usual(begins + i * week) for i in range(-reach, dates.size)]
    np.testing.assert_array_equal(np.vstack([reference.before, reference.spend]), expected)


@pytest.mark.parametrize(("frequency", "back"), [(Frequency.MONTHLY, 12), (Frequency.DAILY, 364)])
def test_a_year_back_is_twelve_months_or_364_days(
    draws: Draws, frequency: Frequency, back: int
) -> None:
    known = history(draws, frequency, date(2022, 1, 1), date(2024, 3, 1))
    reference = make_reference(known, next_periods(known, 5))
    rows = known.spend.shape[0]
    np.testing.assert_array_equal(reference.spend, known.spend[rows - back : rows - back + 5])


def test_less_than_a_year_of_data_is_planned_with_its_mean_and_says_so(draws: Draws) -> None:
    known = weekly(draws, weeks=40)
    reference = make_reference(known, next_periods(known, 13))
    assert "mean of all 40 weeks" in reference.how
    np.testing.assert_allclose(reference.spend, np.tile(known.spend.mean(axis=0), (13, 1)))
    exactly = make_reference(weekly(draws, weeks=52), next_periods(weekly(draws, weeks=52), 1))
    assert "year before" in exactly.how


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (date(2025, 12, 1), date(2026, 1, 26), "partly before and partly after"),
        (date(2025, 12, 29), date(2030, 1, 1), "out of reach"),
        (date(2022, 12, 26), date(2023, 2, 6), "out of reach"),
        (date(2010, 1, 4), date(2010, 2, 1), "out of reach"),
        (date(2024, 1, 2), date(2024, 1, 6), "No period begins"),
        (date(2024, 2, 5), date(2024, 1, 1), "No period begins"),
    ],
)
def test_a_window_that_cannot_be_compared_is_refused_with_the_dates(
    draws: Draws, start: date, end: date, said: str
) -> None:
    with pytest.raises(QueryError, match=said) as caught:
        make_reference(weekly(draws), Window(start=start, end=end))
    assert caught.value.code == "query_invalid"
    assert any(d in str(caught.value) for d in ("2025-12-22", str(start)))


def test_a_stretch_holds_the_periods_that_begin_in_it(draws: Draws) -> None:
    known = weekly(draws)
    # 2024 begins on a Monday, 2025 on a Wednesday.
    assert periods_in(known, date(2024, 1, 1), date(2024, 12, 31)) == Window(
        start=date(2024, 1, 1), end=date(2024, 12, 30)
    )
    assert periods_in(known, date(2025, 1, 1), date(2025, 1, 31)) == Window(
        start=date(2025, 1, 6), end=date(2025, 1, 27)
    )
    assert periods_in(known, date(2024, 1, 2), date(2024, 1, 7)) is None


def test_a_stretch_that_is_covered_only_in_part_is_not_cut_in_silence(draws: Draws) -> None:
    known = weekly(draws)
    # A year may begin one day before its first week; a whole week must not be missing.
    assert periods_in(known, date(2023, 1, 1), date(2023, 12, 31)) is not None
    assert periods_in(known, date(2022, 12, 26), date(2023, 12, 31)) is None
    assert periods_in(known, date(2027, 12, 1), date(2027, 12, 31)) is None
    monthly = history(draws, Frequency.MONTHLY, date(2022, 2, 28), date(2025, 1, 28))
    assert periods_in(monthly, date(2022, 2, 1), date(2022, 4, 30)) is not None
    assert periods_in(monthly, date(2022, 1, 1), date(2022, 3, 31)) is None
    for words in ("from 2022-06-06 to 2023-03-27", "from 2025-12-01 to 2026-02-02", "in 2030"):
        read = interpret(f"increase TV by 20% {words}", known)
        assert read.kind is QueryKind.CLARIFY, read.echo
        assert "2023-01-02" in read.questions[0] or "2025-12-22" in read.questions[0]

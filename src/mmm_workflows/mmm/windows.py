"""Periods of a plan: past ones as they were, future ones by the same periods a year before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.months import months_of, on_day, usual_day
from mmm_workflows.mmm.results import FloatArray, Window
from mmm_workflows.mmm.spec import Frequency

# A year in whole weeks, so that a Monday falls on a Monday.
YEAR_BACK: Final[dict[Frequency, int]] = {
    Frequency.DAILY: 364,
    Frequency.WEEKLY: 52,
    Frequency.MONTHLY: 12,
}
DEFAULT_PERIODS: Final[dict[Frequency, int]] = {
    Frequency.DAILY: 91,
    Frequency.WEEKLY: 13,
    Frequency.MONTHLY: 3,
}
PERIOD_WORD: Final[dict[Frequency, str]] = {
    Frequency.DAILY: "days",
    Frequency.WEEKLY: "weeks",
    Frequency.MONTHLY: "months",
}
# How far ahead a reference is made of years before: the model is not asked about later years.
MAX_YEARS_AHEAD: Final = 2


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference scenario of a window: W periods, C channels, L - 1 periods on each side.

    Attributes:
        before: Spend that is carried into the window, ``(L - 1, C)``; zero before the data.
        spend: Spend in the window, ``(W, C)``.
        after: Spend after the window, ``(L - 1, C)``: what was spent, zero after the data.
        how: Where the spend of the window comes from, in words.
    """

    window: Window
    dates: NDArray[np.datetime64]
    before: FloatArray
    spend: FloatArray
    after: FloatArray
    how: str

    @property
    def totals(self) -> FloatArray:
        """Money per channel in the window, ``(C,)``."""
        return np.asarray(self.spend.sum(axis=0), dtype=np.float64)


def future_dates(draws: Draws, count: int) -> NDArray[np.datetime64]:
    """The next ``count`` periods after the data."""
    last, steps = draws.dates[-1].astype("datetime64[D]"), np.arange(1, count + 1)
    if draws.frequency is Frequency.MONTHLY:
        return _months_after(draws.dates, steps)
    days = 1 if draws.frequency is Frequency.DAILY else 7
    return np.asarray(last + steps * np.timedelta64(days, "D"))


def _months_after(dates: NDArray[np.datetime64], steps: NDArray[np.int_]) -> NDArray[np.datetime64]:
    """The usual day of the months that lie so many steps after the last of ``dates``."""
    months = months_of(dates[-1:]) + steps.astype("timedelta64[M]")
    return on_day(months, usual_day(dates.astype("datetime64[D]").tolist()))


def periods_in(draws: Draws, start: date, end: date) -> Window | None:
    """The window of the periods whose start lies from ``start`` to ``end``.

    Returns:
        None if there is none, or if the data and the plans cover only a part of the stretch.
    """
    ahead = YEAR_BACK[draws.frequency] * MAX_YEARS_AHEAD
    every = np.concatenate([draws.dates, future_dates(draws, ahead)])
    inside = every[(every >= np.datetime64(start)) & (every <= np.datetime64(end))]
    begins_earlier = np.datetime64(start) <= _period_before(draws)
    if inside.size == 0 or begins_earlier or np.datetime64(end) > every[-1]:
        return None
    return Window(start=inside[0].item(), end=inside[-1].item())


def _period_before(draws: Draws) -> np.datetime64:
    """The start of the period before the data."""
    first: np.datetime64 = draws.dates[0].astype("datetime64[D]")
    if draws.frequency is Frequency.MONTHLY:
        months = months_of(draws.dates[:1]) - 1
        first = on_day(months, usual_day(draws.dates.astype("datetime64[D]").tolist()))[0]
        return first
    return first - np.timedelta64(1 if draws.frequency is Frequency.DAILY else 7, "D")


def next_periods(draws: Draws, count: int) -> Window:
    """The ``count`` periods after the data."""
    dates = future_dates(draws, count)
    return Window(start=dates[0].item(), end=dates[-1].item())


def last_periods(draws: Draws, count: int) -> Window | None:
    """The last ``count`` periods of the data; None when it has fewer."""
    if count > draws.dates.size:
        return None
    return Window(start=draws.dates[-count].item(), end=draws.dates[-1].item())


def is_past(draws: Draws, window: Window) -> bool:
    """Whether the whole window lies in the data."""
    return bool(np.datetime64(window.end) <= draws.dates[-1])


def make_reference(draws: Draws, window: Window) -> Reference:
    """What the window is compared with.

    A past window: what was spent. A future one: the same periods a year before, or the mean of
    all periods where the data does not reach that far back; periods between the data and the
    window are filled alike, because they carry over into it.

    Raises:
        QueryError: The window is partly past and partly future, or too far ahead.
    """
    last = draws.dates[-1]
    start, end = np.datetime64(window.start), np.datetime64(window.end)
    if start <= last < end:
        raise QueryError(
            f"The window from {window.start} to {window.end} is partly before and partly after the "
            f"last period of the data, {last}. Ask about one side of it."
        )
    ahead = YEAR_BACK[draws.frequency] * MAX_YEARS_AHEAD
    future = future_dates(draws, ahead)
    if start < draws.dates[0] or end > future[-1]:
        raise QueryError(
            f"The window from {window.start} to {window.end} is out of reach: the data runs from "
            f"{draws.dates[0]} to {last}, and plans may go on until {future[-1]}."
        )
    every = np.concatenate([draws.dates, future])
    inside = np.flatnonzero((every >= start) & (every <= end))
    if inside.size == 0:
        raise QueryError(f"No period begins between {window.start} and {window.end}.")
    past = bool(end <= last)
    spend, how = (draws.spend, "what was spent") if past else _extended(draws, ahead)
    return _cut(draws, every[inside], spend, int(inside[0]), how)


def _cut(
    draws: Draws, dates: NDArray[np.datetime64], spend: FloatArray, first: int, how: str
) -> Reference:
    side, width = draws.l_max - 1, dates.size
    padded = np.vstack([np.zeros((side, spend.shape[1])), spend, np.zeros((side, spend.shape[1]))])
    after = padded[side + first + width : side + first + width + side]
    if how != "what was spent":
        after = np.zeros_like(after)
    return Reference(
        window=Window(start=dates[0].item(), end=dates[-1].item()),
        dates=dates,
        before=padded[first : first + side],
        spend=padded[side + first : side + first + width],
        after=after,
        how=how,
    )


def _extended(draws: Draws, ahead: int) -> tuple[FloatArray, str]:
    back = YEAR_BACK[draws.frequency]
    history = draws.spend.shape[0]
    spend = np.vstack([draws.spend, np.zeros((ahead, draws.spend.shape[1]))])
    if history < back:
        spend[history:] = draws.spend.mean(axis=0)
        unit = PERIOD_WORD[draws.frequency]
        return spend, f"the mean of all {history} {unit} of the data, which are less than a year"
    for index in range(history, history + ahead):
        spend[index] = spend[index - back]
    return spend, "the spend of the same periods a year before"

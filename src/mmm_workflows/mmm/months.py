"""On which day of the month monthly periods stand, and where that day lies in other months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 31

type Days = NDArray[np.datetime64]


def usual_day(dates: Sequence[date]) -> int:
    """The day that monthly dates stand on; ``LONGEST`` where each is the last of its month.

    A month without that day has its last day instead: 31 January, 28 February, 31 March.
    """
    days = np.array(dates, dtype="datetime64[D]")
    if (on_day(months_of(days), LONGEST) == days).all():
        return LONGEST
    return max(d.day for d in dates)


def months_of(days: Days) -> Days:
    """The month of each day."""
    return days.astype("datetime64[M]")


def on_day(months: Days, day: int) -> Days:
    """This day of each month, or its last where the month is shorter."""
    first = months.astype("datetime64[D]")
    length = (months + 1).astype("datetime64[D]") - first
    return np.asarray(first + np.minimum(np.timedelta64(day, "D"), length) - np.timedelta64(1, "D"))

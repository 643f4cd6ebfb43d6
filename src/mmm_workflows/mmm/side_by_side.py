"""Earlier and present data side by side: which cells they share, and what changed in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmm_workflows.mmm.cleaning import is_number
from mmm_workflows.mmm.dataset import Dataset, Role
from mmm_workflows.mmm.dates import DateChoice, read_dates
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.tables import Table

# Below it two numbers differ by how they were written, not by what they say.
ROUNDING: Final = 1e-6
# A column that is given in thousands is often rounded there.
SCALED_ROUNDING: Final = 1e-3
# So many cells other than zero tell whether two columns are one.
MIN_CELLS: Final = 8


@dataclass(frozen=True)
class SideBySide:
    """Both with one row per geography and period, national where only one has geographies.

    Attributes:
        before: Index (Geography, Period), one column per earlier variable.
        after: The same for every present column in which there are numbers.
        places_before, places_after: The geographies, before anything was added up.
    """

    before: pd.DataFrame
    after: pd.DataFrame
    places_before: tuple[str, ...]
    places_after: tuple[str, ...]

    @property
    def shared(self) -> pd.Index[Any]:
        """The geographies and periods that both have."""
        return self.before.index.intersection(self.after.index)

    def periods(self, frame: pd.DataFrame) -> pd.DatetimeIndex:
        """The periods of one of the two frames, ascending."""
        return pd.DatetimeIndex(frame.index.get_level_values("Period").unique()).sort_values()


@dataclass(frozen=True, kw_only=True)
class Change:
    """How one column changed over the cells that both versions have.

    Attributes:
        factor: By which every value was multiplied; 1 where the scale is that of before.
        telling: Cells that are not zero in both, by which a column can be known again.
        equal: Those of them that are equal after the factor.
        distinct: How many values the earlier cells take.
        cells: The changed cells: where, the value of before times the factor, the present value.
    """

    name: str
    now: str
    factor: float
    compared: int
    telling: int
    equal: int
    distinct: int
    sum_before: float
    sum_after: float
    cells: tuple[tuple[str, float, float], ...]

    @property
    def agreement(self) -> float:
        """The share of the telling cells that are equal; 0 when too few can tell."""
        return self.equal / self.telling if self.telling >= MIN_CELLS else 0.0


def lay_side_by_side(
    earlier: Dataset, table: Table, date: DateChoice, geography: str | None
) -> SideBySide | None:
    """Both versions in one form; None where a period of the present one appears twice."""
    after = _present(table, date, geography)
    return None if after.index.has_duplicates else _in_one_form(earlier, after)


def lay_datasets(earlier: Dataset, now: Dataset) -> SideBySide:
    """Two versions that were both read, in one form."""
    return _in_one_form(earlier, now.panel())


def _in_one_form(earlier: Dataset, after: pd.DataFrame) -> SideBySide:
    before = earlier.panel()
    places = [
        tuple(sorted(f.index.get_level_values("Geography").unique())) for f in (before, after)
    ]
    if ("",) in places and places[0] != places[1]:
        how = {v.name: v.additivity for v in earlier.sidecar.variables}
        before, after = _national(before, how), _national(after, how)
    return SideBySide(before, after, places[0], places[1])


def same_values(
    was: FloatArray, is_now: FloatArray, *, tolerance: float = ROUNDING
) -> NDArray[np.bool_]:
    """Whether values are as before, one by one; a restated one differs by more than its writing.

    A missing value is like none.
    """
    return np.abs(is_now - was) <= tolerance * np.maximum(np.abs(was), np.abs(is_now))


def compare_column(both: SideBySide, name: str, now: str, role: Role) -> Change:
    """What changed between an earlier column and a present one."""
    shared = both.shared
    old, new = both.before.loc[shared, name], both.after.loc[shared, now]
    if role is Role.CHANNEL:
        new = new.fillna(0.0)
    has_both = (old.notna() & new.notna()).to_numpy()
    old, new = old[has_both], new[has_both]
    was, is_now = old.to_numpy(), new.to_numpy()
    factor = _factor(was, is_now)
    scaled = was * factor
    tolerance = ROUNDING if factor == 1 else SCALED_ROUNDING
    is_equal = same_values(scaled, is_now, tolerance=tolerance)
    telling = (was != 0) | (is_now != 0)
    return Change(
        name=name,
        now=now,
        factor=factor,
        compared=was.size,
        telling=int(telling.sum()),
        equal=int((telling & is_equal).sum()),
        distinct=np.unique(was).size,
        sum_before=float(scaled.sum()),
        sum_after=float(is_now.sum()),
        cells=tuple(
            (_place(*where), float(then), float(present))
            for where, then, present, same in zip(old.index, scaled, is_now, is_equal, strict=True)
            if not same
        ),
    )


def _factor(was: FloatArray, is_now: FloatArray) -> float:
    """The one number by which the values were multiplied; 1 when there is none.

    A power of ten is taken when most cells moved by it, for the rest may be restated; any other
    number only when every cell did.
    """
    filled = (was != 0) & (is_now != 0)
    if filled.sum() < MIN_CELLS or np.unique(was[filled]).size < 3:
        return 1.0
    ratio = is_now[filled] / was[filled]
    middle = float(np.median(ratio))
    if middle <= 0 or (np.abs(ratio - 1) <= ROUNDING).mean() >= 0.5:
        return 1.0
    power = float(10.0 ** np.round(np.log10(middle)))
    if power != 1 and (np.abs(ratio / power - 1) <= SCALED_ROUNDING).mean() >= 0.5:
        return power
    is_one_factor = bool((np.abs(ratio / middle - 1) <= ROUNDING).all())
    return middle if is_one_factor and not is_now[was == 0].any() else 1.0


def _present(table: Table, date: DateChoice, geography: str | None) -> pd.DataFrame:
    dates = pd.to_datetime(read_dates(table, date))
    places = table.column(geography).cells if geography else ("",) * table.length
    index = pd.MultiIndex.from_arrays([list(places), dates], names=["Geography", "Period"])
    numbers = {
        c.name: [float(cell) if is_number(cell) else np.nan for cell in c.cells]
        for c in table.columns
        if c.name not in (date.column, geography) and any(map(is_number, c.cells))
    }
    frame = pd.DataFrame(numbers, index=index, dtype="float64")
    return frame.replace([np.inf, -np.inf], np.nan).sort_index()


def _national(panel: pd.DataFrame, how: Mapping[str, str]) -> pd.DataFrame:
    added = panel.groupby("Period").agg({name: how.get(str(name), "sum") for name in panel})
    return pd.concat({"": added}, names=["Geography"])


def _place(geography: str, period: pd.Timestamp) -> str:
    day = f"{period:%Y-%m-%d}"
    return f"{day}, {geography}" if geography else day

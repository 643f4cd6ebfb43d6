"""How a new version of the data differs from the one before: what was added, and what was restated."""

from __future__ import annotations

import pandas as pd

from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.refresh_values import DataChange, Restated, Span
from mmm_workflows.mmm.side_by_side import lay_datasets, same_values


def compare_data(earlier: Dataset, now: Dataset, variables: tuple[str, ...]) -> DataChange:
    """What a new version of some variables adds, drops and restates.

    Args:
        earlier: The version of before.
        now: The new one.
        variables: What to look at; a variable that one of the versions lacks is passed over.
    """
    both = lay_datasets(earlier, now)
    frames = (both.before, both.after)
    shared = [v for v in variables if all(v in frame for frame in frames)]
    old, new = (both.periods(frame) for frame in frames)
    known = old.intersection(new)
    kept = [f.loc[f.index.get_level_values("Period").isin(known), shared] for f in frames]
    # A cell that one version alone has is restated too, so none is dropped.
    aligned = kept[0].align(kept[1], join="outer")
    restated = (_restated(name, aligned[0][name], aligned[1][name]) for name in shared)
    return DataChange(
        added=_span(new.difference(old)),
        dropped=_span(old.difference(new)),
        restated=tuple(r for r in restated if r.changed),
    )


def _span(periods: pd.DatetimeIndex) -> Span | None:
    if periods.empty:
        return None
    return Span(count=len(periods), start=periods.min().date(), end=periods.max().date())


def _restated(name: str, before: pd.Series, after: pd.Series) -> Restated:
    known = before.notna() | after.notna()
    same = same_values(before.to_numpy(), after.to_numpy())
    cells, changed = int(known.sum()), int((known & ~same).sum())
    old = float(before.sum())
    return Restated(
        variable=name,
        cells=cells,
        changed=changed,
        share=changed / cells if cells else 0.0,
        sum_change=float(after.sum()) / old - 1 if old else None,
    )

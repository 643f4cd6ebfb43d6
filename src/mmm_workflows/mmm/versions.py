"""Whether data is a version of earlier data: what of it was known again, and by which figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mmm_workflows.mmm.dataset import Dataset, Role, Variable
from mmm_workflows.mmm.dates import DateChoice
from mmm_workflows.mmm.figures import percent
from mmm_workflows.mmm.names import same_written
from mmm_workflows.mmm.side_by_side import (
    MIN_CELLS,
    Change,
    SideBySide,
    compare_column,
    lay_datasets,
    lay_side_by_side,
)
from mmm_workflows.mmm.tables import Table

type Relation = Literal["same_file", "newer_version", "older_version"]

# So many of a column's cells are equal when it is one under another name.
RENAMED: Final = 0.95
# And so many when it is one of which the history was restated.
SAME_COLUMN: Final = 0.5


@dataclass(frozen=True)
class MaybeRenamed:
    """A column that is gone and one that may be it, with the share of equal cells."""

    name: str
    now: str
    agreement: float


@dataclass(frozen=True)
class NotTaken:
    """Why data that looks like earlier data is not treated as a version of it."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The present data known again as a version of earlier data.

    Attributes:
        changes: One for each earlier column that is there, under its name or another.
        gone, new: Names of columns without a counterpart.
        evidence: The figures by which it was known again.
    """

    relation: Relation
    both: SideBySide
    changes: tuple[Change, ...]
    maybe: tuple[MaybeRenamed, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]
    evidence: str

    @property
    def renamed(self) -> dict[str, str]:
        """The earlier name of each column that has another one now."""
        return {c.name: c.now for c in self.changes if c.name != c.now}


def compare(
    earlier: Dataset, table: Table, date: DateChoice, geography: str | None
) -> Comparison | NotTaken | None:
    """The present data as a version of earlier data; None when it is something else.

    It is a version when half of the shorter history overlaps, and there the target and half of the
    channels hold the same values in most cells. Names alone decide nothing: the file of another
    brand has the same ones.
    """
    both = lay_side_by_side(earlier, table, date, geography)
    if both is None or not _overlaps(both):
        return None
    variables = earlier.sidecar.variables
    changes = [
        compare_column(both, v.name, v.name, v.role) for v in variables if v.name in both.after
    ]
    missing = [v for v in variables if v.name not in both.after]
    left_out = earlier.sidecar.treatment.left_out if earlier.sidecar.treatment else ()
    old = {v.name for v in variables} | set(left_out)
    new = [n for n in table.names if n not in old and n not in (date.column, geography)]
    renamed, maybe = _renamed(both, missing, [n for n in new if n in both.after])
    changes += renamed
    taken = {c.name for c in changes} | {c.now for c in changes}
    evidence = _evidence(both, earlier, changes)
    if evidence is None:
        return _not_taken(earlier, changes)
    return Comparison(
        relation="older_version" if _ends_earlier(both) else "newer_version",
        both=both,
        changes=tuple(changes),
        maybe=maybe,
        gone=tuple(v.name for v in missing if v.name not in taken),
        new=tuple(n for n in new if n not in taken),
        evidence=evidence,
    )


def compare_targets(earlier: Dataset, now: Dataset) -> NotTaken | None:
    """Why data does not hold the target of earlier data; None when it does, as in ``compare``."""
    name = now.target.name
    if earlier.target.name != name:
        return NotTaken(f"its target is {earlier.target.name!r}")
    both = lay_datasets(earlier, now)
    if not _overlaps(both):
        before, after = both.periods(both.before), both.periods(both.after)
        return NotTaken(
            f"{len(before.intersection(after))} of its {len(before)} periods are in this data, too "
            "few to know it again"
        )
    found = compare_column(both, name, name, Role.TARGET)
    if found.agreement >= SAME_COLUMN:
        return None
    return NotTaken(
        f"{found.equal} of the {found.telling} values of its target {name!r} that can be compared "
        "are the same"
    )


def _overlaps(both: SideBySide) -> bool:
    before, after = both.periods(both.before), both.periods(both.after)
    shared = len(before.intersection(after))
    return shared >= max(MIN_CELLS, min(len(before), len(after)) / 2)


def _ends_earlier(both: SideBySide) -> bool:
    return bool(both.periods(both.after)[-1] < both.periods(both.before)[-1])


def _evidence(both: SideBySide, earlier: Dataset, changes: Sequence[Change]) -> str | None:
    """The figures by which the data is known again; None when they do not suffice."""
    found = {c.name: c for c in changes}
    target = found.get(earlier.target.name)
    if target is None or target.agreement < SAME_COLUMN:
        return None
    same, telling = _same_channels(earlier, changes)
    if 2 * same < telling:
        return None
    before = both.periods(both.before)
    shared = before.intersection(both.periods(both.after))
    return (
        f"{len(shared)} of the {len(before)} earlier periods are there; in them "
        f"{percent(target.agreement)} of the cells of the target {target.now!r} are the same, and "
        f"so are most cells of {same} of the {len(earlier.channels)} channels"
    )


def _same_channels(earlier: Dataset, changes: Sequence[Change]) -> tuple[int, int]:
    """How many channels hold the same values, and of how many it can be told."""
    names = {v.name for v in earlier.channels}
    telling = [c for c in changes if c.name in names and c.telling >= MIN_CELLS]
    return sum(c.agreement >= SAME_COLUMN for c in telling), len(telling)


def _not_taken(earlier: Dataset, changes: Sequence[Change]) -> NotTaken | None:
    same, telling = _same_channels(earlier, changes)
    if same == 0 or 2 * same < telling:
        return None
    name = earlier.target.name
    target = next((c for c in changes if c.name == name), None)
    but = (
        f"no column holds the values of its target {name!r}"
        if target is None
        else f"only {percent(target.agreement)} of the cells of its target {name!r} are the same"
    )
    return NotTaken(f"{same} of {telling} channels hold the same values, but {but}")


def _renamed(
    both: SideBySide, missing: Sequence[Variable], extra: Sequence[str]
) -> tuple[list[Change], tuple[MaybeRenamed, ...]]:
    """Columns under another name, and those of which it cannot be told."""
    pairs = [compare_column(both, v.name, name, v.role) for v in missing for name in extra]
    strong = [c for c in pairs if _is_one(c, extra)]
    olds, news = Counter(c.name for c in strong), Counter(c.now for c in strong)
    sure = [c for c in strong if olds[c.name] == 1 and news[c.now] == 1]
    taken = {c.name for c in sure} | {c.now for c in sure}
    maybe = tuple(
        MaybeRenamed(c.name, c.now, c.agreement)
        for c in pairs
        if c.agreement >= SAME_COLUMN and c.name not in taken and c.now not in taken
    )
    return sure, maybe


def _is_one(change: Change, extra: Sequence[str]) -> bool:
    """Whether the values say that a column is another one; two flags may be equal by chance."""
    tells = change.distinct >= 3 or same_written(change.name, extra) == (change.now,)
    return tells and change.factor == 1 and change.agreement >= RENAMED

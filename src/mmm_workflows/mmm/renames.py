"""Under which names earlier data had the columns of this data, as EDA recorded it; none is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import read_sidecar
from mmm_workflows.mmm.earlier import Rename
from mmm_workflows.records import Run


class _Recorded(BaseModel):
    """What a result of EDA says of the version before."""

    model_config = ConfigDict(frozen=True)

    mff_data_path: str
    renamed: dict[str, str]


@dataclass(frozen=True)
class _Step:
    """From a table to the earlier version that a run of EDA knew it from."""

    run: Run
    now: str
    before: str
    renamed: Mapping[str, str]


@dataclass(frozen=True)
class Renames:
    """The columns of earlier tables that a table has under another name.

    Attributes:
        by_table: By the hash of a table, or its path; one to which no record leads is not in it.
    """

    by_table: Mapping[str, tuple[Rename, ...]]

    def of(self, mff_path: str) -> tuple[Rename, ...]:
        """Those of the table at a path, or of what it is a copy of."""
        return self.by_table.get(_table(mff_path), ()) if self.by_table else ()


def recorded_renames(runs: Sequence[Run], mff_path: str) -> Renames:
    """The columns that the table at a path has under another name than earlier ones.

    Args:
        runs: Of EDA, the newest first.
        mff_path: The table at hand.
    """
    found = [(run, earlier) for run in runs if (earlier := _recorded(run)) is not None]
    if not any(earlier.renamed for _, earlier in found):
        return Renames({})
    steps = [
        _Step(run, _table(_mff(run)), _table(earlier.mff_data_path), earlier.renamed)
        for run, earlier in found
    ]
    return Renames(_walk(steps, _table(mff_path)))


def _table(mff_path: str) -> str:
    """What tells a table from others: its hash, or its path where its sidecar is gone."""
    try:
        return read_sidecar(Path(mff_path)).mff_sha256
    except DatasetError:
        return mff_path


def _walk(steps: Sequence[_Step], table: str) -> dict[str, tuple[Rename, ...]]:
    """From version to earlier version, each by the shortest way."""
    known: dict[str, tuple[Rename, ...]] = {table: ()}
    ahead = [table]
    while ahead:
        here = ahead.pop(0)
        for step in steps:
            if step.now == here and step.before not in known:
                known[step.before] = _before(known[here], step)
                ahead.append(step.before)
    return known


def _before(renames: Sequence[Rename], step: _Step) -> tuple[Rename, ...]:
    """The renames since the earlier version of a step, from those since the version after it."""
    since = {rename.was: rename for rename in renames}
    fresh = {
        was: Rename(
            was=was,
            now=since[then].now if then in since else then,
            workflow_id=step.run.workflow_id,
            at=step.run.created_at,
        )
        for was, then in step.renamed.items()
    }
    renamed = set(step.renamed.values())
    kept = [rename for was, rename in since.items() if was not in renamed and was not in fresh]
    return (*kept, *fresh.values())


def _recorded(run: Run) -> _Recorded | None:
    try:
        return _Recorded.model_validate((run.result or {}).get("earlier"))
    except ValidationError:
        return None


def _mff(run: Run) -> str:
    return str((run.result or {})["mff_data_path"])

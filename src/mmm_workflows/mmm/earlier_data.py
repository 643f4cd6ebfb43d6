"""Which earlier run read the same data, and what is taken over from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import (
    Dataset,
    Described,
    Sidecar,
    SourceFile,
    read_mff,
    read_sidecar,
)
from mmm_workflows.mmm.dates import choose_dates
from mmm_workflows.mmm.differences import name_differences
from mmm_workflows.mmm.ingest import merge_files
from mmm_workflows.mmm.names import same_written
from mmm_workflows.mmm.tables import Table
from mmm_workflows.mmm.treatment import EarlierTreatment, treatment_of
from mmm_workflows.mmm.versions import Comparison, NotTaken, Relation, compare
from mmm_workflows.records import Decision, Finding, Severity

# Each is read and compared cell by cell; whether one is worth it, its sidecar tells.
TABLES_COMPARED: Final = 8
SAME_NAMES: Final = 0.5
ANSWERS: Final = ("same file", "newer version", "older version", "no")


class EarlierRun(Described):
    """A run of EDA that succeeded: where its MFF lies and which files it was asked to read."""

    workflow_id: str
    at: datetime
    mff_data_path: str
    files: tuple[str, ...]

    @property
    def said(self) -> str:
        """The run as a reason names it."""
        return f"as in run {self.workflow_id} of {self.at:%Y-%m-%d}"


class Remembered(Described):
    """What is taken over from an earlier run; nothing where ``run`` is None.

    Attributes:
        differences: What is not as it was in the earlier version.
        notes: Why something that may be expected was not taken over.
    """

    run: EarlierRun | None = None
    relation: Relation | None = None
    treatment: EarlierTreatment | None = None
    differences: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class Named:
    """The columns that the request names and by which rows are told apart."""

    date_column: str | None
    geography_column: str | None


def find_earlier(runs: Sequence[EarlierRun], tables: Sequence[Table], named: Named) -> Remembered:
    """The run that read these files or another version of them, the newest one first.

    Sidecars are read first. A table is read only where names make it likely, and only so many.

    Args:
        runs: Of one project, the newest first.
        tables: The files as they were typed, not yet merged.
        named: What the request says.
    """
    kept, lost = _sidecars(runs)
    for run, sidecar in kept:
        if _contents(sidecar.sources) == _contents([s for t in tables for s in t.sources]):
            evidence = ", ".join(f"{s.name} has the same content (sha256)" for s in sidecar.sources)
            column = sidecar.treatment.geography_column if sidecar.treatment else None
            treatment = treatment_of(
                sidecar, said=run.said, evidence=evidence, renamed={}, geography_column=column
            )
            return _taken(run, "same_file", treatment, ())
    notes: list[Finding] = []
    likely = _likely(kept, tables)
    for run, _ in likely[:TABLES_COMPARED]:
        try:
            earlier = read_mff(Path(run.mff_data_path))
        except DatasetError as error:
            lost.append((run, error))
            continue
        found = _as_version(run, earlier, tables, named)
        if isinstance(found, Remembered):
            return found.model_copy(update={"notes": tuple(_lost(lost, tables))})
        if found is not None and not notes:
            notes.append(_info("earlier_data_alike", run, found.why))
    more = _not_compared(len(likely) - TABLES_COMPARED)
    return Remembered(notes=(*_lost(lost, tables), *notes, *more))


def _sidecars(
    runs: Sequence[EarlierRun],
) -> tuple[list[tuple[EarlierRun, Sidecar]], list[tuple[EarlierRun, DatasetError]]]:
    kept, lost = [], []
    for run in runs:
        try:
            kept.append((run, read_sidecar(Path(run.mff_data_path))))
        except DatasetError as error:
            lost.append((run, error))
    return kept, lost


def _contents(sources: Sequence[SourceFile]) -> Counter[str]:
    return Counter(s.sha256 for s in sources)


def _likely(
    kept: Sequence[tuple[EarlierRun, Sidecar]], tables: Sequence[Table]
) -> list[tuple[EarlierRun, Sidecar]]:
    """Those with most names of the columns, files of the same name first, each table once."""
    names = {n for t in tables for n in t.names}
    files = _files(tables)
    alike: dict[str, tuple[EarlierRun, Sidecar]] = {}
    for run, sidecar in kept:
        there = sum(v.name in names for v in sidecar.variables)
        if there >= SAME_NAMES * len(sidecar.variables):
            alike.setdefault(sidecar.mff_sha256, (run, sidecar))
    return sorted(alike.values(), key=lambda k: not files & {s.name for s in k[1].sources})


def _as_version(
    run: EarlierRun, earlier: Dataset, tables: Sequence[Table], named: Named
) -> Remembered | NotTaken | None:
    """The data as a version of an earlier one; None when it is something else."""
    sidecar = earlier.sidecar
    names = [n for t in tables for n in t.names]
    geography = _geography(earlier, tables, names, named)
    treatment = treatment_of(
        sidecar, said=run.said, evidence="", renamed={}, geography_column=geography
    )
    try:
        table = merge_files(
            tables, date_column=named.date_column, geography_column=geography, earlier=treatment
        )
        date = choose_dates(table, named.date_column, treatment)
    except DatasetError:
        # What cannot be read is refused by the run itself, with the rules' own words.
        return None
    found = compare(earlier, table, date, geography)
    if not isinstance(found, Comparison):
        return found
    treatment = treatment_of(
        sidecar,
        said=run.said,
        evidence=found.evidence,
        renamed=found.renamed,
        # A column that a national table did not have is chosen by the rules.
        geography_column=None if earlier.geographies == ("",) else geography,
    )
    differences = name_differences(found, earlier, date, geography)
    return _taken(run, found.relation, treatment, differences)


def _geography(
    earlier: Dataset, tables: Sequence[Table], names: Sequence[str], named: Named
) -> str | None:
    """The column of geographies: as named, as before, or the one that holds those of before."""
    if named.geography_column is not None:
        return next(iter(same_written(named.geography_column, names)), None)
    read = earlier.sidecar.treatment
    if read is not None and read.geography_column in names:
        return read.geography_column
    places = set(earlier.geographies)
    holding = [c.name for t in tables for c in t.columns if set(c.cells) == places]
    if places != {""} and len(set(holding)) == 1:
        return holding[0]
    return "Geography" if "Geography" in names else None


def _taken(
    run: EarlierRun,
    relation: Relation,
    treatment: EarlierTreatment,
    differences: tuple[Finding, ...],
) -> Remembered:
    decision = Decision(
        question="Was this data read before?",
        options=ANSWERS,
        choice=relation.replace("_", " "),
        reason=f"it is treated {run.said} where the request leaves it open",
        evidence=treatment.evidence,
    )
    return Remembered(
        run=run,
        relation=relation,
        treatment=treatment,
        differences=differences,
        decisions=(decision,),
    )


def _files(tables: Sequence[Table]) -> set[str]:
    return {s.name for t in tables for s in t.sources}


def _lost(
    lost: Sequence[tuple[EarlierRun, DatasetError]], tables: Sequence[Table]
) -> Iterator[Finding]:
    """That the newest run on files of these names left nothing that can be read."""
    for run, error in lost:
        if _files(tables) & set(run.files):
            yield _info("earlier_data_lost", run, f"its files have the same name, but {error}")
            return


def _info(code: str, run: EarlierRun, why: str) -> Finding:
    message = (
        f"Nothing is taken over from run {run.workflow_id} of {run.at:%Y-%m-%d}: "
        f"{why.removesuffix('.')}."
    )
    return Finding(code=code, severity=Severity.INFO, message=message)


def _not_compared(count: int) -> Iterator[Finding]:
    if count > 0:
        yield Finding(
            code="earlier_data_not_compared",
            severity=Severity.INFO,
            message=f"{TABLES_COMPARED} earlier tables with columns of these names hold other "
            f"data; {count} more were not compared. Name target, channels and controls to be sure.",
        )

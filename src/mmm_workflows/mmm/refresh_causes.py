"""What may have moved a fit, and the refits that tell several causes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.earlier import EarlierFit
from mmm_workflows.mmm.model_files import Manifest
from mmm_workflows.mmm.refresh_spec import ABSENT, on_data
from mmm_workflows.mmm.refresh_values import Cause, DataChange, SpecChange
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.spec import ModelSpec

# One is added after the other in this order; with another order the shares may differ.
ORDER: Final = (Cause.SOFTWARE, Cause.DROPPED, Cause.RESTATED, Cause.ADDED, Cause.SPEC)

# What is refitted on the data of the earlier fit.
ON_EARLIER: Final = (Cause.SOFTWARE, Cause.DROPPED)


@dataclass(frozen=True)
class Refit:
    """A fit between the earlier one and this: what it adds to the one before, and its inputs."""

    cause: Cause
    mff_path: Path
    mff_sha256: str
    spec: ModelSpec
    seed: int


def find_causes(
    data: DataChange | None, *, same_file: bool, spec: Sequence[SpecChange],
    software: Sequence[SpecChange],
) -> tuple[Cause, ...]:  # fmt: skip
    """Everything that differs, in the order in which it is told apart.

    Args:
        data: None where the earlier data cannot be read any more.
        same_file: Whether both fits read the same MFF.
        spec: The choices that differ.
        software: The versions that differ.
    """
    known = data or DataChange()
    present = {
        Cause.SOFTWARE: bool(software),
        Cause.DATA: data is None and not same_file,
        Cause.DROPPED: known.dropped is not None,
        Cause.RESTATED: bool(known.restated),
        Cause.ADDED: known.added is not None,
        Cause.SPEC: bool(spec),
    }
    return tuple(cause for cause, is_there in present.items() if is_there)


def compare_software(
    before: Manifest, after: Manifest, *, same_spec: bool
) -> tuple[SpecChange, ...]:
    """The versions under which two fits were made, where they differ."""
    names = dict.fromkeys((*before.versions, *after.versions))
    changes = tuple(
        SpecChange(
            field=name,
            before=before.versions.get(name, ABSENT),
            after=after.versions.get(name, ABSENT),
        )
        for name in names
        if before.versions.get(name) != after.versions.get(name)
    )
    equal = ("mff_sha256", "seed", "depth")
    inputs = same_spec and all(getattr(before, name) == getattr(after, name) for name in equal)
    if inputs and not changes and before.key != after.key:
        # The key is of the code too, whatever version it calls itself.
        return (SpecChange(field="code", before=before.key[:12], after=after.key[:12]),)
    return changes


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The inputs of the earlier fit and of this one.

    Attributes:
        before: The data of the earlier fit; it can be read.
        common: The periods that both fits share.
        seed: Of this run.
    """

    earlier: EarlierFit
    manifest: Manifest
    before: Dataset
    before_path: Path
    now: Dataset
    now_path: Path
    common: Window
    seed: int


def plan_refits(causes: Sequence[Cause], ends: Ends) -> tuple[Refit, ...] | str:
    """The fits that lie between the earlier one and this, or why there can be none.

    The last cause needs none: what it adds leads to this fit.
    """
    spec = ends.earlier.spec
    wanted = [spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)]
    known = {v.name for v in ends.now.sidecar.variables}
    gone = [name for name in wanted if name not in known]
    if gone:
        return f"the earlier model needs {', '.join(gone)}, which this data does not have"
    apart = [cause for cause in ORDER if cause in causes][:-1]
    on_earlier = [cause for cause in apart if cause in ON_EARLIER]
    if on_earlier and ends.earlier.renamed:
        called = ", ".join(f"{r.now} {r.was!r}" for r in ends.earlier.renamed)
        return f"the data of the earlier fit, on which one has to be made, calls {called}"
    refits = []
    for cause in apart:
        try:
            refits.append(_refit(cause, ends, wanted))
        except SpecError as error:
            return f"the earlier choices do not fit the other data: {error.message}"
    return tuple(refits)


def _refit(cause: Cause, ends: Ends, names: Sequence[str]) -> Refit:
    spec = ends.earlier.spec
    if cause in ON_EARLIER:
        data, path, seed = ends.before, ends.before_path, ends.manifest.seed
    else:
        data, path, seed = ends.now, ends.now_path, ends.seed
    if cause is not Cause.SOFTWARE:
        part = _part(data, names, None if cause is Cause.ADDED else ends.common)
        _refuse_idle(spec, part)
        spec = on_data(spec, part)
    return Refit(cause, path, data.sidecar.mff_sha256, spec, seed)


def _refuse_idle(spec: ModelSpec, data: Dataset) -> None:
    frame = data.national()
    idle = [c.name for c in spec.channels if not frame[c.name].sum() > 0]
    if idle:
        raise SpecError(f"{', '.join(idle)} has no spend in it.")


def _part(dataset: Dataset, names: Sequence[str], window: Window | None) -> Dataset:
    """Some variables of a dataset, in some of its periods."""
    frame = dataset.frame[dataset.frame["VariableName"].isin(names)]
    if window is not None:
        frame = frame[frame["Period"].between(str(window.start), str(window.end))]
    variables = tuple(v for v in dataset.sidecar.variables if v.name in names)
    return replace(
        dataset, frame=frame, sidecar=dataset.sidecar.model_copy(update={"variables": variables})
    )

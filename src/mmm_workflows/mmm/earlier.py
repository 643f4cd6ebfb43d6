"""The fits that a project has made of one target before, as their runs stored them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from mmm_workflows.mmm.results import ChannelResult, FitVerdict, Value, Window
from mmm_workflows.mmm.spec import ChannelSpec, ControlSpec, ModelSpec
from mmm_workflows.records import Depth, Run

if TYPE_CHECKING:
    from mmm_workflows.mmm.dataset import Dataset

SAID: Final[dict[FitVerdict, str]] = {
    FitVerdict.PASS: "which passed",
    FitVerdict.WARN: "which passed with warnings",
    FitVerdict.FAIL: "which failed",
}


class Rename(Value):
    """A column that had another name until a run of EDA read it under its next one.

    Attributes:
        now: What this data calls it, after all that came since.
        workflow_id: That run of EDA, begun ``at``.
    """

    was: str
    now: str
    workflow_id: str
    at: datetime

    @property
    def until(self) -> str:
        """The earlier name with its end, as a sentence has it."""
        return f"{self.was!r} until run {self.workflow_id} of {self.at:%Y-%m-%d}"


class EarlierFit(Value):
    """A fit of an earlier run: what was chosen, what came out, and where its files lay.

    Attributes:
        spec, channels: By the names that the variables have now.
        renamed: The variables that its data calls otherwise.
    """

    workflow_id: str
    ended_at: datetime
    seed: int
    depth: Depth
    spec: ModelSpec
    fit_verdict: FitVerdict
    window: Window
    channels: tuple[ChannelResult, ...]
    model_path: str
    mff_path: str
    renamed: tuple[Rename, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """The present name of each variable that its data called otherwise."""
        return {rename.was: rename.now for rename in self.renamed}

    def rename_of(self, name: str) -> Rename | None:
        """How a variable came to its present name; None where the fit had it under that."""
        return next((rename for rename in self.renamed if rename.now == name), None)

    @property
    def named(self) -> str:
        """The run with its verdict, as a sentence names it."""
        return (
            f"run {self.workflow_id} of {self.ended_at:%Y-%m-%d}, {SAID[self.fit_verdict]} "
            f"at depth {self.depth}"
        )


class OtherData(Value):
    """Runs of which nothing is taken, and why their data is not known again as this data's."""

    workflow_ids: tuple[str, ...]
    why: str


class EarlierFits(Value):
    """The earlier fits of a target, the newest first, and the runs that are none.

    Attributes:
        unreadable: Runs whose result is stored in a form that is not known here.
        other_data: Runs that have no more than names in common with this data, as far as is told.
    """

    fits: tuple[EarlierFit, ...] = ()
    unreadable: tuple[str, ...] = ()
    other_data: tuple[OtherData, ...] = ()

    @property
    def worked(self) -> EarlierFit | None:
        """The newest that passed, else the newest that passed with warnings."""
        for verdict in (FitVerdict.PASS, FitVerdict.WARN):
            for fit in self.fits:
                if fit.fit_verdict is verdict:
                    return fit
        return None

    def before(self, model_path: str) -> EarlierFit | None:
        """The newest usable fit that is another one than this; an equal fit tells nothing."""
        usable = (f for f in self.fits if f.fit_verdict is not FitVerdict.FAIL)
        return next((fit for fit in usable if fit.model_path != model_path), None)


def earlier_fits(
    runs: Sequence[Run],
    dataset: Dataset,
    renames_of: Callable[[str], Sequence[Rename]] = lambda _: (),
) -> EarlierFits:
    """Those of some succeeded runs that explain series of the same names as this data.

    That is: the same target, unit, frequency and currency of spend, and a channel in common. The
    data of another brand has these too: ``known_again`` looks at the values.

    Args:
        runs: Of Modeling.
        dataset: The data to be fitted.
        renames_of: What EDA recorded of the names of the data at a path.
    """
    fits, unreadable = [], []
    for run in sorted(runs, key=lambda r: r.updated_at, reverse=True):
        fit = _read(run)
        if fit is None:
            unreadable.append(run.workflow_id)
            continue
        fit = _under_present_names(fit, renames_of(fit.mff_path))
        if _has_distinct_names(fit.spec) and _is_of(fit.spec, dataset):
            fits.append(fit)
    return EarlierFits(fits=tuple(fits), unreadable=tuple(unreadable))


def _read(run: Run) -> EarlierFit | None:
    """The fit of a run; None where another version stored it in a form that is not known here."""
    result = run.result or {}
    try:
        return EarlierFit(
            workflow_id=run.workflow_id,
            ended_at=run.updated_at,
            seed=run.seed,
            depth=run.depth,
            spec=ModelSpec.model_validate(result["model_spec"]),
            fit_verdict=result["fit_verdict"],
            window=result["window"],
            channels=result["channels"],
            model_path=result["model_artifact_path"],
            mff_path=run.request["mff_data_path"],
        )
    except (KeyError, ValidationError):
        return None


def _under_present_names(fit: EarlierFit, renames: Sequence[Rename]) -> EarlierFit:
    spec = fit.spec
    variables = {spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)}
    own = tuple(rename for rename in renames if rename.was in variables)
    names = {rename.was: rename.now for rename in own}

    def called[C: (ChannelSpec, ControlSpec)](choices: tuple[C, ...]) -> tuple[C, ...]:
        return tuple(c.model_copy(update={"name": names.get(c.name, c.name)}) for c in choices)

    present = {
        "target": names.get(spec.target, spec.target),
        "channels": called(spec.channels),
        "controls": called(spec.controls),
    }
    results = tuple(
        c.model_copy(update={"channel": names.get(c.channel, c.channel)}) for c in fit.channels
    )
    return fit.model_copy(
        update={"spec": spec.model_copy(update=present), "channels": results, "renamed": own}
    )


def _has_distinct_names(spec: ModelSpec) -> bool:
    """A name that a column lost long ago may have become another one's since."""
    names = [spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)]
    return len(set(names)) == len(names)


def _is_of(spec: ModelSpec, dataset: Dataset) -> bool:
    target = dataset.target
    units = {channel.name: channel.unit for channel in dataset.channels}
    return (
        spec.target == target.name
        and spec.target_unit == target.unit
        and spec.target_is_money == target.is_money
        and spec.frequency is dataset.sidecar.frequency
        and any(units.get(channel.name) == spec.spend_unit for channel in spec.channels)
    )

"""Two model folders and their data, compared; refits between them are left to the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import Dataset, read_mff
from mmm_workflows.mmm.earlier import EarlierFit
from mmm_workflows.mmm.model_files import ModelFolder
from mmm_workflows.mmm.refresh import Fitted, compare_channels, compare_moves, shared_window
from mmm_workflows.mmm.refresh_causes import (
    Ends,
    Refit,
    compare_software,
    find_causes,
    plan_refits,
)
from mmm_workflows.mmm.refresh_data import compare_data
from mmm_workflows.mmm.refresh_note import describe
from mmm_workflows.mmm.refresh_spec import compare_specs
from mmm_workflows.mmm.refresh_values import ChannelRefresh, DataChange, Refresh, Rung
from mmm_workflows.mmm.results import FitVerdict
from mmm_workflows.records import Depth

REFITS: Final = "the refits that tell the causes of a change apart run at depth full"
REFIT_FAILED: Final = "the refit after {} failed its diagnostics"
NOT_SHARED: Final = "the fits have no unbroken row of periods in common"


@dataclass(frozen=True)
class Pair:
    """An earlier fit and this one."""

    earlier: EarlierFit
    before: ModelFolder
    after: ModelFolder
    mff_path: Path


def compare_models(pair: Pair) -> Refresh:
    """What differs between two fits and how far each channel moved; its note comes last."""
    spec = pair.after.spec()
    changes = compare_specs(pair.earlier.spec, spec)
    software = compare_software(
        pair.before.manifest, pair.after.manifest, same_spec=pair.earlier.spec == spec
    )
    data, reasons = _data(pair)
    same_file = pair.before.manifest.mff_sha256 == pair.after.manifest.mff_sha256
    causes = find_causes(data, same_file=same_file, spec=changes, software=software)
    before, after = _before(pair), _fitted(pair.after)
    window = shared_window(before.draws, after.draws)
    channels: tuple[ChannelRefresh, ...] = ()
    left_out: dict[str, str] = {}
    if window is None:
        reasons["common_window"] = NOT_SHARED
    else:
        channels, left_out = compare_channels(before, after, window, causes)
    return Refresh(
        earlier_run=pair.earlier.workflow_id,
        earlier_ended_at=pair.earlier.ended_at,
        earlier_model_path=pair.earlier.model_path,
        earlier_fit_verdict=pair.earlier.fit_verdict,
        earlier_window=pair.earlier.window,
        common_window=window,
        data=data,
        spec=changes,
        software=software,
        causes=causes,
        channels=channels,
        left_out=left_out,
        reasons=reasons,
    )


def refits_of(pair: Pair, refresh: Refresh, depth: Depth, seed: int) -> tuple[Refit, ...] | str:
    """The refits that tell the causes of a change apart, or why there are none to be made."""
    if len(refresh.causes) < 2:
        return ()
    if refresh.common_window is None:
        return NOT_SHARED
    if refresh.data is None:
        return f"the data cannot be compared: {refresh.reasons['data']}"
    same = pair.before.manifest.mff_sha256 == pair.after.manifest.mff_sha256
    before_path = pair.mff_path if same else Path(pair.earlier.mff_path)
    ends = Ends(
        earlier=pair.earlier,
        manifest=pair.before.manifest,
        before=read_mff(before_path),
        before_path=before_path,
        now=read_mff(pair.mff_path),
        now_path=pair.mff_path,
        common=refresh.common_window,
        seed=seed,
    )
    planned = plan_refits(refresh.causes, ends)
    if isinstance(planned, str) or depth is Depth.FULL:
        return planned
    return REFITS


def climb(pair: Pair, refresh: Refresh, refits: list[tuple[Refit, ModelFolder]]) -> Refresh:
    """The refresh with one rung per cause: from the earlier fit over the refits to this one.

    A refit that failed ends it: from what it says neither cause beside it can be told.
    """
    assert refresh.common_window is not None
    for refit, model in refits:
        if model.results().fit_verdict is FitVerdict.FAIL:
            failed = REFIT_FAILED.format(refit.cause.replace("_", " "))
            return refresh.model_copy(update={"not_run": (failed,)})
    models = [_before(pair), *(_fitted(model) for _, model in refits), _fitted(pair.after)]
    paths = [str(model.path) for model in (*(model for _, model in refits), pair.after)]
    told = [refit.cause for refit, _ in refits]
    causes = (*told, *(cause for cause in refresh.causes if cause not in told))
    rungs = tuple(
        Rung(
            cause=cause,
            model_path=path,
            moves=compare_moves(below, above, refresh.common_window)[0],
        )
        for cause, path, below, above in zip(causes, paths, models[:-1], models[1:], strict=True)
    )
    return refresh.model_copy(update={"ladder": rungs})


def with_note(pair: Pair, refresh: Refresh) -> Refresh:
    """The refresh with its note."""
    return refresh.model_copy(
        update={"note": " ".join(describe(refresh, pair.earlier.spec.frequency))}
    )


def _fitted(model: ModelFolder) -> Fitted:
    return Fitted(model.draws(), model.results().diagnostics.chains)


def _before(pair: Pair) -> Fitted:
    """The earlier fit, by the names that its channels have now."""
    found, names = _fitted(pair.before), pair.earlier.names
    channels = tuple(names.get(name, name) for name in found.draws.channels)
    return replace(found, draws=replace(found.draws, channels=channels))


def _data(pair: Pair) -> tuple[DataChange | None, dict[str, str]]:
    """How the data of the fits differ; None with a reason where that of before is gone."""
    if pair.before.manifest.mff_sha256 == pair.after.manifest.mff_sha256:
        return DataChange(), {}
    try:
        earlier = read_mff(Path(pair.earlier.mff_path))
    except DatasetError as error:
        return None, {"data": f"those of the earlier fit cannot be read: {error.message}"}
    if earlier.sidecar.mff_sha256 != pair.before.manifest.mff_sha256:
        return None, {"data": "those of the earlier fit are no longer where they were"}
    earlier, now = earlier.under(pair.earlier.names), read_mff(pair.mff_path)
    return compare_data(earlier, now, _modelled(earlier, pair)), {}


def _modelled(earlier: Dataset, pair: Pair) -> tuple[str, ...]:
    """The variables of either model, in the order of the earlier data."""
    names: set[str] = set()
    for spec in (pair.earlier.spec, pair.after.spec()):
        names |= {spec.target, *(c.name for c in spec.channels), *(c.name for c in spec.controls)}
    return tuple(v.name for v in earlier.sidecar.variables if v.name in names)

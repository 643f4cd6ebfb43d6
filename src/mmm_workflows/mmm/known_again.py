"""Which earlier fits explain this data or another version of it; names alone decide nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmm_workflows.errors import DatasetError, ModelFileError
from mmm_workflows.mmm.dataset import Dataset, read_mff, read_sidecar
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits, OtherData
from mmm_workflows.mmm.earlier_data import TABLES_COMPARED
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.versions import compare_targets


@dataclass(frozen=True)
class _Fitted:
    """A fit with what tells its data apart: its hash, its files, or why it cannot be read."""

    fit: EarlierFit
    sha256: str | None
    files: frozenset[str] = frozenset()
    lost: str = ""


def known_again(found: EarlierFits, dataset: Dataset) -> EarlierFits:
    """Those of some earlier fits whose data is a version of this data, and why the others' is not.

    Data of the same hash is the same. Any other is read once, files of the same name first, and
    only so many.

    Args:
        found: Fits of a target of this name, the newest first.
        dataset: The data to be fitted.
    """
    fitted = [_fitted(fit) for fit in found.fits]
    why = _compared(fitted, dataset)
    kept, other = [], dict[str, list[str]]()
    for one in fitted:
        # Another run may have left what this one lost.
        because = why.get(one.sha256, one.lost)
        if because:
            other.setdefault(because, []).append(one.fit.workflow_id)
        else:
            kept.append(one.fit)
    return found.model_copy(
        update={
            "fits": tuple(kept),
            "other_data": tuple(
                OtherData(workflow_ids=tuple(runs), why=because) for because, runs in other.items()
            ),
        }
    )


def _compared(fitted: list[_Fitted], dataset: Dataset) -> dict[str | None, str]:
    """Per hash why its data is no version of this data; empty where it is one."""
    files = {source.name for source in dataset.sidecar.sources}
    why: dict[str | None, str] = {dataset.sidecar.mff_sha256: ""}
    for one in sorted(fitted, key=lambda one: not files & one.files):
        if one.lost or one.sha256 in why:
            continue
        # One of them is this data itself, which is not read again.
        if len(why) > TABLES_COMPARED:
            why[one.sha256] = f"its data was not compared, after {TABLES_COMPARED} other tables"
        else:
            why[one.sha256] = _why_not(one.fit, dataset)
    return why


def _why_not(fit: EarlierFit, dataset: Dataset) -> str:
    try:
        found = compare_targets(read_mff(Path(fit.mff_path)).under(fit.names), dataset)
    except DatasetError as error:
        return _unread(error)
    return found.why if found else ""


def _fitted(fit: EarlierFit) -> _Fitted:
    sha256 = _hash_of(fit)
    try:
        sidecar = read_sidecar(Path(fit.mff_path))
    except DatasetError as error:
        return _Fitted(fit, sha256, lost=_unread(error))
    if sha256 is not None and sidecar.mff_sha256 != sha256:
        return _Fitted(fit, sha256, lost="its data is no longer where it was")
    return _Fitted(fit, sidecar.mff_sha256, frozenset(s.name for s in sidecar.sources))


def _hash_of(fit: EarlierFit) -> str | None:
    """The hash of a fit's data as its model keeps it; None where the model is gone."""
    try:
        return open_model(Path(fit.model_path)).manifest.mff_sha256
    except ModelFileError:
        return None


def _unread(error: DatasetError) -> str:
    return f"its data cannot be read: {error.message.removesuffix('.')}"

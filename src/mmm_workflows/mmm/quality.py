"""Whether the data can be modelled, and what the reader should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import Dataset, Described
from mmm_workflows.mmm.figures import figure, percent
from mmm_workflows.mmm.spec import PERIODS_PER_YEAR, Frequency
from mmm_workflows.records import Finding, Severity

CORRELATION_WARN: Final = 0.8
INFLATION_WARN: Final = 10.0
SPARSE_WARN: Final = 0.6
TINY_SHARE_WARN: Final = 0.02
OUTLIER_ROBUST_Z: Final = 5.0
ROWS_PER_PARAMETER_WARN: Final = 4.0
# Of the usual model: three numbers per channel, one per control, and level, trend, season, noise.
FIXED_PARAMETERS: Final = 10
SHOWN: Final = 3


class DataVerdict(StrEnum):
    """Whether the data can be modelled."""

    READY = "ready"
    REVIEW = "review"
    BLOCKED = "blocked"


class QualityReport(Described):
    """The findings, and the verdict that follows from the worst of them."""

    findings: tuple[Finding, ...]
    data_verdict: DataVerdict
    periods: int
    frequency: Frequency


def check(dataset: Dataset, earlier: Sequence[Finding] = ()) -> QualityReport:
    """Run every check on the data added up to national.

    Raises:
        DatasetError: The data cannot be modelled: a negative spend, or a target that is constant
            or never above zero.
    """
    frame = dataset.national()
    channels = [v.name for v in dataset.channels]
    _refuse_negative(dataset, channels)
    _refuse_target(frame[dataset.target.name])
    findings = (
        *earlier,
        *_history(len(frame), dataset.sidecar.frequency),
        *_parameters(len(frame), len(channels), len(dataset.controls)),
        *_spend_findings(frame[channels]),
        *_collinear(frame[channels]),
        *_outliers(frame[dataset.target.name]),
        *_flat_controls(frame[[v.name for v in dataset.controls]]),
    )
    return QualityReport(
        findings=findings,
        data_verdict=_verdict(findings),
        periods=len(frame),
        frequency=dataset.sidecar.frequency,
    )


def _verdict(findings: Sequence[Finding]) -> DataVerdict:
    severities = {f.severity for f in findings}
    if Severity.ERROR in severities:
        return DataVerdict.BLOCKED
    return DataVerdict.REVIEW if Severity.WARNING in severities else DataVerdict.READY


def _refuse_negative(dataset: Dataset, channels: list[str]) -> None:
    frame = dataset.frame
    bad = frame[frame["VariableName"].isin(channels) & (frame["VariableValue"] < 0)]
    if not bad.empty:
        first = bad.iloc[0]
        place = f" in {first['Geography']}" if first["Geography"] else ""
        raise DatasetError(
            f"The channel {first['VariableName']!r} has the spend {first['VariableValue']:g} in the "
            f"period of {first['Period']:%Y-%m-%d}{place}; {len(bad)} cells are below zero. Book "
            "refunds in the period they belong to, or set them to 0.",
            code="dataset_negative_spend",
        )


def _refuse_target(target: pd.Series) -> None:
    if target.nunique() == 1:
        raise DatasetError(
            f"The target {target.name!r} is {target.iloc[0]:g} in every period, so there is nothing "
            "to explain. Name the column that holds sales or revenue.",
            code="dataset_constant",
        )
    if target.max() <= 0:
        raise DatasetError(
            f"The target {target.name!r} is at most {target.max():g}, and media is modelled by what "
            "it adds to a target above zero. Turn the sign, or name the column that holds sales.",
            code="dataset_target_not_positive",
        )


def _history(periods: int, frequency: Frequency) -> list[Finding]:
    years = periods / PERIODS_PER_YEAR[frequency]
    if years >= 2:
        return []
    return [
        _warning(
            "history_short",
            f"The data covers {years:.1f} years; a season is seen twice only in 2 or more.",
        )
    ]


def _parameters(periods: int, channels: int, controls: int) -> list[Finding]:
    parameters = 3 * channels + controls + FIXED_PARAMETERS
    ratio = periods / parameters
    if ratio >= ROWS_PER_PARAMETER_WARN:
        return []
    return [
        _warning(
            "data_thin",
            f"There are {ratio:.1f} periods per parameter ({periods} for about {parameters}): "
            "single channels will have wide intervals. Add history or merge small channels.",
        )
    ]


def _spend_findings(spend: pd.DataFrame) -> list[Finding]:
    findings = []
    whole = float(spend.to_numpy().sum())
    for name, series in spend.items():
        share = float(series.sum()) / whole if whole else 0.0
        idle = float((series == 0).mean())
        if series.sum() == 0:
            said = f"The channel {name!r} has no spend; it will not be in the model."
            findings.append(_warning("channel_without_spend", said, str(name)))
        elif series.nunique() == 1:
            said = f"The spend of {name!r} never varies, so its effect cannot be told apart."
            findings.append(_warning("channel_constant", said, str(name)))
        elif idle > SPARSE_WARN:
            said = f"The channel {name!r} has no spend in {percent(idle)} of the periods."
            findings.append(_warning("channel_sparse", said, str(name)))
        if 0 < share < TINY_SHARE_WARN:
            said = (
                f"The channel {name!r} has {percent(share)} of the spend: its effect drowns in the "
                "noise, and its prior will decide."
            )
            findings.append(_warning("channel_tiny", said, str(name)))
    return findings


def _collinear(spend: pd.DataFrame) -> list[Finding]:
    varying = spend.loc[:, spend.nunique() > 1]
    if varying.shape[1] < 2:
        return []
    correlation = varying.corr().to_numpy()
    names = [str(n) for n in varying.columns]
    findings = []
    for i, j in zip(*np.triu_indices(len(correlation), k=1), strict=True):
        if abs(correlation[i, j]) > CORRELATION_WARN:
            one, other = names[i], names[j]
            said = (
                f"The spends of {one!r} and {other!r} correlate by {correlation[i, j]:.2f}: the "
                "data can hardly tell which of them worked."
            )
            findings.append(_warning("channels_correlate", said, one))
    inflation = np.diag(np.linalg.pinv(correlation))
    for name, value in zip(names, inflation, strict=True):
        if value > INFLATION_WARN:
            said = (
                f"The spend of {name!r} follows from the others (variance inflation "
                f"{figure(float(value))}): its effect cannot be told apart."
            )
            findings.append(_warning("channel_redundant", said, name))
    return findings


def _outliers(target: pd.Series) -> list[Finding]:
    spread = 1.4826 * float((target - target.median()).abs().median())
    if spread == 0:
        return []
    far = target[((target - target.median()).abs() / spread) > OUTLIER_ROBUST_Z]
    if far.empty:
        return []
    listed = tuple(f"{when:%Y-%m-%d}: {figure(float(v))}" for when, v in far.items())
    return [
        Finding(
            code="target_outliers",
            severity=Severity.WARNING,
            message=f"{len(far)} values of {target.name!r} lie far from the rest: "
            f"{', '.join(listed[:SHOWN])}. Check them, or name their cause as a control.",
            variable=str(target.name),
            cells=listed,
        )
    ]


def _flat_controls(controls: pd.DataFrame) -> list[Finding]:
    return [
        _warning("control_constant", f"The control {name!r} never varies.", str(name))
        for name, series in controls.items()
        if series.nunique() == 1
    ]


def _warning(code: str, message: str, variable: str | None = None) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, message=message, variable=variable)

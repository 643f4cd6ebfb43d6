"""What the data suggests for modeling; each sentence rests on a finding or a count."""

from __future__ import annotations

from typing import Final

from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.quality import DataVerdict, QualityReport
from mmm_workflows.mmm.spec import DEFAULT_L_MAX, PERIODS_PER_YEAR
from mmm_workflows.records import Severity

BY_FINDING = {
    "channels_correlate": "vary the budgets of {names} against each other, or merge them: as they "
    "are, read their sum rather than each",
    "channel_redundant": "leave out or merge {names}: their spend follows from the others",
    "channel_tiny": "merge {names} into a larger channel",
    "channel_sparse": "expect wide intervals for {names}, which ran in few periods",
    "channel_constant": "vary the spend of {names} before asking what it does",
    "column_unused": "name the role of {names} if they drive demand",
    "target_outliers": "explain the outlying periods of {names} by a control",
    "target_unit_assumed": "confirm the unit of {names}",
}


def recommend(dataset: Dataset, report: QualityReport) -> tuple[str, ...]:
    """Sentences for the reader, the most pressing first."""
    years = report.periods / PERIODS_PER_YEAR[report.frequency]
    season = "with" if years >= 1.5 else "without"
    opening = (
        f"Model {dataset.target.name} on {report.periods} {report.frequency} periods "
        f"({years:.1f} years) {season} a yearly season, carry-over of up to "
        f"{DEFAULT_L_MAX[report.frequency]} periods, and {len(dataset.channels)} channels."
    )
    grouped: dict[str, list[str]] = {}
    for finding in report.findings:
        if finding.code in BY_FINDING and finding.variable is not None:
            names = grouped.setdefault(finding.code, [])
            if finding.variable not in names:
                names.append(finding.variable)
    advice = [
        _sentence(BY_FINDING[code].format(names=", ".join(grouped[code])))
        for code in BY_FINDING
        if code in grouped
    ]
    if not dataset.controls:
        advice.append(
            "Add price, promotions and other drivers of demand: without them media is given "
            "their credit."
        )
    return (opening, *advice)


VERDICTS: Final = {
    DataVerdict.READY: "The data can be modelled as it is.",
    DataVerdict.REVIEW: "The data can be modelled; read the warnings first.",
    DataVerdict.BLOCKED: "The data should not be modelled before its errors are mended.",
}


def describe_quality(report: QualityReport) -> tuple[str, ...]:
    """Whether the data can be modelled, and what stands against it."""
    pressing = [f.message for f in report.findings if f.severity is not Severity.INFO]
    return (VERDICTS[report.data_verdict], *pressing)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

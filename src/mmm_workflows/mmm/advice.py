"""What the data suggests for modeling; each sentence rests on a finding or a count."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.quality import DataVerdict, QualityReport
from mmm_workflows.mmm.spec import DEFAULT_L_MAX, PERIODS_PER_YEAR
from mmm_workflows.mmm.versions import Relation
from mmm_workflows.records import Severity

BY_FINDING = {
    "history_restated": "fit the model afresh before comparing it with an earlier one, and read a "
    "change in what media returns as one of the data first: the history of {names} was restated",
    "scale_changed": "make sure of the unit of {names} before reading any return: the scale changed",
    "column_maybe_renamed": "name the role of {names}: a column of before may have been renamed to it",
    "column_removed": "ask why {names} is missing: results without it cannot be set beside those "
    "of before",
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
        is_pressing = finding.severity is not Severity.INFO
        if finding.code in BY_FINDING and finding.variable is not None and is_pressing:
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


RELATION_WORDS: Final[dict[Relation, str]] = {
    "same_file": "the same file as in",
    "newer_version": "a newer version of the data of",
    "older_version": "an older version of the data of",
}


def describe_earlier(relation: Relation, workflow_id: str, at: datetime, differences: int) -> str:
    """Which earlier run the data was known from, and how many differences were found."""
    counted = {0: "no difference", 1: "1 difference"}.get(differences, f"{differences} differences")
    return (
        f"This is {RELATION_WORDS[relation]} run {workflow_id} of {at:%Y-%m-%d}, with {counted}; it "
        "was treated in the same way where the request left it open."
    )


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

"""A plan's data requirements, ticked against a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.channel_words import of_kind
from mmm_workflows.mmm.dataset import Dataset, Variable
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.names import same_channel, words_of
from mmm_workflows.mmm.plan import DataRequirement, Status, TickedRequirement
from mmm_workflows.mmm.roles import TARGET_WORDS
from mmm_workflows.mmm.spec import PERIODS_PER_YEAR, Frequency

_WORST_FIRST: Final[tuple[Status, ...]] = ("not_met", "unknown", "met")
_FINEST_FIRST: Final = (Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY)
_YEARS: Final = {"year": 1.0, "month": 1 / 12, "week": 1 / 52, "day": 1 / 365}
_HISTORY: Final = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s+(?P<unit>year|month|week|day)s?\b")


def tick(
    requirements: Sequence[DataRequirement], dataset: Dataset
) -> tuple[TickedRequirement, ...]:
    """Each requirement of a plan held against the data, in the plan's order.

    A requirement that no column is named like is not met; one that several are named like, or whose
    words cannot be read, is unknown.
    """
    return tuple(_tick(requirement, dataset) for requirement in requirements)


def _tick(requirement: DataRequirement, dataset: Dataset) -> TickedRequirement:
    found = _matching(requirement.variable, dataset)
    if not found:
        return _missing(requirement, dataset)
    if len(found) > 1:
        names = ", ".join(v.name for v in found)
        return TickedRequirement(
            requirement=requirement, status="unknown", reason=f"it could be any of {names}"
        )
    checks = [
        _granularity(requirement, dataset),
        _history(requirement, dataset, found[0]),
        _unit(requirement, found[0]),
    ]
    worst = min((status for status, _ in checks), key=_WORST_FIRST.index)
    said = [reason for status, reason in checks if status == worst and reason]
    return TickedRequirement(
        requirement=requirement,
        status=worst,
        reason="; ".join(said) or "the column is there",
        column=found[0].name,
    )


def _missing(requirement: DataRequirement, dataset: Dataset) -> TickedRequirement:
    wanted, target = requirement.variable, dataset.target.name
    if TARGET_WORDS & set(words_of(wanted)):
        # Sales may be counted in pieces and revenue in money, so one does not stand for the other.
        return TickedRequirement(
            requirement=requirement,
            status="unknown",
            reason=f"no column is named like {wanted!r}; the data explains {target!r}",
        )
    return TickedRequirement(
        requirement=requirement, status="not_met", reason=f"no column is named like {wanted!r}"
    )


def _matching(wanted: str, dataset: Dataset) -> list[Variable]:
    variables = list(dataset.sidecar.variables)
    names = same_channel(wanted, [v.name for v in variables])
    if not names:
        names = of_kind(_without_spend(wanted), [v.name for v in dataset.channels])
    return [v for v in variables if v.name in names]


def _without_spend(wanted: str) -> str:
    """The kind of channel that a requirement asks for: ``TV spend`` asks for ``TV``."""
    return re.sub(r"\s+spend$", "", wanted, flags=re.IGNORECASE)


def _granularity(requirement: DataRequirement, dataset: Dataset) -> tuple[Status, str]:
    if requirement.granularity is None:
        return "met", ""
    has = dataset.sidecar.frequency
    if requirement.granularity not in list(Frequency):
        return "unknown", f"{requirement.granularity!r} is no granularity that can be checked"
    wanted = Frequency(requirement.granularity)
    if _FINEST_FIRST.index(has) <= _FINEST_FIRST.index(wanted):
        return "met", f"it is {has}"
    return "not_met", f"it is {has}, and {wanted} is needed"


def _history(
    requirement: DataRequirement, dataset: Dataset, variable: Variable
) -> tuple[Status, str]:
    if requirement.history is None:
        return "met", ""
    match = _HISTORY.search(requirement.history)
    if match is None:
        return "unknown", f"{requirement.history!r} names no length that can be checked"
    needed = float(match["count"]) * _YEARS[match["unit"]]
    frame = dataset.frame
    periods = frame[frame["VariableName"] == variable.name]["Period"].nunique()
    has = periods / PERIODS_PER_YEAR[dataset.sidecar.frequency]
    said = f"it covers {figure(has)} years"
    # A period that was cut off at the edge of a year does not count against it.
    slack = 1 / PERIODS_PER_YEAR[dataset.sidecar.frequency]
    if has + slack >= needed:
        return "met", said
    return "not_met", f"{said}, and {figure(needed)} are needed"


def _unit(requirement: DataRequirement, variable: Variable) -> tuple[Status, str]:
    wanted = requirement.unit
    if wanted is None:
        return "met", ""
    has = variable.unit
    if (wanted == "money" and variable.is_money) or wanted.lower() == has.lower():
        return "met", f"it is in {has}"
    if has == "as in the file":
        return "unknown", f"the data does not say its unit, and {wanted} is needed"
    return "not_met", f"it is in {has}, and {wanted} is needed"

"""Which days a stored result speaks of: those of its data, its fit, its plan or its score."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from mmm_workflows.mmm.knowledge import Period
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.records import Json

_DAYS: Final = {Frequency.DAILY: 1, Frequency.WEEKLY: 7}


def spoken_of(workflow: str, result: Json) -> Period | None:
    """The days that a result speaks of; None for one that names none, as of Research.

    Args:
        workflow: What returned it.
        result: As it was returned, also by an earlier version.
    """
    if workflow == "eda" and "dataset" in result:
        held = result["dataset"]
        return _days(held["first_period"], held["last_period"], held["frequency"])
    if workflow == "modeling" and "window" in result:
        window = result["window"]
        return _days(window["start"], window["end"], result["model_spec"].get("frequency"))
    if workflow == "whatif":
        plan = next(iter(result["scenario_results"]), None) or result["optimization_results"]
        return None if plan is None else _days(plan["window"]["start"], plan["window"]["end"])
    if workflow == "track":
        scores = result["scores"]
        window = scores.get("window")
        return window and _days(window["start"], window["end"], scores["frequency"])
    return None


def years(written: str | None) -> Period | None:
    """The years that a claim was measured in, such as ``2019`` or ``2019-2021``."""
    if not written:
        return None
    first, _, last = written.partition("-")
    return Period(first=date(int(first), 1, 1), last=date(int(last or first), 12, 31))


def _days(start: str, end: str, frequency: str | None = None) -> Period:
    """From the first period to the last day of the last; its first day where none tells how long."""
    last = date.fromisoformat(end)
    if frequency == Frequency.MONTHLY:
        last = (last.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    elif frequency is not None:
        last += timedelta(days=_DAYS[Frequency(frequency)] - 1)
    return Period(first=date.fromisoformat(start), last=last)

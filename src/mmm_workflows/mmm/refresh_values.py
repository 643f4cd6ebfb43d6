"""What differs between two fits, as values: data, spec, and how far each channel moved."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

from mmm_workflows.mmm.results import Estimate, FitVerdict, Value, Window

# Means of two samplings of one posterior are this many standard errors apart in 1 of 15,000 cases.
NOISE: Final = 4.0


class Span(Value):
    """Some periods: how many, the first and the last; there may be others between them."""

    count: int
    start: date
    end: date


class Restated(Value):
    """A series whose values changed for periods that were known before.

    Attributes:
        cells: Its values in the periods (and geographies) of both versions.
        changed: How many of them differ, or are there in one version alone.
        share: ``changed / cells``.
        sum_change: The new sum over the old one, less 1; None where the old one is 0.
    """

    variable: str
    cells: int
    changed: int
    share: float
    sum_change: float | None


class DataChange(Value):
    """What differs between two versions of the data, in the variables that both have."""

    added: Span | None = None
    dropped: Span | None = None
    restated: tuple[Restated, ...] = ()


class SpecChange(Value):
    """A choice that two models made in different ways; ``-`` where one did not make it."""

    field: str
    before: str
    after: str


class Cause(StrEnum):
    """Something that differs between two fits and may move their results."""

    SOFTWARE = "software"
    RESTATED = "restated_history"
    ADDED = "new_periods"
    DROPPED = "dropped_periods"
    DATA = "data"
    SPEC = "changed_spec"


class Move(Value):
    """How the return of a channel moved between two fits over one window.

    Attributes:
        before, after: Target units per unit of spend in the window, per draw, as ``roas`` is; its
            inverse is the cost per contribution.
        change: The mean after, less the mean before.
        mcse: The Monte Carlo standard error of ``change``.
        change_in_mcse: ``change / mcse``.
        within_noise: Whether that is at most ``NOISE``: another seed may do as much.
    """

    channel: str
    before: Estimate
    after: Estimate
    change: float
    mcse: float
    change_in_mcse: float
    within_noise: bool


class ChannelRefresh(Value):
    """A channel in two fits: each in its own window, and both in the window that they share.

    Attributes:
        expected_change: Standard deviation of the change that new periods alone would bring, if
            both fits are right about the data: the root of the variance before less that after.
            Null where it cannot be told; the reason stands beside it.
    """

    channel: str
    own_before: Estimate
    own_after: Estimate
    common: Move
    expected_change: float | None
    reasons: dict[str, str]


class Rung(Value):
    """One cause: how the channels moved when it was added to those before it.

    Attributes:
        model_path: The fit that has this cause and those before it; the last is this fit's own.
    """

    cause: Cause
    model_path: str
    moves: tuple[Move, ...]


class Refresh(Value):
    """A fit against the latest usable one of the same target before it; a null has its reason."""

    earlier_run: str
    earlier_ended_at: datetime
    earlier_model_path: str
    earlier_fit_verdict: FitVerdict
    earlier_window: Window
    common_window: Window | None
    data: DataChange | None
    spec: tuple[SpecChange, ...]
    software: tuple[SpecChange, ...]
    causes: tuple[Cause, ...]
    channels: tuple[ChannelRefresh, ...]
    left_out: dict[str, str]
    ladder: tuple[Rung, ...] = ()
    not_run: tuple[str, ...] = ()
    reasons: dict[str, str]
    note: str = ""

"""A refresh in sentences: what changed, which channels moved beyond noise, and why if it can be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from mmm_workflows.mmm.figures import figure, interval, percent
from mmm_workflows.mmm.refresh_values import (
    NOISE,
    Cause,
    ChannelRefresh,
    Move,
    Refresh,
    Restated,
    Rung,
    Span,
    SpecChange,
)
from mmm_workflows.mmm.spec import Frequency

PERIODS: Final = {Frequency.DAILY: "day", Frequency.WEEKLY: "week", Frequency.MONTHLY: "month"}
SHOWN: Final = 3
# A change this many times its expected spread is not the new periods' doing alone.
SURPRISING: Final = 3.0
SAID: Final[dict[Cause, str]] = {
    Cause.SOFTWARE: "the software",
    Cause.RESTATED: "the restated history",
    Cause.ADDED: "the new periods",
    Cause.DROPPED: "the periods that are no longer there",
    Cause.DATA: "the data",
    Cause.SPEC: "the changed spec",
}


def describe(refresh: Refresh, frequency: Frequency) -> tuple[str, ...]:
    """What a reader should hear of a refresh, the changes first."""
    return (
        f"Since the fit of run {refresh.earlier_run} ({refresh.earlier_ended_at:%Y-%m-%d}, "
        f"{refresh.earlier_fit_verdict}): "
        f"{_changes(refresh, PERIODS[frequency])}.",
        *_moved(refresh, PERIODS[frequency]),
        *_why(refresh),
    )


def _changes(refresh: Refresh, period: str) -> str:
    said: list[str] = []
    if refresh.data is not None:
        said += _span(refresh.data.added, "new", period)
        said += _span(refresh.data.dropped, "dropped", period)
        said += _restated(refresh.data.restated)
    elif Cause.DATA in refresh.causes:
        said.append(f"other data, and {refresh.reasons['data']}")
    said += _listed("changed spec", refresh.spec)
    said += _listed("other software", refresh.software)
    return "; ".join(said) or "neither data, spec nor software changed"


def _span(span: Span | None, which: str, period: str) -> Iterator[str]:
    if span is not None:
        yield f"{_count(span.count, f'{which} {period}')} ({span.start} to {span.end})"


def _restated(restated: Sequence[Restated]) -> Iterator[str]:
    if restated:
        ranked = sorted(restated, key=lambda r: r.share, reverse=True)
        parts = [
            f"{r.variable} in {percent(r.share)} of its values" + _sum_change(r)
            for r in ranked[:SHOWN]
        ]
        more = f" and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
        yield f"restated history of {', '.join(parts)}{more}"


def _sum_change(restated: Restated) -> str:
    if restated.sum_change is None:
        return ""
    sign = "-" if restated.sum_change < 0 else "+"
    return f" ({sign}{percent(abs(restated.sum_change))} of its sum)"


def _listed(what: str, changes: Sequence[SpecChange]) -> Iterator[str]:
    if changes:
        parts = [f"{c.field} from {c.before} to {c.after}" for c in changes[:SHOWN]]
        more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        yield f"{what}: {', '.join(parts)}{more}"


def _moved(refresh: Refresh, period: str) -> Iterator[str]:
    if refresh.common_window is None:
        yield f"The fits are not compared: {refresh.reasons['common_window']}."
        return
    beyond = _beyond([c.common for c in refresh.channels])
    for move in beyond[:SHOWN]:
        yield (
            f"Over the {period}s that both fits share {move.channel} returned {interval(move.after)} "
            f"{move.after.unit}, before {interval(move.before)}: the means are "
            f"{figure(abs(move.change_in_mcse))} Monte Carlo standard errors apart."
        )
    quiet = len(refresh.channels) - len(beyond)
    if quiet:
        others = "other " if beyond else ""
        yield (
            f"Of the {others}channels {quiet} stayed within Monte Carlo noise ({NOISE:g} standard "
            "errors)."
        )
    if len(beyond) > SHOWN:
        yield f"{len(beyond) - SHOWN} more channels moved beyond it."


def _beyond(moves: Sequence[Move]) -> list[Move]:
    """Those that moved beyond noise, the furthest first."""
    moved = (move for move in moves if not move.within_noise)
    return sorted(moved, key=lambda move: abs(move.change_in_mcse), reverse=True)


def _why(refresh: Refresh) -> Iterator[str]:
    if refresh.common_window is None:
        return
    causes = " and ".join(SAID[cause] for cause in refresh.causes)
    moved = any(not c.common.within_noise for c in refresh.channels)
    if not moved:
        return
    if not refresh.causes:
        yield "Nothing known differs between the fits, so look at the convergence of both."
    elif len(refresh.causes) == 1:
        yield f"Beyond noise the change comes from {causes}."
        yield from _surprises(refresh.channels)
    elif refresh.ladder:
        said = "; ".join(_rung(rung) for rung in refresh.ladder)
        yield f"Told apart by refits, one after the other: {said}."
    else:
        yield f"What {causes} each did is not told apart: {refresh.not_run[0]}."


def _surprises(channels: Sequence[ChannelRefresh]) -> Iterator[str]:
    for channel in channels:
        if channel.expected_change is None:
            continue
        spread = float(np.hypot(channel.expected_change, channel.common.mcse))
        if abs(channel.common.change) > SURPRISING * spread:
            yield (
                f"{channel.channel} moved {figure(abs(channel.common.change) / spread)} times as far "
                "as new periods should move a model that is right: what it returns may have changed, "
                "or the model misses something."
            )


def _rung(rung: Rung) -> str:
    beyond = _beyond(rung.moves)
    if not beyond:
        return f"{SAID[rung.cause]} moved no channel beyond noise"
    parts = [
        f"{move.channel} from {figure(move.before.mean)} to {figure(move.after.mean)}"
        for move in beyond[:SHOWN]
    ]
    more = f" and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
    return f"{SAID[rung.cause]} moved {', '.join(parts)}{more}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"

"""What was reported of each channel over the fits of a project, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from mmm_workflows.mmm.earlier import EarlierFit
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.results import (
    ChannelResult,
    Estimate,
    FitVerdict,
    ModelResults,
    Value,
    Window,
)
from mmm_workflows.mmm.spec import ModelSpec

# The latest so many are shown and told; the result holds them all.
SHOWN: Final = 5


class PastEstimate(Value):
    """What one fit said of a channel over its own window.

    Attributes:
        called: What its data called the channel, where it was another name.
        ended_at: When its run ended; None for the run that tells this.
        estimate: None where the fit failed: none of its figures should be used.
        spec_digest: Equal for equal specs.
    """

    workflow_id: str
    ended_at: datetime | None
    window: Window
    fit_verdict: FitVerdict
    estimate: Estimate | None
    spec_digest: str
    called: str | None = None


class ChannelHistory(Value):
    """A channel of this fit over the fits of its target; equal fits are told once.

    Attributes:
        note: Until when the channel had another name, or why no earlier fit tells of it.
    """

    channel: str
    quantity: Literal["roas", "cost_per_contribution"]
    fits: tuple[PastEstimate, ...]
    note: str = ""


def history_of(
    earlier: Sequence[EarlierFit], workflow_id: str, model_path: str, spec: ModelSpec,
    results: ModelResults,
) -> tuple[ChannelHistory, ...]:  # fmt: skip
    """The history of every channel of a fit; this fit comes last.

    Args:
        earlier: The newest first.
        workflow_id: The run of this fit.
        model_path: Its folder; an earlier run of the same one is passed over.
        spec: Its choices.
        results: Its numbers.
    """
    by_model = {fit.model_path: fit for fit in earlier if fit.model_path != model_path}
    past = sorted(by_model.values(), key=lambda fit: fit.ended_at)
    quantity: Literal["roas", "cost_per_contribution"] = (
        "roas" if spec.target_is_money else "cost_per_contribution"
    )
    histories = []
    for channel in results.channels:
        fits = [_past(fit, channel.channel, quantity) for fit in past]
        this = PastEstimate(
            workflow_id=workflow_id,
            ended_at=None,
            window=results.window,
            fit_verdict=results.fit_verdict,
            estimate=_estimate(channel, quantity, results.fit_verdict),
            spec_digest=spec.digest(),
        )
        told = (*(fit for fit in fits if fit is not None), this)
        note = _note(channel.channel, past, is_new=len(told) == 1)
        histories.append(
            ChannelHistory(channel=channel.channel, quantity=quantity, fits=told, note=note)
        )
    return tuple(histories)


def describe_history(histories: Sequence[ChannelHistory]) -> tuple[str, ...]:
    """Which names and beginnings are new, and how the channels went over at least three fits."""
    notes = tuple(history.note for history in histories if history.note)
    parts = []
    for history in histories:
        known = [fit.estimate for fit in history.fits if fit.estimate is not None][-SHOWN:]
        if len(known) > 2:
            parts.append(f"{history.channel} {', '.join(figure(e.median) for e in known)}")
    if not parts:
        return notes
    what = "ROAS" if histories[0].quantity == "roas" else "cost per contribution"
    return (
        *notes,
        f"Over the latest fits, the oldest first, the median {what}: {'; '.join(parts)}.",
    )


def _note(name: str, past: Sequence[EarlierFit], *, is_new: bool) -> str:
    if not past:
        return ""
    if is_new:
        return (
            f"The history of {name} starts here: none of the {len(past)} other fits of this target "
            "has it, under this name or one that EDA recorded as its earlier one."
        )
    found = {rename.was: rename for fit in past if (rename := fit.rename_of(name)) is not None}
    if not found:
        return ""
    names = ", ".join(r.until for r in sorted(found.values(), key=lambda r: r.at))
    return f"{name} was called {names}; its history runs on."


def _past(
    fit: EarlierFit, name: str, quantity: Literal["roas", "cost_per_contribution"]
) -> PastEstimate | None:
    channel = next((c for c in fit.channels if c.channel == name), None)
    if channel is None:
        return None
    rename = fit.rename_of(name)
    return PastEstimate(
        called=None if rename is None else rename.was,
        workflow_id=fit.workflow_id,
        ended_at=fit.ended_at,
        window=fit.window,
        fit_verdict=fit.fit_verdict,
        estimate=_estimate(channel, quantity, fit.fit_verdict),
        spec_digest=fit.spec.digest(),
    )


def _estimate(
    channel: ChannelResult, quantity: Literal["roas", "cost_per_contribution"], verdict: FitVerdict
) -> Estimate | None:
    if verdict is FitVerdict.FAIL:
        return None
    return channel.roas if quantity == "roas" else channel.cost_per_contribution

"""How a fit differs from the one before it: what changed, and how far each channel moved beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.monte_carlo import standard_error
from mmm_workflows.mmm.refresh_values import NOISE, Cause, ChannelRefresh, Move
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FloatArray, Window, summarise


@dataclass(frozen=True)
class Fitted:
    """The draws of a fit, chains end to end."""

    draws: Draws
    chains: int


def shared_window(before: Draws, after: Draws) -> Window | None:
    """The periods that both fits have seen, without a gap; None if there are none."""
    both = np.intersect1d(before.dates, after.dates)
    if both.size == 0:
        return None
    window = Window(start=both[0].item(), end=both[-1].item())
    held = [_inside(draws, window).sum() for draws in (before, after)]
    return window if all(count == both.size for count in held) else None


def compare_moves(
    before: Fitted, after: Fitted, window: Window
) -> tuple[tuple[Move, ...], dict[str, str]]:
    """How each channel that both fits have moved, and why the others are left out."""
    moves, left_out = [], {}
    for channel in dict.fromkeys((*before.draws.channels, *after.draws.channels)):
        missing = _missing(channel, before.draws, after.draws, window)
        if missing is None:
            moves.append(_move(channel, before, after, window))
        else:
            left_out[channel] = missing
    return tuple(moves), left_out


def compare_channels(
    before: Fitted, after: Fitted, window: Window, causes: Sequence[Cause]
) -> tuple[tuple[ChannelRefresh, ...], dict[str, str]]:
    """Each channel that both fits have, and why the others are left out."""
    moves, left_out = compare_moves(before, after, window)
    return tuple(_channel(move, before, after, window, causes) for move in moves), left_out


def returns(draws: Draws, channel: str, window: Window) -> FloatArray:
    """Target units per unit of a channel's spend in a window, one value per draw.

    As a fit's own ``roas`` is over its own window: as if nothing was spent before the window's
    first period, and without what carries over past its last.
    """
    c = draws.channels.index(channel)
    spend = draws.spend[_inside(draws, window), c]
    theta = None if draws.theta is None else draws.theta[:, c]
    weights = adstock_weights(draws.adstock, draws.alpha[:, c], draws.l_max, theta)
    scaled = np.broadcast_to(spend / draws.channel_scale[c], (draws.count, spend.size))
    shape = saturate(
        draws.saturation, carry_over(scaled, weights), draws.lam[:, [c]], draws.beta[:, [c]]
    )
    return np.asarray(draws.target_scale * shape.sum(axis=1) / spend.sum(), dtype=np.float64)


def _move(channel: str, before: Fitted, after: Fitted, window: Window) -> Move:
    old, new = (returns(f.draws, channel, window) for f in (before, after))
    change = float(new.mean() - old.mean())
    mcse = float(np.hypot(standard_error(old, before.chains), standard_error(new, after.chains)))
    ratio = change / mcse if mcse else 0.0
    return Move(
        channel=channel,
        before=summarise(old, _unit(before.draws)),
        after=summarise(new, _unit(after.draws)),
        change=change,
        mcse=mcse,
        change_in_mcse=ratio,
        within_noise=abs(change) <= NOISE * mcse,
    )


def _channel(
    move: Move, before: Fitted, after: Fitted, window: Window, causes: Sequence[Cause]
) -> ChannelRefresh:
    own = [
        summarise(returns(f.draws, move.channel, _whole(f.draws)), _unit(f.draws))
        for f in (before, after)
    ]
    expected, reason = None, "only new periods alone let it be told"
    if tuple(causes) == (Cause.ADDED,):
        expected, reason = _expected_change(move.channel, before, after, window)
    return ChannelRefresh(
        channel=move.channel,
        own_before=own[0],
        own_after=own[1],
        common=move,
        expected_change=expected,
        reasons={"expected_change": reason} if expected is None else {},
    )


def _expected_change(
    channel: str, before: Fitted, after: Fitted, window: Window
) -> tuple[float | None, str]:
    """The spread of the change that more data brings to a posterior mean.

    By the law of total variance: the variance before is the mean variance after plus the variance
    of the mean after. It holds for one window of one spend, which new periods leave as it was, and
    takes the variance after for its mean, as it is for a normal posterior.
    """
    old, new = (returns(f.draws, channel, window) for f in (before, after))
    gained = float(old.var(ddof=1) - new.var(ddof=1))
    off = np.hypot(_off(old, before.chains), _off(new, after.chains))
    if gained <= NOISE * off:
        return None, "the interval did not become narrower by more than Monte Carlo noise"
    return float(np.sqrt(gained)), ""


def _off(draws: FloatArray, chains: int) -> float:
    """The Monte Carlo standard error of the variance of some draws."""
    return standard_error((draws - draws.mean()) ** 2, chains)


def _missing(channel: str, before: Draws, after: Draws, window: Window) -> str | None:
    if channel not in before.channels:
        return "it was not in the earlier model"
    if channel not in after.channels:
        return "it is no longer in the model"
    for draws, which in ((before, "earlier"), (after, "new")):
        if draws.spend[_inside(draws, window), draws.channels.index(channel)].sum() <= 0:
            return f"in the {which} data it has no spend in the periods that both fits share"
    return None


def _inside(draws: Draws, window: Window) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    start, end = np.datetime64(window.start), np.datetime64(window.end)
    return (draws.dates >= start) & (draws.dates <= end)


def _whole(draws: Draws) -> Window:
    return Window(start=draws.dates[0].item(), end=draws.dates[-1].item())


def _unit(draws: Draws) -> str:
    return f"{draws.target_unit} per {draws.spend_unit}"

"""Channels as people name them: TV for TV_Spend, facebook for facebook_S, all for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.names import channel_key, same_channel

# Words of a phrase that name no channel.
FILLERS: Final = frozenset(
    [
        "the",
        "our",
        "my",
        "of",
        "budget",
        "budgets",
        "spend",
        "spends",
        "spending",
        "spent",
        "ad",
        "ads",
        "advertising",
        "investment",
        "investments",
        "media",
        "channel",
        "channels",
        "on",
        "in",
        "for",
        "please",
        "money",
        "by",
        "to",
        "a",
    ]
)
ALL: Final = frozenset({"all", "everything", "every", "each", "total", "whole"})
MIN_PREFIX: Final = 3


@dataclass(frozen=True)
class SpokenChannels:
    """The channels of a phrase; none, with a question, when it names something else."""

    names: tuple[str, ...]
    question: str | None = None


def find_channels(text: str, channels: Sequence[str]) -> SpokenChannels:
    """The channels that a phrase names: one, or all of them."""
    kept = [w for w in words(text) if w not in FILLERS]
    if len(kept) == 1 and kept[0] in ALL:
        return SpokenChannels(tuple(channels))
    found = _matches(" ".join(kept), channels) if kept else ()
    if len(found) == 1:
        return SpokenChannels(found)
    among = ", ".join(found or channels)
    return SpokenChannels((), f"Which channel is {text.strip()!r}? There are {among}.")


def words(text: str) -> list[str]:
    """The words of a text."""
    return re.findall(r"[\w']+", text)


def _matches(phrase: str, channels: Sequence[str]) -> tuple[str, ...]:
    exact = same_channel(phrase, channels)
    if exact:
        return exact
    key = channel_key(phrase)
    return tuple(n for n in channels if len(key) >= MIN_PREFIX and channel_key(n).startswith(key))

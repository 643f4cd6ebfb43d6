"""Channels as people name them: TV for TV_Spend, facebook for facebook_S, all for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.names import same_channel, same_written, words_of

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
        "to",
        "a",
    ]
)
ALL: Final = frozenset({"all", "everything", "every", "each", "total", "whole"})
PRICE_WORDS: Final = frozenset({"cost", "costs"})


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
    if not kept and "media" in words(text) and not any("media" in words_of(c) for c in channels):
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
    said = words_of(phrase)
    written = same_written(phrase, channels)
    # "The cost of TV" may be its price: only a column of that name is surely spend.
    if written or not PRICE_WORDS.isdisjoint(said):
        return written
    begun = tuple(n for n in channels if said and words_of(n)[: len(said)] == said)
    return same_channel(phrase, channels) or begun

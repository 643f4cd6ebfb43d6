"""Kinds of channels and the words that give them away, in questions, columns and pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmm_workflows.mmm.names import SPEND_WORDS, words_of

CHANNEL_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "TV": ("tv", "television", "fernsehen", "tv-werbung", "fernsehwerbung"),
    "Radio": ("radio", "radiowerbung", "hörfunk"),
    "OOH": (
        "ooh",
        "out of home",
        "out-of-home",
        "billboard",
        "billboards",
        "außenwerbung",
        "dooh",
        "digital out of home",
        "digital ooh",
    ),
    "Print": ("print", "newspaper", "newspapers", "magazine", "magazines", "printwerbung"),
    "Search": ("search", "sea", "ppc", "google ads", "adwords", "suchmaschinenwerbung"),
    "Social": ("social", "facebook", "instagram", "tiktok", "meta"),
    "Display": ("display", "banner", "banners", "programmatic"),
    "Online video": ("online video", "youtube", "video", "connected tv", "ctv", "streaming tv"),
    "Affiliate": ("affiliate", "affiliates"),
    "Digital": ("digital", "online"),
}
# Said of many things, so it counts only where nothing more exact is said.
VAGUE: Final = "Digital"
# "meta-analysis" is no platform.
_NOT_AFTER: Final = r"(?!-?\s?anal)"
_KINDS: Final = {word: kind for kind, words in CHANNEL_WORDS.items() for word in words}
# The longest words first: "connected tv" is no TV, "online video" is not just online.
_ANY: Final = re.compile(
    rf"\b(?:{'|'.join(re.escape(w) for w in sorted(_KINDS, key=len, reverse=True))})"
    rf"\b{_NOT_AFTER}",
    re.IGNORECASE,
)


def channel_mentions(text: str) -> tuple[tuple[int, str], ...]:
    """Where each kind of channel is named, in the order of the text."""
    found = [(m.start(), _KINDS[m.group().lower()]) for m in _ANY.finditer(text)]
    exact = [mention for mention in found if mention[1] != VAGUE]
    return tuple(exact or found)


def channels_in(text: str) -> tuple[str, ...]:
    """The kinds of channels that a text names, each once, in the order of the text."""
    return tuple(dict.fromkeys(kind for _, kind in channel_mentions(text)))


def kind_of_channel(name: str) -> str | None:
    """The kind that a channel's name gives away: ``TV_Spend`` is TV; None when not just one."""
    kinds = channels_in(" ".join(w for w in words_of(name) if w not in SPEND_WORDS))
    return kinds[0] if len(kinds) == 1 else None


def of_kind(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of channels that are of a kind."""
    return tuple(n for n in names if kind_of_channel(n) == kind)

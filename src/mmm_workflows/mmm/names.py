"""One name for one thing: how the names that people write are matched to columns."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

# Words that say that a column holds a channel's spend, not which channel it is.
SPEND_WORDS: Final = frozenset({"spend", "spends", "spending", "s", "cost", "costs", "media"})


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``TV_Spend`` -> (tv, spend)."""
    spaced = "".join(c if c.isalnum() else " " for c in name)
    return tuple(spaced.lower().split())


def channel_key(name: str) -> str:
    """What is left of a channel's name without case, spaces and words for spend."""
    kept = [w for w in words_of(name) if w not in SPEND_WORDS]
    return "".join(kept or words_of(name))


def same_written(wanted: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that are this one: exactly, else but for case, spaces and underscores."""
    if wanted in names:
        return (wanted,)
    return tuple(n for n in names if words_of(n) == words_of(wanted) and words_of(n))


def same_channel(wanted: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of this channel: as ``same_written``, else but for words for spend."""
    return same_written(wanted, names) or tuple(
        n for n in names if channel_key(n) == channel_key(wanted)
    )


def nearest(wanted: str, names: Sequence[str]) -> str | None:
    """The name that is spelled most like this one; None when none is like it."""
    keys = {n.lower(): n for n in names}
    found = difflib.get_close_matches(wanted.lower(), list(keys), n=1, cutoff=0.5)
    return keys[found[0]] if found else None


def suggestion(wanted: str, names: Sequence[str]) -> str:
    """The end of an error's sentence: the nearest name, if any, and the names there are."""
    near = nearest(wanted, names)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"{hint} There are {', '.join(names) or 'none'}."

"""Texts without what must not be read in a log: passwords, keys, tokens, by name and by look."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

HIDDEN: Final = "***"
# Below this length a known secret is a word that stands in texts for other reasons.
SHORTEST_SECRET: Final = 6
LONGEST_TEXT: Final = 20_000
DEEPEST: Final = 6
# Names of fields and of loggers stand in every line; ids are as long and come once.
LONGEST_WORD: Final = 32
WORDS_KEPT: Final = 1024

# "tokens" are what a language model is paid by, and no secret.
_NAMES: Final = (
    r"(?:password|passwd|passphrase|pwd|secret|token(?!s)|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|checkpoint[_-]?key|credential|cookie|signature)"
)
_SECRET_NAME: Final = re.compile(rf"(?i){_NAMES}|^(?:x[_-])?(?:authorization|auth|key)$")
_VALUE: Final = r"""(?:\\"[^"]*"|b?"[^"]*"|b?'[^']*'|[^\s'"&,;)}\]]+)"""
# No pattern may run twice over the same text: a log line can hold what a stranger sent.
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"(?<=://)[^/\s]*@"), f"{HIDDEN}@"),
    (
        re.compile(
            r"""(?i)(authorization\\?['"]?\s{0,9}[:=,]\s{0,9}b?\\?['"]?)"""
            r"""(?:[a-z]{1,20}\s{1,9})?[^\s'",;)}\]]+"""
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer\s{1,9})[^\s'\",;)}\]]{4,}"), rf"\1{HIDDEN}"),
    (
        re.compile(rf"""(?i)({_NAMES}[\w-]{{0,30}}\\?['"]?\s{{0,9}}[:=,]\s{{0,9}}){_VALUE}"""),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)([?&](?:key|sig|code|auth)=)[^&\s'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*"), HIDDEN),
    (re.compile(r"\bmmm_[A-Za-z0-9_-]{40,}"), f"mmm_{HIDDEN}"),
    (re.compile(r"\b(?:sk|pk|rk|xox[a-z])-[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"\bgh[a-z]_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}"), HIDDEN),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
)

type Plain = str | int | float | bool | dict[str, Plain] | list[Plain] | None


class Mask:
    """Hides the secrets of these settings wherever they stand, and what looks like one.

    Args:
        secrets: Values that are known to be secret; short ones are left to the patterns.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._of_word = lru_cache(WORDS_KEPT)(self._masked)

    def text(self, text: str) -> str:
        """The text with three stars in place of each secret; a very long one is cut."""
        return self._of_word(text) if len(text) <= LONGEST_WORD else self._masked(text)

    def _masked(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        if len(text) > LONGEST_TEXT:
            return f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"
        return text

    def value(self, value: object, *, depth: int = DEEPEST) -> Plain:
        """Any value as JSON can hold it, its texts masked, and all below a secret name hidden."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if depth and isinstance(value, Mapping):
            return {self.text(str(k)): self._named(str(k), v, depth) for k, v in value.items()}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth=depth - 1) for item in value]
        return self.text(value if isinstance(value, str) else repr(value))

    def _named(self, name: str, value: object, depth: int) -> Plain:
        is_short = len(name) <= LONGEST_WORD
        is_secret = _is_secret(name) if is_short else _SECRET_NAME.search(name) is not None
        is_secret = is_secret and not isinstance(value, bool | None)
        return HIDDEN if is_secret else self.value(value, depth=depth - 1)


@lru_cache(WORDS_KEPT)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None

"""Where a quote stands in a page, and the sentences that a page is made of."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from mmm_workflows.mmm.quoted_numbers import NUMBER

_SPACES: Final = re.compile(r"\s+")
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"”\u2019)]?\s+(?=[\"“\u2018(]?[A-ZÄÖÜ€$£\d])")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|approx|ca|no|fig|al|z\.\s?B|bzw|inkl|etc|Dr|Mr|Mrs|St|Inc|Ltd|Co)"
    r"|\b[A-Z])\.$"
)
_WORD: Final = re.compile(r"\w+(?:['\u2019-]\w+)*")

_LONGEST_WORD: Final = 60
_SETS_OFF: Final = ",;:.!?()\u2013\u2014"
_OPENING: Final = ' \t\r\n\u00a0"\u201c\u2018*\u2022'
_CLOSING: Final = ' \t\r\n\u00a0"\u201d\u2019*'

type Spans = Sequence[tuple[int, int]]


def one_line(text: str) -> str:
    """The text with each run of white space as one space: all that quotes may differ by."""
    return _SPACES.sub(" ", text).strip()


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """The first span of a text that reads like the quote but for white space; None without one.

    A span that begins or ends inside a word or a number is none: ``3.2`` does not stand in 13.25.
    """
    words = one_line(quote).split(" ")
    if not words[0]:
        return None
    pattern = re.compile(r"\s+".join(re.escape(word) for word in words))
    for match in pattern.finditer(text):
        if not any(_is_inside_a_word(text, edge) for edge in match.span()):
            return match.span()
    return None


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """The spans of the sentences of a text; a heading or list entry counts as one."""
    for start, end in _parts(text, _PARAGRAPH, 0, len(text)):
        cut = start
        for match in _SENTENCE_END.finditer(text, start, end):
            if _ABBREVIATION.search(text[max(cut, match.start() - 8) : match.start()]):
                continue
            yield cut, match.start() + len(match.group().rstrip())
            cut = match.end()
        if text[cut:end].strip():
            yield cut, end


def sentences_around(spans: Spans, span: tuple[int, int]) -> tuple[int, int]:
    """From where to where the sentences go that a span lies in; ``spans`` are all of the text."""
    first = max(bisect_right(spans, span[0], key=_start) - 1, 0)
    last = max(bisect_left(spans, span[1], key=_start) - 1, first)
    return spans[first][0], spans[last][1]


def is_clause(text: str, around: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether a span is whole sentences, or is set off from the rest of them by punctuation.

    Cut anywhere else, "radio and TV had a ROAS of 2" would say it of TV alone.
    """
    before = text[around[0] : span[0]].rstrip(_OPENING)
    after = text[span[1] : around[1]].lstrip(_CLOSING)
    return (not before or before[-1] in _SETS_OFF) and (
        not after or after[0] in _SETS_OFF or text[span[1] - 1] in ".!?"
    )


def _parts(text: str, gap: re.Pattern[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    cut = start
    for match in gap.finditer(text, start, end):
        yield cut, match.start()
        cut = match.end()
    yield cut, end


def _is_inside_a_word(text: str, edge: int) -> bool:
    start = max(edge - _LONGEST_WORD, 0)
    near = text[start : edge + _LONGEST_WORD]
    return any(
        start + m.start() < edge < start + m.end()
        for pattern in (_WORD, NUMBER)
        for m in pattern.finditer(near)
    )


def _start(span: tuple[int, int]) -> int:
    return span[0]

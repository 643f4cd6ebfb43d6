"""What a question asks for, once it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from mmm_workflows.mmm.results import Value, Window
from mmm_workflows.mmm.scenario import Change

ECHOED_CHARACTERS: Final = 1000


class QueryKind(StrEnum):
    """What a question asks for."""

    SIMULATE = "simulate"
    OPTIMIZE = "optimize"
    CLARIFY = "clarify"


class ChannelLimit(Value):
    """A bound that the question sets for a channel's total in the window."""

    channel: str
    low: float | None = None
    high: float | None = None


class Interpretation(Value):
    """A question as it was read; with ``questions`` when it was not.

    Attributes:
        question: The words that were read: the last answer where it was asked back.
    """

    kind: QueryKind
    echo: str
    questions: tuple[str, ...] = ()
    window: Window | None = None
    changes: tuple[Change, ...] = ()
    total: float | None = None
    limits: tuple[ChannelLimit, ...] = ()
    max_change_0_1: float | None = None
    question: str = ""


def ask_back(question: str, questions: Sequence[str]) -> Interpretation:
    """The answer to a question that cannot be read: what to ask."""
    said = question.strip()
    shown = said if len(said) <= ECHOED_CHARACTERS else f"{said[:ECHOED_CHARACTERS]}..."
    return Interpretation(
        kind=QueryKind.CLARIFY,
        echo=f"Not yet understood: {shown!r}",
        questions=tuple(dict.fromkeys(questions)),
    )

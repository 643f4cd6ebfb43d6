"""What a language model must fill in: shapes that are checked before a word of it is used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Sentence = Annotated[str, Field(min_length=1, max_length=600)]


class Output(BaseModel):
    """A shape that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Narrative(Output):
    """A text for a reader, one sentence per entry; every figure is a listed reference."""

    sentences: tuple[Sentence, ...] = Field(min_length=1, max_length=14)


class ReasonedHypothesis(Output):
    """What should move the target, in which direction, and why."""

    cause: Annotated[str, Field(min_length=1, max_length=80)]
    sign: Literal["positive", "negative", "either"]
    why: Sentence


class PlanWords(Output):
    """The words of a research plan; its choices are made by rules and claims."""

    objective: Sentence
    hypotheses: tuple[ReasonedHypothesis, ...] = Field(max_length=20)
    synthesis: tuple[Sentence, ...] = Field(min_length=1, max_length=10)


class Code(Output):
    """A program that answers one question on the data."""

    code: Annotated[str, Field(min_length=1, max_length=12_000)]
    explanation: Annotated[str, Field(min_length=1, max_length=600)]

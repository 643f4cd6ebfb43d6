"""The questions that Research asks the web: typed, bounded, most useful first.

A query is made of words that are known here: kinds of channels, the category, the country. Names
of columns and words of the question are the user's own and do not leave the machine by these rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmm_workflows.mmm.channel_words import VAGUE, kind_of_channel
from mmm_workflows.mmm.countries import country_of
from mmm_workflows.mmm.hostile import addresses_a_program, has_hidden_characters, has_link

MAX_QUERY_CHARACTERS: Final = 120
MAX_QUERY_WORDS: Final = 16


class SearchPart(BaseModel):
    """A frozen part of a search plan that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class QuestionKind(StrEnum):
    """What a query wants to learn, the most useful for a plan first."""

    RETURN = "return"
    CARRY_OVER = "carry_over"
    ELASTICITY = "elasticity"
    SATURATION = "saturation"
    SEASONALITY = "seasonality"


class SearchBudget(SearchPart):
    """What one run of Research may use of the web."""

    queries: int = Field(default=8, ge=0)
    pages: int = Field(default=20, ge=0)
    size_bytes: int = Field(default=20_000_000, ge=0)
    duration: timedelta = Field(default=timedelta(minutes=5), gt=timedelta(0))


class PlannedQuery(SearchPart):
    """One query; plain words only, for it is sent to a search engine."""

    kind: QuestionKind
    text: str = Field(min_length=3, max_length=MAX_QUERY_CHARACTERS)
    channel: str | None = Field(default=None, max_length=60)
    why: str = Field(default="", max_length=200)

    @field_validator("text")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        plain = " ".join(text.split())
        if len(plain.split()) > MAX_QUERY_WORDS:
            raise ValueError(f"a query has at most {MAX_QUERY_WORDS} words")
        if has_link(plain) or has_hidden_characters(text) or re.search(r"\b\w+:\S", plain):
            raise ValueError("a query holds no address, operator or character that does not show")
        if re.search(r"[<>{}\[\]|\\`]", plain) or addresses_a_program(plain):
            raise ValueError("a query is plain words about media, not markup or an instruction")
        return plain


class SearchPlan(SearchPart):
    """The queries of a run, best first; a model may fill this shape instead of the rules."""

    queries: tuple[PlannedQuery, ...] = Field(max_length=50)

    @model_validator(mode="after")
    def _asks_nothing_twice(self) -> SearchPlan:
        asked = [q.text.lower() for q in self.queries]
        twice = sorted({text for text in asked if asked.count(text) > 1})
        if twice:
            raise ValueError(f"a query is asked twice: {twice[0]!r}")
        return self

    def within(self, budget: SearchBudget) -> SearchPlan:
        """The first queries that the budget allows."""
        return self.model_copy(update={"queries": self.queries[: budget.queries]})


_PHRASES: Final = {
    QuestionKind.RETURN: ("{channel} advertising ROAS benchmark {category} {country}",
                          "what a unit of spend brings elsewhere bounds the prior"),
    QuestionKind.CARRY_OVER: ("{channel} advertising adstock half-life weeks {category}",
                              "how long an effect lasts is hard to learn from weekly data"),
    QuestionKind.ELASTICITY: ("{channel} advertising elasticity {category} meta-analysis",
                              "elasticities are what studies compare most"),
    QuestionKind.SATURATION: ("{channel} advertising diminishing returns saturation",
                              "the budget depends on where returns diminish"),
    QuestionKind.SEASONALITY: ("{category} sales seasonality by month {country}",
                               "a season that is not modelled is taken for media"),
}  # fmt: skip
_GENERAL: Final = "general"


def plan_searches(
    channels: Sequence[str],
    *,
    category: str,
    country: str | None = None,
    budget: SearchBudget | None = None,
) -> SearchPlan:
    """The queries for a plan, each channel before any twice, cut to the budget.

    Args:
        channels: The plan's channels; only their kinds are asked for.
        category: Of the question; the general one is left out of the words.
        country: Left out of the words when it is not a known country.
        budget: 8 queries when left out.
    """
    kinds = list(dict.fromkeys(k for c in channels if (k := kind_of_channel(c)) is not None))
    exact: list[str | None] = [k for k in kinds if k != VAGUE] or [*kinds] or [None]
    place = country_of(country)
    words = {
        "category": "" if category == _GENERAL else category,
        "country": place.name if place is not None else "",
    }
    season = _query(QuestionKind.SEASONALITY, None, words)
    per_kind = [[_query(kind, channel, words) for channel in exact]
                for kind in list(QuestionKind)[:-1]]  # fmt: skip
    # The season is asked for once, after each channel's return: it is worth more than a second
    # question about the smallest channel.
    ordered = [
        *(per_kind[0][:4]),
        season,
        *per_kind[1],
        *per_kind[0][4:],
        *per_kind[2],
        *per_kind[3],
    ]
    return SearchPlan(queries=tuple(ordered[:50])).within(budget or SearchBudget())


def _query(kind: QuestionKind, channel: str | None, words: dict[str, str]) -> PlannedQuery:
    phrase, why = _PHRASES[kind]
    return PlannedQuery(
        kind=kind, text=phrase.format(channel=channel or "", **words), channel=channel, why=why
    )

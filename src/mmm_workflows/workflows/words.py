"""A language model's words for a result, or the assembled text where there is none to be trusted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from mmm_workflows.errors import InvalidReply, ServiceUnavailable, UserError
from mmm_workflows.llm.budget import Budget, Usage
from mmm_workflows.llm.chat import ChatModel
from mmm_workflows.mmm.narrative import CitedFigure, Facts, cited, faults, resolve
from mmm_workflows.records import GENERATED_BY_RULES, Event, Json
from mmm_workflows.workflows.outputs import Narrative
from mmm_workflows.workflows.prompt_files import load_prompt

REPLY_REFUSED: Final = f"{GENERATED_BY_RULES} (model reply refused)"
MODEL_LOST: Final = f"{GENERATED_BY_RULES} (model lost)"
BUDGET_SPENT: Final = f"{GENERATED_BY_RULES} (model budget spent)"
# The key of an event's data under which the usage of a call is recorded.
MODEL_USAGE: Final = "model_usage"
# The text is asked for once more when a figure of it is no reference.
TEXTS_ASKED: Final = 2
FAULTS_SHOWN: Final = 6

type Tell = Callable[[str, Json], Awaitable[None]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    """A text, whose words it is, and the fields that its figures were read from."""

    sentences: tuple[str, ...]
    generated_by: str
    figures: tuple[CitedFigure, ...] = ()

    @property
    def text(self) -> str:
        """The sentences as one paragraph."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Filled[T]:
    """A checked reply, or None with the reason in ``generated_by``."""

    value: T | None
    generated_by: str


@dataclass
class Writer:
    """The language model of one execution: asked within a budget, and no more once it is lost."""

    model: ChatModel | None
    budget: Budget
    tell: Tell
    max_reply_tokens: int = 2048
    _gone: str | None = field(default=None, init=False)

    async def write(
        self,
        prompt: str,
        *,
        facts: Facts,
        assembled: Sequence[str],
        values: Mapping[str, str] | None = None,
    ) -> Words:
        """The model's words if every figure of them is a reference to a fact.

        Args:
            prompt: The prompt file; it takes ``facts``, ``assembled``, ``mistakes`` and ``values``.
            facts: What the text may refer to.
            assembled: The text by rules; it is returned where the model's does not stand.
            values: The prompt's other variables.
        """
        given = {
            "facts": facts.listed(),
            "assembled": "\n".join(assembled),
            **(values or {}),
        }
        filled = await self.fill_with_words(
            Narrative, prompt, given, facts=facts, texts=lambda narrative: narrative.sentences
        )
        if filled.value is None:
            return Words(tuple(assembled), filled.generated_by)
        said = filled.value.sentences
        return Words(resolve(said, facts), filled.generated_by, cited(said, facts))

    async def fill_with_words[T: BaseModel](
        self,
        shape: type[T],
        prompt: str,
        values: Mapping[str, str],
        *,
        facts: Facts,
        texts: Callable[[T], Sequence[str]],
    ) -> Filled[T]:
        """A reply whose texts state no figure of their own; asked once more, then None.

        Args:
            shape: What to fill in.
            prompt: The prompt file; it takes ``mistakes`` and ``values``.
            values: The prompt's other variables.
            facts: What the texts may refer to.
            texts: The texts of a reply.
        """
        mistakes: tuple[str, ...] = ()
        for _ in range(TEXTS_ASKED):
            shown = "\n".join(mistakes[:FAULTS_SHOWN]) or "none so far"
            filled = await self.fill(shape, prompt, {**values, "mistakes": shown})
            if filled.value is None:
                return filled
            mistakes = faults(texts(filled.value), facts)
            if not mistakes:
                return filled
            await self.tell(f"the model's text was refused: {mistakes[0]}", {"prompt": prompt})
        return Filled(None, REPLY_REFUSED)

    async def fill[T: BaseModel](
        self,
        shape: type[T],
        prompt: str,
        values: Mapping[str, str],
        *,
        check: Callable[[T], Sequence[str]] | None = None,
    ) -> Filled[T]:
        """A reply of this shape, asked again at most twice; None where there is none."""
        if self.model is None or self._gone is not None:
            return Filled(None, self._gone or GENERATED_BY_RULES)
        asked = load_prompt(prompt).render(values)
        before = self.budget.spent
        try:
            reply = await self.model.fill(
                shape,
                system=asked.system,
                user=asked.user,
                budget=self.budget,
                check=check,
                max_reply_tokens=self.max_reply_tokens,
            )
        except (InvalidReply, UserError) as error:
            # A prompt that is longer than the model reads is the user's to shorten; words can wait.
            await self._tell_usage(before, f"{prompt}: no usable reply: {error.message}")
            return Filled(None, REPLY_REFUSED)
        except ServiceUnavailable as error:
            self._gone = BUDGET_SPENT if error.code == "language_model_budget" else MODEL_LOST
            logger.warning("language model gone: %s", error.message)
            await self._tell_usage(before, f"{error.message} The rest is by rules.")
            return Filled(None, self._gone)
        await self._tell_usage(before, f"{prompt}: answered by {self.model.name}")
        return Filled(reply.value, self.model.name)

    async def _tell_usage(self, before: Usage, message: str) -> None:
        now = self.budget.spent
        used = Usage(
            calls=now.calls - before.calls,
            prompt_tokens=now.prompt_tokens - before.prompt_tokens,
            reply_tokens=now.reply_tokens - before.reply_tokens,
            seconds=now.seconds - before.seconds,
        )
        await self.tell(message, {MODEL_USAGE: used.model_dump()})


def usage_in(events: Sequence[Event]) -> Usage:
    """What a run has spent on language models so far, by its own event log."""
    return sum((Usage.model_validate(e.data[MODEL_USAGE]) for e in events
                if e.data and MODEL_USAGE in e.data), Usage())  # fmt: skip


def together(*marks: str) -> str:
    """Who wrote a result of several parts: each once, plain rules only where nothing else did."""
    known = list(dict.fromkeys(mark for mark in marks if mark != GENERATED_BY_RULES))
    return ", ".join(known) or GENERATED_BY_RULES

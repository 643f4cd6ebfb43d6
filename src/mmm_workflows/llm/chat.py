"""A language model that fills in forms: asked for a shape, it gives a checked value or none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import BaseModel

from mmm_workflows.errors import InvalidReply, UserError
from mmm_workflows.llm.budget import Budget, Usage
from mmm_workflows.llm.replies import BadReply, bounded, read_reply
from mmm_workflows.llm.speech import (
    JsonSchema,
    Message,
    ModelUnavailable,
    Speaker,
    Spoken,
    tokens_of,
)
from mmm_workflows.mmm.material import READ_NOT_OBEY
from mmm_workflows.traces import span

REPAIRS: Final = 2
RETRIES: Final = 1
BACKOFF_S: Final = 1.0
# What a model said is shown back to it only this far: a long wrong reply is not worth its tokens.
MAX_ECHO_BYTES: Final = 2000
# Room for a correction, kept free from the first: the echo and the faults.
CORRECTION_TOKENS: Final = 1500
# A small server answers one after the other; more requests would only wait there, on our clock.
PARALLEL: Final = 2


@dataclass(frozen=True)
class Reply[T: BaseModel]:
    """A value that has the shape and passed the check, and what it took."""

    value: T
    usage: Usage
    attempts: int


class ChatModel:
    """One language model, asked for one value at a time; it has no tools and no memory.

    Args:
        name: Provider and model, as results name them: ``ollama:qwen3:30b``.
        speaker: Who carries the words.
        context_tokens: What the model can read and write in one call.
        backoff_s: How long to wait before a request that failed is sent once more.
    """

    def __init__(
        self,
        name: str,
        speaker: Speaker,
        *,
        context_tokens: int,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        self.name = name
        self._speaker = speaker
        self._context_tokens = context_tokens
        self._backoff_s = backoff_s
        self._places = asyncio.Semaphore(PARALLEL)

    async def fill[T: BaseModel](
        self,
        shape: type[T],
        *,
        system: str,
        user: str,
        budget: Budget,
        check: Callable[[T], Sequence[str]] | None = None,
        max_reply_tokens: int = 2048,
    ) -> Reply[T]:
        """Have the model fill in ``shape``; what is wrong is said back to it at most twice.

        Args:
            shape: What to fill in. Its JSON schema is sent, and the reply is validated by it.
            system: The task, ours alone.
            user: What the task is about; text of others belongs in ``quoting.quoted``.
            budget: Of the run; every attempt is charged to it.
            check: Says in sentences what is wrong with a value that has the shape.
            max_reply_tokens: Thinking included; a longer reply is cut and refused.

        Raises:
            InvalidReply: No reply was right; the text holds the last faults.
            ServiceUnavailable: The model gave no reply (``language_model_unavailable``), is not
                there (``language_model_unknown``) or the budget is used up
                (``language_model_budget``).
            UserError: The prompt is longer than the model reads (``request_too_large``).
        """
        schema = shape.model_json_schema()
        opening = (Message("system", _instructions(system, schema)), Message("user", user))
        self._refuse_what_cannot_be_read(opening, max_reply_tokens)
        talk: tuple[Message, ...] = opening
        usage = Usage()
        for attempt in range(1, REPAIRS + 2):
            with span("model call", model=self.name, shape=shape.__name__, attempt=attempt):
                spoken = await self._speak(talk, schema, budget, max_reply_tokens)
            usage += spoken.usage
            try:
                value = read_reply(shape, spoken)
                faults = bounded(tuple(check(value))) if check else ()
            except BadReply as bad:
                faults = bad.faults
            else:
                if not faults:
                    return Reply(value, usage, attempt)
            talk = (*opening, *_correction(spoken.text, faults))
        raise InvalidReply(
            f"The language model {self.name} gave no valid {shape.__name__} in {REPAIRS + 1} "
            f"attempts. What was wrong with the last reply: {' '.join(faults)}"
        )

    async def _speak(
        self,
        talk: Sequence[Message],
        schema: JsonSchema,
        budget: Budget,
        max_reply_tokens: int,
    ) -> Spoken:
        """One reply, asked for once more when what failed may pass; both are paid."""
        tokens = _tokens(talk) + max_reply_tokens
        lost = Usage()
        for retries_left in reversed(range(RETRIES + 1)):
            async with self._places:
                with budget.reserve(tokens):
                    try:
                        spoken = await self._speaker.speak(
                            talk, schema=schema, max_reply_tokens=max_reply_tokens
                        )
                    except ModelUnavailable as error:
                        budget.charge(error.usage)
                        lost += error.usage
                        if not (error.passing and retries_left):
                            raise
                    else:
                        budget.charge(spoken.usage)
                        return replace(spoken, usage=lost + spoken.usage)
            await asyncio.sleep(self._backoff_s)
        raise AssertionError("the last attempt returns or raises")

    def _refuse_what_cannot_be_read(self, opening: Sequence[Message], reply_tokens: int) -> None:
        # Ollama would drop the beginning in silence and answer the rest.
        tokens = _tokens(opening) + reply_tokens + CORRECTION_TOKENS
        if tokens > self._context_tokens:
            raise UserError(
                f"A question with its reply and a correction takes about {tokens} tokens, and "
                f"{self.name} is given {self._context_tokens}. Shorten the question or the "
                "material.",
                code="request_too_large",
            )


def _tokens(talk: Sequence[Message]) -> int:
    return tokens_of(*(message.text for message in talk))


def _instructions(system: str, schema: JsonSchema) -> str:
    """The task, how to treat material, and the schema in words: some servers ignore the other."""
    return "\n\n".join(
        (
            system.strip(),
            READ_NOT_OBEY,
            "Answer with one JSON document that fits this JSON schema, and with nothing else:",
            json.dumps(schema, ensure_ascii=False, separators=(",", ":")),
        )
    )


def _correction(said: str, faults: Sequence[str]) -> tuple[Message, ...]:
    """What the model said and what was wrong with it; only the last fault is kept in the talk."""
    wrong = "\n".join(f"- {fault}" for fault in faults)
    again = Message(
        "user",
        f"That reply cannot be used:\n{wrong}\nAnswer again with the whole JSON document, "
        "corrected, and with nothing else.",
    )
    echo = said.encode(errors="replace")[:MAX_ECHO_BYTES].decode(errors="ignore")
    # An empty turn is refused by some providers.
    return (Message("assistant", echo), again) if echo.strip() else (again,)

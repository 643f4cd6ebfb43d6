"""What a run may spend on language models, and what it has spent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from mmm_workflows.errors import ServiceUnavailable


class Usage(BaseModel):
    """Calls, tokens and seconds of language models; add them up with ``+``.

    Attributes:
        calls: Requests sent, retries and repairs included.
        prompt_tokens: Tokens read, as the server counts them; estimated when it did not say.
        reply_tokens: Tokens written, thinking included; the received pieces when it did not say.
        seconds: Wall-clock time from request to end of reply, waiting for a free place excluded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int = Field(0, ge=0)
    prompt_tokens: int = Field(0, ge=0)
    reply_tokens: int = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0)

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.prompt_tokens + self.reply_tokens

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            reply_tokens=self.reply_tokens + other.reply_tokens,
            seconds=self.seconds + other.seconds,
        )


class Budget:
    """The calls and tokens that one run may still spend; shared by all that work for the run.

    Args:
        max_calls: Requests to a language model, retries and repairs included.
        max_tokens: Tokens in and out.
        spent: What the run spent before, when it is resumed.
    """

    def __init__(self, *, max_calls: int, max_tokens: int, spent: Usage | None = None) -> None:
        self.max_calls = max_calls
        self.max_tokens = max_tokens
        self.spent = spent or Usage()
        self._calls_on_their_way = 0
        self._tokens_on_their_way = 0

    def charge(self, usage: Usage) -> None:
        """Book what was spent, even beyond the limits: it is spent."""
        self.spent += usage

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[None]:
        """Set one call of at most ``tokens`` aside while the block runs; charge it by ``charge``.

        Raises:
            ServiceUnavailable: Too little is left (``language_model_budget``); nothing was sent.
        """
        self._refuse_beyond(tokens)
        self._calls_on_their_way += 1
        self._tokens_on_their_way += tokens
        try:
            yield
        finally:
            self._calls_on_their_way -= 1
            self._tokens_on_their_way -= tokens

    def _refuse_beyond(self, tokens: int) -> None:
        calls = self.spent.calls + self._calls_on_their_way
        if calls + 1 > self.max_calls:
            raise ServiceUnavailable(
                f"This run has used {calls} calls of the language model and may use "
                f"{self.max_calls}. Raise MODEL_MAX_CALLS, or go on with the rules.",
                code="language_model_budget",
            )
        taken = self.spent.tokens + self._tokens_on_their_way
        if taken + tokens > self.max_tokens:
            raise ServiceUnavailable(
                f"This run has used {taken} tokens of the language model, the next call may take "
                f"{tokens}, and {self.max_tokens} are allowed. Raise MODEL_MAX_TOKENS, or go on "
                "with the rules.",
                code="language_model_budget",
            )

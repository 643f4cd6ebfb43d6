"""Any chat model of LangChain, heard as a stream: bounded in time and length, its errors ours."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

import httpx
from langchain_core.exceptions import ModelError, ModelNotFoundError, ModelRefusalError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from ollama import ResponseError

from mmm_workflows.llm.budget import Usage
from mmm_workflows.llm.speech import JsonSchema, Message, ModelUnavailable, Spoken, Stop, tokens_of

# Between two pieces; the first may take as long as the whole, for the model may have to be loaded.
IDLE_S: Final = 30.0
# A reply is let run this far past the limit that the server was given before it is cut here.
SPARE_PIECES: Final = 32
MAX_CHARS_PER_TOKEN: Final = 8

MAX_REASON_CHARS: Final = 300

_STOP_KEYS: Final = ("done_reason", "finish_reason", "stop_reason")
_STOPS: Final = {
    "length": Stop.LENGTH,
    "max_tokens": Stop.LENGTH,
    "content_filter": Stop.REFUSED,
    "refusal": Stop.REFUSED,
    "safety": Stop.REFUSED,
}
# Base classes of errors that the providers' own clients let through, by module; those of a client
# that was not loaded cannot be raised.
_CLIENT_ERRORS: Final = (
    ("httpx2", "HTTPError"),
    ("openai", "OpenAIError"),
    ("anthropic", "AnthropicError"),
)

type Arguments = Callable[[JsonSchema, int], dict[str, Any]]


class LangChainSpeaker:
    """Speaks with one model; no tool is ever bound to it.

    Args:
        name: As errors name it.
        model: Of LangChain.
        arguments: From schema and token limit to what this provider's call takes.
        timeout_s: For one whole reply.
        idle_s: Between two pieces of it.
    """

    def __init__(
        self,
        name: str,
        model: BaseChatModel,
        *,
        arguments: Arguments,
        timeout_s: float,
        idle_s: float = IDLE_S,
    ) -> None:
        self._name = name
        self._model = model
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._idle_s = idle_s

    async def speak(
        self, talk: Sequence[Message], *, schema: JsonSchema, max_reply_tokens: int
    ) -> Spoken:
        """The model's reply; see ``speech.Speaker``."""
        heard = _Heard(talk, max_reply_tokens)
        pieces = self._model.astream(
            [(message.role, message.text) for message in talk],
            **self._arguments(schema, max_reply_tokens),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._listen(pieces, heard)
        except TimeoutError as error:
            raise ModelUnavailable(
                f"The language model {self._name} did not finish its reply in "
                f"{self._timeout_s:g} s, or fell silent for {self._idle_s:g} s in the middle of "
                f"it; {heard.pieces} pieces came. Use a smaller model or raise MODEL_TIMEOUT_S.",
                passing=True,
                usage=heard.usage(),
            ) from error
        return Spoken(heard.text(), heard.stop, heard.usage())

    async def _listen(self, pieces: AsyncIterator[AIMessageChunk], heard: _Heard) -> None:
        async with aclosing(pieces) as stream:  # type: ignore[type-var]  # it is a generator
            while not heard.is_overlong:
                async with asyncio.timeout(self._idle_s if heard.pieces else None):
                    piece = await self._next_piece(stream, heard)
                if piece is None:
                    return
                heard.add(piece)
        heard.stop = Stop.OVERLONG

    async def _next_piece(
        self, stream: AsyncIterator[AIMessageChunk], heard: _Heard
    ) -> AIMessageChunk | None:
        """What comes next; at the end, wherever that is, None."""
        try:
            return await anext(stream, None)
        except TimeoutError:
            raise
        except ModelRefusalError:
            heard.stop = Stop.REFUSED
            return None
        except _failures() as error:
            if _is_end_without_a_piece(error) or (heard.pieces and _is_cut(error)):
                return None
            raise unavailable(self._name, error, heard.usage()) from error


class _Heard:
    """What came so far."""

    def __init__(self, talk: Sequence[Message], max_reply_tokens: int) -> None:
        self.pieces = 0
        self.stop = Stop.NOTHING
        self._talk = talk
        self._max_pieces = max_reply_tokens + SPARE_PIECES
        self._max_chars = max_reply_tokens * MAX_CHARS_PER_TOKEN
        self._chars = 0
        self._texts: list[str] = []
        self._counted: Usage | None = None
        self._started = time.monotonic()

    @property
    def is_overlong(self) -> bool:
        return self.pieces > self._max_pieces or self._chars > self._max_chars

    def add(self, piece: AIMessage) -> None:
        text = str(piece.text)
        self.pieces += 1
        self._chars += len(text)
        self._texts.append(text)
        if self.stop is Stop.NOTHING:
            self.stop = Stop.CUT
        for key in _STOP_KEYS:
            if reason := piece.response_metadata.get(key):
                self.stop = _STOPS.get(str(reason).lower(), Stop.DONE)
        if counts := piece.usage_metadata:
            self._counted = (self._counted or Usage()) + Usage(
                prompt_tokens=counts["input_tokens"], reply_tokens=counts["output_tokens"]
            )

    def text(self) -> str:
        return "".join(self._texts)

    def usage(self) -> Usage:
        """As the server counted, else our estimate: a piece is a token to most servers."""
        counted = self._counted or Usage(reply_tokens=self.pieces)
        estimate = tokens_of(*(message.text for message in self._talk)) if self.pieces else 0
        return Usage(
            calls=1,
            prompt_tokens=counted.prompt_tokens or estimate,
            reply_tokens=counted.reply_tokens,
            seconds=round(time.monotonic() - self._started, 3),
        )


def unavailable(name: str, error: Exception, usage: Usage | None = None) -> ModelUnavailable:
    """Our error for one of a provider's client: whose fault, and whether it may pass."""
    if isinstance(error, ModelNotFoundError) or getattr(error, "status_code", None) == 404:
        return ModelUnavailable(
            f"The language model {name} is not there: {_reason(error)}. Pull it or name another.",
            code="language_model_unknown",
            usage=usage,
        )
    return ModelUnavailable(
        f"The language model {name} cannot be used: {_reason(error)}.",
        passing=_may_pass(error),
        usage=usage,
    )


def _is_end_without_a_piece(error: Exception) -> bool:
    # LangChain leaves out the piece by which Ollama says that it has only loaded the model.
    return type(error) is ValueError and "No generation chunks" in str(error)


def _is_cut(error: Exception) -> bool:
    return isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, json.JSONDecodeError))


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ModelError):
        return error.is_retryable
    # -1 is what the client of Ollama says of an error in the middle of a stream.
    status = getattr(error, "status_code", -1)
    return status in (-1, 408, 429) or status >= 500


def _reason(error: Exception) -> str:
    said = getattr(error, "error", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())[:MAX_REASON_CHARS].rstrip(".")


def _failures() -> tuple[type[Exception], ...]:
    """What a provider's client raises; ValueError and the like when an answer is no protocol."""
    loaded = (
        getattr(sys.modules[module], name)
        for module, name in _CLIENT_ERRORS
        if module in sys.modules
    )
    return (
        ModelError,
        ResponseError,
        httpx.HTTPError,
        ConnectionError,
        ValueError,
        TypeError,
        AttributeError,
        *loaded,
    )

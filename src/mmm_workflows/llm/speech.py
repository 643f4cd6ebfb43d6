"""What is said to a language model and what is heard from it, whoever provides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.llm.budget import Usage

# English has about 4 bytes a token, JSON and other alphabets about 3; a low figure errs safely.
BYTES_PER_TOKEN: Final = 3

type JsonSchema = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn of the talk."""

    role: Literal["system", "user", "assistant"]
    text: str


class Stop(StrEnum):
    """Why a reply ended."""

    DONE = "done"
    LENGTH = "length"  # the server stopped at the limit that it was given
    OVERLONG = "overlong"  # the server did not, so we stopped listening
    CUT = "cut"  # the stream ended without saying that it had
    NOTHING = "nothing"  # no piece came at all: a server that has just loaded the model
    REFUSED = "refused"  # the provider's filter or the model's own refusal


@dataclass(frozen=True)
class Spoken:
    """A reply as it came, unchecked."""

    text: str
    stop: Stop
    usage: Usage


class Speaker(Protocol):
    """Sends one talk to one model and hears the reply out; asks once, checks nothing."""

    async def speak(
        self, talk: Sequence[Message], *, schema: JsonSchema, max_reply_tokens: int
    ) -> Spoken:
        """The model's reply.

        Raises:
            ModelUnavailable: No reply came.
        """
        ...


class ModelUnavailable(ServiceUnavailable):
    """No reply came from the language model.

    Attributes:
        passing: Whether the same request may succeed a moment later.
        usage: What the attempt cost.
    """

    default_code = "language_model_unavailable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        passing: bool = False,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.passing = passing
        self.usage = usage or Usage(calls=1)


def tokens_of(*texts: str) -> int:
    """About how many tokens the texts are, rather too many than too few."""
    return sum(len(text.encode(errors="replace")) for text in texts) // BYTES_PER_TOKEN + 1

"""What the scripted server can do when it is asked: speak, fail, hang, break off, never end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class ChatRequest:
    """A request to /api/chat as it came."""

    body: dict[str, Any]
    authorization: str | None = None

    @property
    def model(self) -> str:
        return self.body["model"]

    @property
    def shape(self) -> str:
        """The name of the pydantic class whose schema was sent, empty without one."""
        schema = self.body.get("format")
        return schema.get("title", "") if isinstance(schema, dict) else ""

    @property
    def system(self) -> str:
        return "\n".join(m["content"] for m in self.body["messages"] if m["role"] == "system")

    @property
    def user(self) -> str:
        """The first thing that the user said: the task, not a correction."""
        return next(m["content"] for m in self.body["messages"] if m["role"] == "user")

    @property
    def last(self) -> str:
        return self.body["messages"][-1]["content"]

    @property
    def is_correction(self) -> bool:
        return sum(m["role"] == "user" for m in self.body["messages"]) > 1


@dataclass(frozen=True)
class Says:
    """Streams ``text``; ``thinking`` comes first, in its own field."""

    text: str
    thinking: str = ""
    done_reason: str = "stop"
    prompt_tokens: int = 7
    reply_tokens: int = 3
    pieces: int = 2
    pause_s: float = 0.0  # before the first piece and between pieces
    tool_calls: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Fails:
    """An error before the stream begins."""

    status: int
    error: str = "scripted failure"


@dataclass(frozen=True)
class FailsMidway:
    """An error line in the middle of the stream, as a runner that died gives it."""

    text: str = "{"
    error: str = "llama runner process no longer running"


@dataclass(frozen=True)
class Hangs:
    """Says ``text`` and then nothing, with the connection open."""

    text: str = ""
    seconds: float = 30.0


@dataclass(frozen=True)
class Breaks:
    """Closes the connection after ``text``; ``politely`` ends the body as if it were whole."""

    text: str = "{"
    politely: bool = False


@dataclass(frozen=True)
class Endless:
    """Repeats ``text`` until the client leaves."""

    text: str = "and on "
    limit: int = 1_000_000


@dataclass(frozen=True)
class Loads:
    """Only loads the model."""


@dataclass(frozen=True)
class Garbage:
    """Answers 200 with a body that is not the protocol."""

    body: bytes = b"<html>hello</html>\n"


type Behaviour = Says | Fails | FailsMidway | Hangs | Breaks | Endless | Loads | Garbage
type Answer = Callable[[ChatRequest], Behaviour]


def says(value: BaseModel | str, **options: Any) -> Says:
    """A reply that is this value, as JSON."""
    return Says(value if isinstance(value, str) else value.model_dump_json(), **options)

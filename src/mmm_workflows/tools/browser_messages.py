"""What the reader and the process that drives the browser say to each other, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer


class Job(BaseModel):
    """A page to show, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    chromium: Path
    profile: Path
    proxy: str
    username: str
    password: SecretStr
    user_agent: str
    max_bytes: int
    timeout_s: float
    settle_s: float

    @field_serializer("password", when_used="json")
    def _plain(self, password: SecretStr) -> str:
        return password.get_secret_value()


class Shown(BaseModel):
    """What the browser shows; ``html_bytes`` bytes of HTML follow the line.

    Attributes:
        failure: Whether the browser did not start, the page did not load, or it is too large.
        said: The failure in the words of the library.
        status: Of the last answer in the main frame, after all redirects; 0 when there was none.
        final_url: What the address bar shows at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure: Literal["browser", "page", "size"] | None = None
    said: str = ""
    status: int = 0
    final_url: str = ""
    content_type: str = ""
    html_bytes: int = 0

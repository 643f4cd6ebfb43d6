"""A recorded model: replies kept in a JSON file, found again by a hash of the whole question."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Self

from scripted_model.behaviours import Answer, Behaviour, ChatRequest, Fails, Says


def request_key(request: ChatRequest) -> str:
    """Equal for requests that ask the same model the same thing for the same shape."""
    asked = {name: request.body.get(name) for name in ("model", "messages", "format")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


class Recording:
    """Replies by question; ``replay`` answers from them, ``learn`` fills them.

        server.answers(Recording.load(path).replay)

    A question that was never recorded is answered with status 400 and its key, so that a test
    whose prompt changed fails by name; record it again with ``learn``.
    """

    def __init__(self, replies: dict[str, dict[str, str]] | None = None) -> None:
        self.replies = replies or {}

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        text = json.dumps(self.replies, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    def replay(self, request: ChatRequest) -> Behaviour:
        found = self.replies.get(request_key(request))
        if found is None:
            key = request_key(request)[:16]
            return Fails(400, f"not recorded: {key} of shape {request.shape!r}")
        return Says(found["reply"])

    def learn(self, answer: Answer) -> Answer:
        """The same answers, kept."""

        def kept(request: ChatRequest) -> Behaviour:
            behaviour = answer(request)
            if isinstance(behaviour, Says):
                self.replies[request_key(request)] = {
                    "shape": request.shape,
                    "reply": behaviour.text,
                }
            return behaviour

        return kept

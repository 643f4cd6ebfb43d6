"""The scripted Ollama server: /api/version, /api/tags, /api/show and /api/chat on a free port.

It runs in a thread with a loop of its own, so that tests of every kind can use it, also those
that start the program as a child process:

    with ScriptedOllama("qwen3:30b") as server:
        server.script("qwen3:30b", Says('{"a": 1}'), Fails(500))   # one behaviour per request
        server.answers(by_shape({"Plan": plan}))                    # or by the request itself
        ... OLLAMA_BASE_URL = server.base_url ...
        assert server.chats[0].shape == "Plan"
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from pydantic import BaseModel
from scripted_model.behaviours import (
    Answer,
    Behaviour,
    Breaks,
    ChatRequest,
    Endless,
    Fails,
    FailsMidway,
    Garbage,
    Hangs,
    Loads,
    Says,
    says,
)

CREATED_AT = "2026-01-01T00:00:00Z"
START_S = 120.0


def by_shape(replies: Mapping[str, BaseModel | str | Behaviour]) -> Answer:
    """Answers with the reply under the name of the class whose schema was sent."""

    def answer(request: ChatRequest) -> Behaviour:
        if request.shape not in replies:
            return Fails(400, f"nothing is scripted for the shape {request.shape!r}")
        reply = replies[request.shape]
        return says(reply) if isinstance(reply, BaseModel | str) else reply

    return answer


class ScriptedOllama:
    """A server that has ``models`` and does what it is told; a context manager.

    A request takes the next behaviour that was scripted for its model, else the answer of the
    function that was set by ``answers``; without either it fails with status 400, which the
    client does not mistake for a passing fault, and the request is kept in ``unscripted``.
    """

    def __init__(self, *models: str) -> None:
        self.models = list(models)
        self.chats: list[ChatRequest] = []
        self.paths: list[str] = []
        self.unscripted: list[ChatRequest] = []
        self.tags: Behaviour | None = None
        self.hung_up = threading.Event()  # a client left before the end of its reply
        self._scripts: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._answer: Answer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-ollama", daemon=True)
        self._ready = threading.Event()
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def script(self, model: str, *behaviours: Behaviour) -> None:
        """What the next requests to ``model`` get, in order, before anything set earlier ends."""
        self._scripts[_full_name(model)].extend(behaviours)

    def answers(self, answer: Answer) -> None:
        """What every request gets for which nothing is scripted."""
        self._answer = answer

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise RuntimeError("the scripted server did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024**2)
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/tags", self._tags),
                web.post("/api/show", self._show),
                web.post("/api/chat", self._chat),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _version(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        return web.json_response({"version": "0.0.0-scripted"})

    async def _tags(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if self.tags is not None:
            return await self._behave(self.tags, request, model="")
        return web.json_response({"models": [{"name": m, "model": m} for m in self.models]})

    async def _show(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        body = await request.json()
        if not self._has(body.get("model", "")):
            return web.json_response({"error": "model not found"}, status=404)
        return web.json_response(
            {"details": {"family": "scripted"}, "capabilities": ["completion"]}
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        chat = ChatRequest(await request.json(), request.headers.get("Authorization"))
        self.chats.append(chat)
        return await self._behave(self._behaviour_for(chat), request, model=chat.model)

    def _has(self, model: str) -> bool:
        return _full_name(model) in map(_full_name, self.models)

    def _behaviour_for(self, chat: ChatRequest) -> Behaviour:
        if not self._has(chat.model):
            return Fails(404, f"model {chat.model!r} not found")
        if script := self._scripts[_full_name(chat.model)]:
            return script.popleft()
        if self._answer is not None:
            return self._answer(chat)
        self.unscripted.append(chat)
        return Fails(400, "nothing is scripted for this request")

    async def _behave(
        self, behaviour: Behaviour, request: web.Request, *, model: str
    ) -> web.StreamResponse:
        if isinstance(behaviour, Fails):
            return web.json_response({"error": behaviour.error}, status=behaviour.status)
        stream = _Stream(request, model)
        try:
            await _play(behaviour, stream)
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
            raise
        return stream.response


def _full_name(model: str) -> str:
    """As Ollama reads a name: without a tag it is the latest, capitals do not count."""
    return (model if ":" in model else f"{model}:latest").lower()


class _Stream:
    """One NDJSON reply."""

    def __init__(self, request: web.Request, model: str) -> None:
        self.request = request
        self.model = model
        self.response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})

    async def open(self) -> None:
        await self.response.prepare(self.request)

    async def send(self, content: str = "", **more: Any) -> None:
        message = {"role": "assistant", "content": content, **more.pop("message", {})}
        line = {"model": self.model, "created_at": CREATED_AT, "message": message}
        await self.raw((json.dumps({**line, "done": False, **more}) + "\n").encode())

    async def raw(self, data: bytes) -> None:
        await self.response.write(data)

    def break_off(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


async def _play(behaviour: Behaviour, stream: _Stream) -> None:
    await asyncio.sleep(_silence_before(behaviour))
    await stream.open()
    match behaviour:
        case Says():
            await _say(behaviour, stream)
        case FailsMidway():
            await stream.send(behaviour.text)
            await stream.raw((json.dumps({"error": behaviour.error}) + "\n").encode())
        case Breaks():
            await _break(behaviour, stream)
        case Hangs():
            await stream.send(behaviour.text)
            await asyncio.sleep(behaviour.seconds)
        case Endless():
            for _ in range(behaviour.limit):
                await stream.send(behaviour.text)
        case Loads():
            await stream.send(done=True, done_reason="load")
        case Garbage():
            await stream.raw(behaviour.body)


def _silence_before(behaviour: Behaviour) -> float:
    if isinstance(behaviour, Hangs) and not behaviour.text:
        return behaviour.seconds
    return behaviour.pause_s if isinstance(behaviour, Says) else 0.0


async def _break(behaviour: Breaks, stream: _Stream) -> None:
    await stream.send(behaviour.text)
    if not behaviour.politely:
        await asyncio.sleep(0.05)  # so that the piece is read before the reset
        stream.break_off()


async def _say(behaviour: Says, stream: _Stream) -> None:
    if behaviour.thinking:
        await stream.send(message={"thinking": behaviour.thinking})
    size = max(1, -(-len(behaviour.text) // behaviour.pieces))
    for start in range(0, len(behaviour.text), size):
        if start:
            await asyncio.sleep(behaviour.pause_s)
        await stream.send(behaviour.text[start : start + size])
    if behaviour.tool_calls:
        await stream.send(message={"tool_calls": list(behaviour.tool_calls)})
    await stream.send(
        done=True,
        done_reason=behaviour.done_reason,
        total_duration=1,
        load_duration=1,
        prompt_eval_count=behaviour.prompt_tokens,
        prompt_eval_duration=1,
        eval_count=behaviour.reply_tokens,
        eval_duration=1,
    )


def wait_until(event: threading.Event, timeout_s: float = 5.0) -> bool:
    """Whether the event came in time; for asserts on what the server saw."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if event.wait(0.05):
            return True
    return False

"""Another provider by LangChain's name, over its own protocol; needs the extra `openai`."""

import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel

from mmm_workflows.errors import InvalidReply, ServiceUnavailable, SettingsError
from mmm_workflows.llm.budget import Budget
from mmm_workflows.llm.provider import open_provider


class One(BaseModel):
    a: int


class OpenAIServer:
    """Speaks /v1/chat/completions as server-sent events; one script entry per request."""

    def __init__(self) -> None:
        self.script: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        turn = self.script.pop(0)
        if "status" in turn:
            error = {"message": turn["error"], "type": "scripted", "code": None}
            return web.json_response({"error": error}, status=turn["status"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in turn["deltas"]:
            await self._event(response, choices=[{"index": 0, "delta": delta}])
        if turn.get("breaks"):
            assert request.transport is not None
            request.transport.abort()
            return response
        reason = turn.get("finish_reason", "stop")
        await self._event(response, choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        await self._event(response, choices=[], usage=usage)
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def _event(response: web.StreamResponse, **fields: Any) -> None:
        event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    try:
        import langchain_openai  # noqa: F401
    except ModuleNotFoundError:
        missing = "langchain-openai is not installed: uv sync --extra openai"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    scripted = OpenAIServer()
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", scripted.chat)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield scripted
    await runner.cleanup()


async def ask(server: OpenAIServer, budget: Budget | None = None) -> One:
    chat = await open_provider(
        "openai:gpt-x", timeout_s=60, idle_s=60, base_url=server.url, backoff_s=0.01
    )
    spent = budget or Budget(max_calls=9, max_tokens=10**6)
    reply = await chat.fill(One, system="s", user="u", budget=spent, max_reply_tokens=64)
    return reply.value


async def test_another_provider_is_asked_by_words_alone(server: OpenAIServer) -> None:
    server.script = [{"deltas": [{"role": "assistant", "content": '{"a"'}, {"content": ": 7}"}]}]
    budget = Budget(max_calls=9, max_tokens=10**6)
    assert await ask(server, budget) == One(a=7)
    [request] = server.requests
    assert not {"tools", "functions", "response_format", "temperature"} & set(request)
    assert request["model"] == "gpt-x"
    assert 64 in (request.get("max_tokens"), request.get("max_completion_tokens"))
    assert '"title":"One"' in request["messages"][0]["content"]
    spent = budget.spent
    assert (spent.calls, spent.prompt_tokens, spent.reply_tokens) == (1, 11, 5)


@pytest.mark.parametrize(
    "turn",
    [
        {"deltas": [{"content": "no"}]},
        {"deltas": [{"content": '{"a": 7}'}], "finish_reason": "length"},
        {"deltas": [{"content": '{"a": 7}'}], "finish_reason": "content_filter"},
        {"deltas": []},
    ],
)
async def test_a_bad_reply_is_corrected(server: OpenAIServer, turn: dict[str, Any]) -> None:
    server.script = [turn, {"deltas": [{"content": '{"a": 7}'}]}]
    assert await ask(server) == One(a=7)
    assert len(server.requests) == 2


async def test_a_refusal_is_no_reply(server: OpenAIServer) -> None:
    server.script = [{"deltas": [{"refusal": "I cannot help with that."}]}] * 3
    with pytest.raises(InvalidReply):
        await ask(server)


@pytest.mark.parametrize(
    ("status", "calls", "code"),
    [
        (500, 2, "language_model_unavailable"),
        (429, 2, "language_model_unavailable"),
        (401, 1, "language_model_unavailable"),
        (400, 1, "language_model_unavailable"),
        (404, 1, "language_model_unknown"),
    ],
)
async def test_a_failure_is_ours_and_tried_again_only_when_it_may_pass(
    server: OpenAIServer, status: int, calls: int, code: str
) -> None:
    server.script = [{"status": status, "error": "scripted"}] * 3
    with pytest.raises(ServiceUnavailable) as caught:
        await ask(server)
    assert caught.value.code == code
    assert len(server.requests) == calls


async def test_a_broken_stream_is_corrected_or_unavailable(server: OpenAIServer) -> None:
    server.script = [{"deltas": [{"content": '{"a"'}], "breaks": True}] * 4
    with pytest.raises((InvalidReply, ServiceUnavailable)):
        await ask(server)


async def test_a_server_that_is_down_is_unavailable(server: OpenAIServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ServiceUnavailable) as caught:
            await ask(server)
    assert caught.value.code == "language_model_unavailable"


async def test_a_missing_key_is_a_setting_to_be_corrected(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        await open_provider("openai:gpt-x", timeout_s=1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-5", "expected a provider and a model"),
        (":x", "expected a provider and a model"),
        ("openai:", "expected a provider and a model"),
        ("nobody:x", "cannot be used: .*nobody"),
        ("ollama:qwen3:30b", "OLLAMA_BASE_URL"),
        ("mistralai:small", "package for 'mistralai' is not installed.*pip install"),
    ],
)
async def test_a_name_that_cannot_be_used_is_refused_as_a_setting(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        await open_provider(name, timeout_s=1)

"""The client against a server that speaks Ollama's protocol: what it asks, accepts and refuses."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from scripted_model.behaviours import (
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
)
from scripted_model.server import ScriptedOllama, wait_until

from mmm_workflows.errors import InvalidReply, ServiceUnavailable, UserError
from mmm_workflows.llm.budget import Budget, Usage
from mmm_workflows.llm.chat import ChatModel, Reply
from mmm_workflows.llm.ollama import open_ollama

MODEL = "qwen3:30b"
GOOD = '{"channel": "tv", "change_pct": 20}'


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Literal["tv", "search"]
    change_pct: float = Field(ge=-100, le=500)
    why: str = Field("", max_length=4000, pattern="^[^<]*$")


@pytest.fixture
async def chat(server: ScriptedOllama) -> ChatModel:
    return await opened(server, timeout_s=60, idle_s=60)


@pytest.fixture
async def hasty(server: ScriptedOllama) -> ChatModel:
    """For what is silent on purpose; anything else a busy machine may make as silent."""
    return await opened(server, timeout_s=1, idle_s=0.3)


async def opened(server: ScriptedOllama, *, timeout_s: float, idle_s: float) -> ChatModel:
    return await open_ollama(
        server.base_url, MODEL, timeout_s=timeout_s, idle_s=idle_s, backoff_s=0.01,
        context_tokens=8192,
    )  # fmt: skip


def big_budget() -> Budget:
    return Budget(max_calls=100, max_tokens=1_000_000)


async def ask(chat: ChatModel, budget: Budget | None = None, **options) -> Reply[Change]:
    return await chat.fill(
        Change,
        system="Say which change is meant.",
        user="TV up by a fifth",
        budget=budget or big_budget(),
        **options,
    )


async def test_the_request_carries_the_schema_the_bounds_and_no_tools(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says(GOOD))
    assert (await ask(chat, max_reply_tokens=100)).value == Change(channel="tv", change_pct=20)
    [request] = server.chats
    assert request.shape == "Change"
    assert request.body["format"]["properties"]["channel"]["enum"] == ["tv", "search"]
    assert request.body["stream"] is True
    assert request.body["think"] is False
    assert not request.body.get("tools")
    assert request.body["options"] == {
        "temperature": 0.0,
        "seed": 1,
        "num_ctx": 8192,
        "num_predict": 100,
    }
    assert [m["role"] for m in request.body["messages"]] == ["system", "user"]
    assert request.system.startswith("Say which change is meant.")
    # A server that ignores `format` still reads the whole schema.
    assert json.dumps(Change.model_json_schema(), separators=(",", ":")) in request.system
    assert request.user == "TV up by a fifth"


async def test_the_grammar_is_spared_what_it_cannot_hold(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says(GOOD))
    await ask(chat)
    why = server.chats[0].body["format"]["properties"]["why"]
    assert why == {"default": "", "title": "Why", "type": "string"}


async def test_usage_is_as_the_server_counted_it(server: ScriptedOllama, chat: ChatModel) -> None:
    server.script(MODEL, Says(GOOD, prompt_tokens=210, reply_tokens=31, pause_s=0.05))
    budget = big_budget()
    reply = await ask(chat, budget)
    assert reply.attempts == 1
    assert reply.usage.model_copy(update={"seconds": 0}) == Usage(
        calls=1, prompt_tokens=210, reply_tokens=31
    )
    assert 0.1 <= reply.usage.seconds < 30
    assert budget.spent == reply.usage


async def test_what_the_server_did_not_count_is_estimated(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says(GOOD, prompt_tokens=0), Breaks(GOOD))
    assert (await ask(chat)).usage.prompt_tokens > 200
    budget = Budget(max_calls=1, max_tokens=1_000_000)
    with pytest.raises(ServiceUnavailable, match="used 1 calls"):
        await ask(chat, budget)
    assert budget.spent.prompt_tokens > 200
    assert budget.spent.reply_tokens >= 1


@pytest.mark.parametrize(
    "reply",
    [
        Says(GOOD, thinking="The user wants {tv}."),
        Says(f"<think>Maybe {{search}}?</think>\n{GOOD}"),
        Says(f"Okay, so maybe {{x}}...\n</think>\n\n{GOOD}"),
        Says(f"```json\n{GOOD}\n```"),
        Says(f"<think>hm</think>```\n{GOOD}\n```\n"),
        Says(GOOD, pieces=40),
    ],
    ids=["thinking field", "thought", "only its end", "fence", "both", "many pieces"],
)
async def test_what_stands_around_the_document_is_taken_off(
    server: ScriptedOllama, chat: ChatModel, reply: Says
) -> None:
    server.script(MODEL, reply)
    got = await ask(chat)
    assert got.value == Change(channel="tv", change_pct=20)
    assert got.attempts == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Says('{"channel": "radio", "change_pct": 20}'), "channel: Input should be 'tv' or"),
        (Says('{"channel": "tv", "change_pct": 900}'), "change_pct: Input should be less than"),
        (Says('{"channel": "tv"}'), "change_pct: Field required"),
        (Says('{"channel": "tv", "change_pct": 2, "who": 1}'), "who: Extra inputs are not"),
        (Says('{"thought": "I should answer"}'), "channel: Field required"),
        (Says(f"The change is {GOOD}"), "not one JSON document and nothing else"),
        (Says(GOOD + GOOD), "Extra data"),
        (Says('{"channel": "tv", "change_pct": NaN}'), "NaN is not a number of JSON"),
        (Says('{"channel": "tv", "change_pct": 1e999}'), "too large"),
        (Says('{"channel": "tv", "channel": "search", "change_pct": 1}'), "given twice"),
        (Says("I'm sorry, but I can't help with that."), "not one JSON document"),
        (Says(""), "no content"),
        (Says("<think>I never came to an end"), "no content"),
        (Says('{"channel": "tv", ', done_reason="length"), "limit of its length"),
        (Says(GOOD, done_reason="length"), "limit of its length"),
        (Says("", tool_calls=({"function": {"name": "rm", "arguments": {}}},)), "no content"),
        (Breaks('{"channel": "tv"'), "broke off"),
        (Breaks('{"channel": "tv"', politely=True), "broke off"),
        (Loads(), "No reply came"),
        (Says("[" * 3000), "nested too deeply"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:60],
)
async def test_what_is_wrong_is_said_to_the_model_and_its_correction_is_taken(
    server: ScriptedOllama, chat: ChatModel, reply: Behaviour, told: str
) -> None:
    server.script(MODEL, reply, Says(GOOD))
    got = await ask(chat)
    assert got.value == Change(channel="tv", change_pct=20)
    assert got.attempts == 2
    assert got.usage.calls == 2
    first, second = server.chats
    assert second.is_correction
    assert told in second.last
    assert second.body["messages"][:2] == first.body["messages"]
    said = reply.text if isinstance(reply, Says | Breaks) else ""
    echoes = [m["content"] for m in second.body["messages"] if m["role"] == "assistant"]
    assert echoes == ([said[:2000]] if said else [])


async def test_after_two_corrections_the_reply_is_refused(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    bad = Says('{"channel": "radio", "change_pct": 20}')
    server.script(MODEL, Says("no"), bad, bad, Says(GOOD))
    budget = big_budget()
    with pytest.raises(InvalidReply, match=r"no valid Change in 3 attempts.*'tv' or 'search'") as e:
        await ask(chat, budget)
    assert e.value.code == "reply_invalid"
    assert MODEL in e.value.message
    assert budget.spent.calls == len(server.chats) == 3
    # The talk does not grow: only the last reply and its faults are in it.
    assert len(server.chats[2].body["messages"]) == 4
    assert "not one JSON document" not in server.chats[2].last


async def test_a_value_of_the_right_shape_can_still_be_wrong(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says('{"channel": "search", "change_pct": 20}'), Says(GOOD))

    def check(change: Change) -> Sequence[str]:
        return [] if change.channel == "tv" else ["channel: the question does not speak of it."]

    reply = await ask(chat, check=check)
    assert reply.value.channel == "tv"
    assert "- channel: the question does not speak of it." in server.chats[1].last


async def test_what_is_told_to_the_model_has_a_bounded_length(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    fields = ", ".join(f'"{"x" * 500}{i}": 1' for i in range(40))
    server.script(MODEL, Says(f"{{{fields}}}"), Says(GOOD))
    await ask(chat, max_reply_tokens=3000)
    correction = server.chats[1].body["messages"]
    assert len(correction[2]["content"]) == 2000
    assert len(correction[3]["content"]) < 3000
    assert "more faults" in correction[3]["content"]


async def test_an_endless_reply_is_cut_and_the_server_is_let_go(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Endless(), Says(GOOD))
    reply = await ask(chat, max_reply_tokens=50)
    assert reply.attempts == 2
    assert "did not end and was cut" in server.chats[1].last
    assert 50 <= reply.usage.reply_tokens < 150
    assert wait_until(server.hung_up, 60)


async def test_few_pieces_of_endless_length_are_cut_too(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Endless("on " * 1000), Says(GOOD))
    reply = await ask(chat, max_reply_tokens=500)
    assert reply.attempts == 2
    assert reply.usage.reply_tokens < 10


@pytest.mark.parametrize(
    "failure",
    [Fails(500, "out of memory"), Fails(503), Fails(429), FailsMidway(), Garbage(), Hangs(),
     Hangs('{"channel"'), Garbage(b"[1]\n"), Garbage(b'"x"\n'), Garbage(b'{"message": 3}\n')],
    ids=lambda f: str(f)[:60],
)  # fmt: skip
async def test_what_may_pass_is_tried_once_more(
    server: ScriptedOllama, chat: ChatModel, hasty: ChatModel, failure: Behaviour
) -> None:
    server.script(MODEL, failure, Says(GOOD))
    reply = await ask(hasty if isinstance(failure, Hangs) else chat)
    assert reply.value.channel == "tv"
    assert reply.attempts == 1
    assert reply.usage.calls == len(server.chats) == 2
    assert server.chats[0].body == server.chats[1].body


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Fails(500, "model requires more system memory"), "more system memory"),
        (Hangs(), "in 1 s"),
        (Hangs('{"ch'), "silent for 0.3 s.*1 pieces came"),
        (FailsMidway(), "runner process no longer running"),
    ],
    ids=lambda f: str(f)[:40],
)
async def test_what_fails_twice_is_an_unavailable_model(
    server: ScriptedOllama, chat: ChatModel, hasty: ChatModel, failure: Behaviour, said: str
) -> None:
    server.script(MODEL, failure, failure, Says(GOOD))
    budget = big_budget()
    with pytest.raises(ServiceUnavailable, match=said) as caught:
        await ask(hasty if isinstance(failure, Hangs) else chat, budget)
    assert caught.value.code == "language_model_unavailable"
    assert budget.spent.calls == len(server.chats) == 2


async def test_time_for_one_reply_is_bounded_however_steadily_it_drips(
    server: ScriptedOllama, hasty: ChatModel
) -> None:
    drip = Says(" " * 1000 + GOOD, pieces=1000, pause_s=0.1)
    server.script(MODEL, drip, drip)
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="did not finish its reply in 1 s"):
        await ask(hasty)
    assert 2 <= time.monotonic() - started < 30


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_what_will_not_pass_is_not_tried_again(
    server: ScriptedOllama, chat: ChatModel, status: int
) -> None:
    server.script(MODEL, Fails(status, "no"), Says(GOOD))
    with pytest.raises(ServiceUnavailable, match="no") as caught:
        await ask(chat)
    assert caught.value.code == "language_model_unavailable"
    assert len(server.chats) == 1


async def test_a_model_removed_in_mid_run_is_said_to_be_unknown(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.models.remove(MODEL)
    with pytest.raises(ServiceUnavailable, match=r"model 'qwen3:30b' not found") as caught:
        await ask(chat)
    assert caught.value.code == "language_model_unknown"
    assert len(server.chats) == 1


async def test_a_server_that_went_down_is_unavailable() -> None:
    with ScriptedOllama(MODEL) as gone:
        chat = await open_ollama(gone.base_url, MODEL, timeout_s=30, backoff_s=0.01)
    budget = big_budget()
    with pytest.raises(ServiceUnavailable) as caught:
        await ask(chat, budget)
    assert caught.value.code == "language_model_unavailable"
    assert (budget.spent.calls, budget.spent.tokens) == (2, 0)


async def test_a_run_stops_at_its_calls_in_the_middle_of_corrections(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says("no"), Says("no"), Says(GOOD))
    budget = Budget(max_calls=2, max_tokens=1_000_000)
    with pytest.raises(ServiceUnavailable, match="used 2 calls") as caught:
        await ask(chat, budget)
    assert caught.value.code == "language_model_budget"
    assert len(server.chats) == 2


async def test_a_run_never_spends_more_tokens_than_it_may_also_in_parallel(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.answers(lambda _: Says(GOOD, prompt_tokens=300, reply_tokens=100, pause_s=0.01))
    budget = Budget(max_calls=100, max_tokens=2000)
    results = await asyncio.gather(
        *(ask(chat, budget, max_reply_tokens=100) for _ in range(12)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, ServiceUnavailable)]
    assert {r.code for r in refused} == {"language_model_budget"}
    assert 0 < len(server.chats) == 12 - len(refused)
    assert budget.spent.tokens == 400 * len(server.chats) <= 2000


async def test_a_prompt_longer_than_the_model_reads_is_not_sent(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    with pytest.raises(UserError, match="is given 8192") as caught:
        await chat.fill(Change, system="s", user="word " * 4000, budget=big_budget())
    assert caught.value.code == "request_too_large"
    assert server.chats == []


async def test_a_question_that_can_be_asked_can_be_corrected(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    fields = ", ".join(f'"{"é" * 500}{i}": 1' for i in range(40))
    server.answers(lambda _: Says(f"{{{fields}}}"))
    longest = 3 * (8192 - 2048 - 1500) - 1500
    while True:
        try:
            await chat.fill(Change, system="s", user="x" * longest, budget=big_budget())
        except UserError:
            longest -= 30
        except InvalidReply:
            break
    sent = server.chats[-1].body["messages"]
    assert sum(len(m["content"].encode()) for m in sent) / 3 + 2048 < 8192


async def test_a_cancelled_question_lets_the_server_go(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.script(MODEL, Says(" " * 100 + GOOD, pieces=100, pause_s=0.05))
    budget = big_budget()
    asking = asyncio.create_task(ask(chat, budget))
    while not server.chats:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(wait_until, server.hung_up, 60)
    server.script(MODEL, Says(GOOD))
    assert (await ask(chat, budget)).value.channel == "tv"


async def test_equal_questions_are_asked_in_equal_words(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    server.answers(lambda _: Says(GOOD))
    await ask(chat)
    await ask(chat)
    assert server.chats[0].body == server.chats[1].body


async def test_no_more_than_two_questions_are_with_the_server_at_once(
    server: ScriptedOllama, chat: ChatModel
) -> None:
    at_once, most = 0, 0

    class Counted(Budget):
        def charge(self, usage: Usage) -> None:
            nonlocal at_once
            at_once -= 1
            super().charge(usage)

    def answer(_: ChatRequest) -> Says:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        return Says(GOOD, pause_s=0.02)

    server.answers(answer)
    budget = Counted(max_calls=100, max_tokens=1_000_000)
    await asyncio.gather(*(ask(chat, budget) for _ in range(8)))
    assert most == 2

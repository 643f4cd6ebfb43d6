"""The scripted server itself: replies by shape, by recording, and what nobody scripted."""

import json
import urllib.request
from pathlib import Path

import pytest
from pydantic import BaseModel
from scripted_model.behaviours import Fails, Says
from scripted_model.recording import Recording
from scripted_model.server import ScriptedOllama, by_shape

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.llm.budget import Budget
from mmm_workflows.llm.ollama import open_ollama


class Plan(BaseModel):
    steps: list[str]


class Mood(BaseModel):
    good: bool


async def fill[T: BaseModel](server: ScriptedOllama, shape: type[T], user: str = "u") -> T:
    chat = await open_ollama(server.base_url, "tiny", timeout_s=60, backoff_s=0.01)
    budget = Budget(max_calls=9, max_tokens=10**6)
    return (await chat.fill(shape, system="s", user=user, budget=budget)).value


async def test_replies_are_chosen_by_the_shape_that_was_asked_for(server: ScriptedOllama) -> None:
    server.answers(by_shape({"Plan": Plan(steps=["a"]), "Mood": '{"good": true}'}))
    assert await fill(server, Mood) == Mood(good=True)
    assert await fill(server, Plan) == Plan(steps=["a"])


async def test_a_scripted_behaviour_goes_before_the_answer(server: ScriptedOllama) -> None:
    server.answers(by_shape({"Mood": Mood(good=True)}))
    server.script("tiny", Says('{"good": false}'))
    assert [await fill(server, Mood) for _ in range(2)] == [Mood(good=False), Mood(good=True)]


async def test_what_nobody_scripted_fails_at_once_and_is_kept(server: ScriptedOllama) -> None:
    with pytest.raises(ServiceUnavailable, match="nothing is scripted"):
        await fill(server, Mood)
    assert [request.shape for request in server.unscripted] == ["Mood"]


async def test_a_recording_answers_what_it_learnt_and_nothing_else(tmp_path: Path) -> None:
    recording, path = Recording(), tmp_path / "model.json"
    with ScriptedOllama("tiny") as server:
        server.answers(
            recording.learn(lambda request: Says(f'{{"good": {"u" in request.user!s}}}'.lower()))
        )
        assert await fill(server, Mood, "unwell") == Mood(good=True)
        assert await fill(server, Mood, "well") == Mood(good=False)
    recording.save(path)
    assert len(json.loads(path.read_text())) == 2
    with ScriptedOllama("tiny") as server:
        server.answers(Recording.load(path).replay)
        assert await fill(server, Mood, "well") == Mood(good=False)
        with pytest.raises(ServiceUnavailable, match=r"not recorded: [0-9a-f]{16} of shape 'Mood'"):
            await fill(server, Mood, "changed")


def test_it_serves_plain_clients_from_another_thread(server: ScriptedOllama) -> None:
    server.script("tiny", Fails(400), Says("hello", done_reason="stop"))
    with urllib.request.urlopen(f"{server.base_url}/api/version", timeout=60) as answer:
        assert json.load(answer) == {"version": "0.0.0-scripted"}
    show = urllib.request.Request(f"{server.base_url}/api/show", data=b'{"model": "tiny"}')
    with urllib.request.urlopen(show, timeout=60) as answer:
        assert "completion" in json.load(answer)["capabilities"]

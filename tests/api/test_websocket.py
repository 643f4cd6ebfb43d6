"""Events over the WebSocket, read as the README's snippet reads them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from api.sockets import connect
from websockets.exceptions import ConnectionClosed

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


async def _messages(served: str, workflow_id: str, after: int = 0) -> tuple[list[dict], int]:
    """Every message until the server closes, and the code that it closed with."""
    seen = []
    async with connect(f"ws://{served}/ws/{workflow_id}?after={after}") as socket:
        try:
            while True:
                seen.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return seen, closed.rcvd.code


async def _start(served: str, **options: object) -> str:
    async with httpx.AsyncClient(base_url=f"http://{served}") as client:
        body = {"query": "Build MMM for beverage brand", **options}
        answer = await client.post("/research/start", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["workflow_id"])


async def test_a_watcher_reads_status_and_progress_until_the_run_ends(served: str) -> None:
    assert "data.data.status" in README and "data.data.progress" in README
    seen, code = await _messages(served, await _start(served))
    assert code == 1000
    assert [m["seq"] for m in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["type"] == "event"
    assert seen[-1]["data"]["status"] == "succeeded"
    assert seen[-1]["data"]["progress"] == 1.0
    assert {"status", "progress", "step", "message"} <= set(seen[0]["data"])


async def test_after_leaves_out_what_was_seen(served: str) -> None:
    workflow_id = await _start(served)
    everything, _ = await _messages(served, workflow_id)
    rest, _ = await _messages(served, workflow_id, after=3)
    assert rest == everything[3:]
    assert len(rest) > 1


async def test_many_watchers_each_see_every_event_once(served: str) -> None:
    workflow_id = await _start(served)
    logs = await asyncio.gather(*(_messages(served, workflow_id) for _ in range(20)))
    for seen, code in logs:
        assert code == 1000
        assert [m["seq"] for m in seen] == list(range(1, len(logs[0][0]) + 1))


async def test_a_question_is_followed_on_after_its_answer(served: str) -> None:
    workflow_id = await _start(served, review=True)
    before, _ = await _messages(served, workflow_id)
    assert before[-1]["data"]["status"] == "waiting"
    async with httpx.AsyncClient(base_url=f"http://{served}") as client:
        answered = await client.post(f"/workflow/{workflow_id}/decide", json={"answer": "yes"})
        assert answered.status_code == 202
    rest, _ = await _messages(served, workflow_id, after=before[-1]["seq"])
    assert rest[0]["seq"] == before[-1]["seq"] + 1
    assert rest[-1]["data"]["status"] == "succeeded"


@pytest.mark.parametrize("said", ["hello", b"\x00\xff"])
async def test_what_a_watcher_says_changes_nothing(served: str, said: str | bytes) -> None:
    workflow_id = await _start(served)
    async with connect(f"ws://{served}/ws/{workflow_id}") as socket:
        # A run may be over by then.
        with suppress(ConnectionClosed):
            await socket.send(said)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                last = json.loads(await asyncio.wait_for(socket.recv(), 30))
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
    assert last["data"]["status"] == "succeeded"


@pytest.mark.parametrize("name", ["nobody", "%00", "a%00b", "%ff", "x" * 5000, "..%2e"])
async def test_an_unknown_run_is_said_to_be_unknown(served: str, name: str) -> None:
    seen, code = await _messages(served, name)
    assert code == 4404
    assert seen[0]["type"] == "error"
    assert seen[0]["data"]["code"] == "run_not_found"


@pytest.mark.parametrize("after", ["-1", "x"])
async def test_an_unreadable_after_is_refused(served: str, after: str) -> None:
    with pytest.raises(Exception, match=r"403|422|1008"):
        await _messages(served, "nobody", after=after)  # type: ignore[arg-type]

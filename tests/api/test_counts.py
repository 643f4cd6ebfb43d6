"""Limits over all replicas on one Redis, per process without one, and what is said in between."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from services.private_redis import Server
from services.redis_state import redis_url

from mmm_workflows.api import shared_counts
from mmm_workflows.api.main import create_app
from mmm_workflows.api.shared_counts import open_shared_counts
from mmm_workflows.config import Settings
from mmm_workflows.errors import SettingsError
from mmm_workflows.keys import make_key

# It needs no house, and is counted.
COUNTED = "/openapi.json"
ROOT, ROOT_ENTRY = make_key("root")
OTHER, OTHER_ENTRY = make_key("other")
KEYS = SecretStr(f"{ROOT_ENTRY},{OTHER_ENTRY}")
# A busy machine is silent for more than half a second; a Redis that is away refuses at once.
PATIENT_S = 30.0
LOG = "mmm_workflows.api.shared_counts"


class Replica:
    """An application that runs, as its callers reach it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        transport = httpx.ASGITransport(app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def ask(self, path: str = COUNTED) -> int:
        return (await self.client.get(path)).status_code

    async def ask_from(self, address: str, path: str = COUNTED, key: str = "") -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        headers = {"X-API-Key": key} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)


type Start = Callable[[Settings], object]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(settings: Settings) -> Replica:
            app = create_app(settings)
            await stack.enter_async_context(app.router.lifespan_context(app))
            replica = Replica(app)
            stack.push_async_callback(replica.client.aclose)
            # Warm from here on: what it counts is not the time that it takes to open.
            await app.state.opening.house()
            return replica

        yield begin


@pytest.fixture
def few(settings: Settings) -> Settings:
    """So few that a test reaches the end of them."""
    return settings.model_copy(
        update={"requests_per_minute": 4, "requests_at_once": 1, "workers": 0}
    )


def on(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(url)})


@pytest.fixture
def empty_redis(monkeypatch: pytest.MonkeyPatch) -> str:
    """The shared Redis, counted under a name of this test."""
    monkeypatch.setattr(shared_counts, "PREFIX", f"test-{secrets.token_hex(4)}")
    monkeypatch.setattr(shared_counts, "TIMEOUT_S", PATIENT_S)
    return redis_url()


async def test_without_redis_each_process_counts_for_itself(few: Settings, start: Start) -> None:
    one, two = await start(few), await start(few)
    assert [await one.ask() for _ in range(5)] == [200] * 4 + [429]
    assert [await two.ask() for _ in range(5)] == [200] * 4 + [429]
    async with one.app.state.counts.place("requests", 1) as is_free:
        assert is_free
        async with two.app.state.counts.place("requests", 1) as is_free:
            assert is_free


async def test_a_key_has_one_limit_wherever_it_is_used(few: Settings, start: Start) -> None:
    one = await start(few.model_copy(update={"api_keys": KEYS}))
    asked = [await one.ask_from(f"192.0.2.{n}", key=ROOT) for n in range(5)]
    assert [a.status_code for a in asked] == [200] * 4 + [429]
    assert (await one.ask_from("192.0.2.1", key=OTHER)).status_code == 200


async def test_who_has_no_key_is_counted_by_address_and_one_of_many_by_its_network(
    few: Settings, start: Start
) -> None:
    one = await start(few)
    asked = [await one.ask_from(f"2001:db8::{n}") for n in range(5)]
    assert [a.status_code for a in asked] == [200] * 4 + [429]
    for address in ("2001:db8:0:1::1", *(f"192.0.2.{n}" for n in range(5)), "::ffff:192.0.2.9"):
        assert (await one.ask_from(address)).status_code == 200, address
    asked = [await one.ask_from("::ffff:192.0.2.0") for _ in range(4)]
    assert [a.status_code for a in asked] == [200] * 3 + [429]


async def test_who_tries_keys_too_often_is_told_to_wait_and_nobody_else_is(
    few: Settings, start: Start
) -> None:
    one = await start(few.model_copy(update={"api_keys": KEYS}))
    tried = [await one.ask_from("192.0.2.1", "/workflows", key=f"wrong-{n}") for n in range(5)]
    assert [t.status_code for t in tried] == [401] * 4 + [429]
    assert tried[-1].json()["code"] == "too_many_requests"
    assert 1 <= int(tried[-1].headers["retry-after"]) <= 60
    assert (await one.ask_from("192.0.2.2", "/workflows")).status_code == 401
    assert (await one.ask_from("192.0.2.1", key=ROOT)).status_code == 200
    assert (await one.ask_from("192.0.2.1", "/health/live")).status_code == 200


@pytest.mark.services
async def test_a_caller_has_one_limit_over_all_replicas(
    few: Settings, start: Start, empty_redis: str
) -> None:
    used = on(few, empty_redis)
    one, two = await start(used), await start(used)
    assert [await r.ask() for r in (one, two, one, two)] == [200] * 4
    for replica in (one, two, one):
        refused = await replica.client.get(COUNTED)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60


@pytest.mark.services
async def test_as_many_as_are_taken_at_once_are_taken_over_all_replicas(
    few: Settings, start: Start, empty_redis: str
) -> None:
    used = on(few, empty_redis)
    one, two = await start(used), await start(used)
    async with one.app.state.counts.place("requests", 1) as is_free:
        assert is_free
        busy = await two.client.get(COUNTED)
        assert (busy.status_code, busy.json()["code"]) == (503, "service_busy")
    assert await two.ask() == 200
    at_once = await asyncio.gather(one.ask(), two.ask())
    assert 200 in at_once and set(at_once) <= {200, 503}


@pytest.mark.services
async def test_what_is_asked_again_since_its_answer_was_late_counts_once(empty_redis: str) -> None:
    async with open_shared_counts(empty_redis) as counts:
        for again in range(2):
            assert await counts._taken("sockets", 1, "late"), again
        assert not await counts._taken("sockets", 1, "other")
        await counts._given_back("sockets", "late")
        assert await counts._taken("sockets", 1, "other")

        place = f"{shared_counts.PREFIX}:asked:requests:somebody"
        waits = [
            await counts._ask(keys=[place], args=[name, 2, 60_000])
            for name in ("first", "late", "late", "other", "late")
        ]
        assert waits[:3] == [0, 0, 0] and waits[3] > 0 and waits[4] == 0
        assert await counts._client.zcard(place) == 2


@pytest.mark.slow
@pytest.mark.services
async def test_places_of_a_process_that_died_are_free_again_and_those_of_one_that_lives_are_not(
    empty_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_counts, "LEASE_S", 5)
    monkeypatch.setattr(shared_counts, "RENEW_S", 0.2)
    async with open_shared_counts(empty_redis) as dies:
        # Taken, and neither renewed nor given back.
        assert await dies._taken("sockets", 1, "of the dead")
    async with open_shared_counts(empty_redis) as lives, open_shared_counts(empty_redis) as other:
        async with asyncio.timeout(60):
            while not await other._taken("sockets", 1, "probe"):
                await asyncio.sleep(0.1)
        await other._given_back("sockets", "probe")
        async with lives.place("sockets", 1) as is_free:
            assert is_free
            await asyncio.sleep(7)
            async with other.place("sockets", 1) as is_free:
                assert not is_free


@pytest.mark.slow
@pytest.mark.services
async def test_while_redis_is_away_each_process_counts_and_log_and_health_say_so(
    few: Settings,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, LOG)
    monkeypatch.setattr(shared_counts, "AWAY_S", 0.2)
    monkeypatch.setattr(shared_counts, "TIMEOUT_S", PATIENT_S)
    redis_url()  # skipped where there is no Redis to be had
    server = Server(tmp_path / "redis.env")
    port = server.port
    try:
        used = on(few, server.url)
        one, two = await start(used), await start(used)
        assert (await one.client.get("/health/ready")).json()["status"] == "ready"
        assert [await one.ask(), await two.ask()] == [200, 200]
        server.down()
        assert [await one.ask() for _ in range(5)] == [200] * 4 + [429]
        assert [await two.ask() for _ in range(5)] == [200] * 4 + [429]
        said = [r.getMessage() for r in caplog.records if r.name == LOG]
        assert len(said) == 2, "once per process"
        assert all("counted per process" in sentence for sentence in said)
        await asyncio.sleep(2.1)
        ready = await one.client.get("/health/ready")
        redis = next(d for d in ready.json()["dependencies"] if d["name"] == "redis")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert (redis["ok"], redis["needed"]) == (False, False)
        server.up(port)
        async with asyncio.timeout(60):
            # Of its own minute: Redis kept nothing, and each has counted its own calls.
            while not any("Redis is back" in r.getMessage() for r in caplog.records):
                await one.ask()
                await asyncio.sleep(0.1)
    finally:
        server.down()


async def test_an_address_that_is_no_redis_is_told_without_its_password() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL cannot be used") as caught:
        async with open_shared_counts("redis://:hidden/x@host"):
            pass
    assert "hidden" not in str(caught.value) and caught.value.__cause__ is None

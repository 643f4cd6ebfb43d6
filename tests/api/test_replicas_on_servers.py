"""Two servers on one PostgreSQL and one Redis: what one accepts, the other shows, stops and goes on with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from kills.processes import Api
from kills.watcher import Watcher
from services.postgres_state import fresh_database
from services.redis_state import redis_url

from mmm_workflows.config import Settings

pytestmark = [pytest.mark.services, pytest.mark.slow]
DATA = Path(__file__).parents[2] / "data"
QUERY = {"query": "Build MMM for beverage brand"}
RUNS = 10
WITHIN_S = 600


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Api, Api]]:
    """Two that work on runs themselves, one at a time, over a database of their own."""
    known = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in known}
    with asyncio.Runner() as loop:
        database = fresh_database()
        environment = {
            **kept,
            "DATABASE_URL": loop.run(database.__aenter__()),
            "REDIS_URL": redis_url(),
            "MMM_HOME": str(tmp_path / "home"),
            "MMM_CACHE": str(DATA.parent / ".cache"),
            "DATA_DIRS": str(DATA),
            "DRAIN_S": "1",
        }
        both = [Api(environment, tmp_path / f"{name}.log", workers=1) for name in ("one", "two")]
        try:
            for api in both:
                api.start()
            for api in both:
                api.until_open()
            yield both[0], both[1]
        finally:
            for api in both:
                api.stop()
            loop.run(database.__aexit__(None, None, None))
    for api in both:
        assert "Traceback" not in api.said()


def get(api: Api, path: str) -> dict:
    shown: dict = httpx.get(f"http://{api.address}{path}", timeout=60).json()
    return shown


def post(api: Api, path: str, **body: object) -> httpx.Response:
    return httpx.post(f"http://{api.address}{path}", json=body or None, timeout=60)


def until(api: Api, name: str, *statuses: str) -> dict:
    deadline = time.monotonic() + WITHIN_S
    while (run := get(api, f"/workflow/{name}"))["status"] not in statuses:
        assert time.monotonic() < deadline, f"{name} is still {run['status']}"
        time.sleep(0.1)
    return run


def test_what_one_replica_accepts_is_watched_answered_and_cancelled_at_the_other(
    replicas: tuple[Api, Api],
) -> None:
    one, two = replicas
    assert post(one, "/research/start", **QUERY, workflow_id="asked", review=True).is_success
    watcher = Watcher(two.address, "asked")
    until(two, "asked", "waiting")
    assert post(two, "/workflow/asked/decide", answer="yes").status_code == 202
    again = post(one, "/workflow/asked/decide", answer="yes")
    assert again.status_code in (202, 409)
    until(one, "asked", "succeeded")
    log = get(one, "/workflow/asked/events")["events"]
    watcher.until(len(log))
    assert [seq for seq, _ in watcher.seen] == list(range(1, len(log) + 1))
    assert Counter(e["message"] for e in log)["succeeded"] == 1

    # Both have one place: while it is taken, what is accepted waits, and can be cancelled there.
    assert post(one, "/pipeline/start", **whole("held")).is_success
    until(two, "held", "running")
    assert post(two, "/workflow/held/cancel").status_code == 202
    assert until(one, "held", "cancelled")["result"] is None
    with httpx.stream(
        "GET", f"http://{one.address}/workflow/held/events",
        headers={"accept": "text/event-stream"}, timeout=60,
    ) as told:  # fmt: skip
        lines = [line for line in told.iter_lines() if line.startswith("data: ")]
    statuses = [json.loads(line.removeprefix("data: "))["status"] for line in lines]
    assert statuses[-1] == "cancelled" and statuses.count("cancelled") == 1


def test_replicas_share_the_runs_and_the_death_of_one_loses_none(
    replicas: tuple[Api, Api],
) -> None:
    one, two = replicas
    watchers: dict[str, Watcher] = {}

    def begin() -> None:
        name = f"run{len(watchers)}"
        body = {key: value for key, value in whole(name).items() if key in EDA}
        assert post(replicas[len(watchers) % 2], "/eda/start", **body).is_success
        watchers[name] = Watcher(two.address, name)

    for _ in range(RUNS):
        begin()
    until_both_work(one, begin)
    one.kill()
    for name in watchers:
        until(two, name, "succeeded")
    for name, watcher in watchers.items():
        log = get(two, f"/workflow/{name}/events")["events"]
        assert [e["seq"] for e in log] == list(range(1, len(log) + 1))
        assert Counter(e["status"] for e in log)["succeeded"] == 1
        watcher.until(len(log))
        assert watcher.seen == [(e["seq"], e["message"]) for e in log]
    assert two.is_up
    two.signal(signal.SIGTERM)
    two.wait()


def until_both_work(api: Api, begin: Callable[[], None]) -> None:
    """Wait until two processes hold a run each at one moment; begin another where all are over."""
    work = (
        "SELECT count(DISTINCT holder) FILTER (WHERE claim IS NOT NULL), "
        "count(*) FILTER (WHERE status IN ('queued', 'running')) FROM runs"
    )
    deadline = time.monotonic() + WITHIN_S
    with psycopg.connect(api.environment["DATABASE_URL"], autocommit=True) as connection:
        while (found := connection.execute(work).fetchone()) and found[0] < 2:
            assert time.monotonic() < deadline, "the runs were not shared"
            if found[1] == 0:
                begin()
            time.sleep(0.01)


EDA = ("workflow_id", "data_sources", "target_variable", "media_channels")


def whole(name: str) -> dict[str, object]:
    """A start of all four workflows on the shipped data."""
    return {
        **QUERY,
        "workflow_id": name,
        "user_query": "What if we increase TV spend by 20%?",
        "data_sources": [str(DATA / "sales.csv")],
        "target_variable": "Sales",
        "media_channels": ["TV_Spend", "Digital_Spend"],
        "depth": "quick",
    }

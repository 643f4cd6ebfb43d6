"""Workers that die, hang or are told to stop: every queued run ends by itself, and once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from services.postgres_state import fresh_database

from mmm_workflows.config import Settings
from mmm_workflows.records import Event, RunStatus
from mmm_workflows.workflows.contracts import EdaRequest, PipelineRequest

from .workers import (
    NEEDS_PROC,
    REPOSITORY,
    a_worker,
    ask,
    events,
    fit_processes,
    is_sampling,
    niceness,
    queued,
    record,
    stop,
    stop_between_writes,
    until,
)

pytestmark = NEEDS_PROC
DATA = {
    "data_sources": (str(REPOSITORY / "data" / "sales.csv"),),
    "target_variable": "Sales",
    "media_channels": ("TV_Spend", "Digital_Spend"),
}
WHOLE = PipelineRequest(
    query="Build MMM for CPG brand", user_query="What if we increase TV spend by 20%?", **DATA
)
PARTS = ("research", "eda", "modeling", "whatif")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that workers have too, on SQLite, with a lease that no stall here outlives."""
    monkeypatch.setenv("LEASE_S", "60")
    monkeypatch.setenv("DRAIN_S", "0.5")
    return Settings(_env_file=None)


@pytest.fixture
def with_short_lease(here: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same, with a lease that is over while a worker is stopped."""
    monkeypatch.setenv("LEASE_S", "8")
    return Settings(_env_file=None)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def either(
    request: pytest.FixtureRequest, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """The same, on each database."""
    if request.param == "sqlite":
        yield here
        return
    with asyncio.Runner() as loop:
        database = fresh_database()
        monkeypatch.setenv("DATABASE_URL", loop.run(database.__aenter__()))
        try:
            yield Settings(_env_file=None)
        finally:
            loop.run(database.__aexit__(None, None, None))


def logs(settings: Settings, name: str) -> dict[str, list[Event]]:
    """The events of a pipeline and of its parts."""
    return {one: events(settings, one) for one in (name, *(f"{name}.{part}" for part in PARTS))}


def ended(settings: Settings, name: str) -> RunStatus | None:
    status = record(settings, name).status
    return status if status.is_final else None


@pytest.mark.slow
def test_the_run_of_a_worker_killed_in_mid_fit_is_ended_once_by_another(either: Settings) -> None:
    queued(either, "pipeline", WHOLE, "k")
    with a_worker("--at-once", "1") as first:
        until(lambda: is_sampling(either, "k.modeling"))
        (fit,) = fit_processes(either.models)
        assert (niceness(fit), niceness(first.pid)) == (10, 10)
        with a_worker() as second:
            first.kill()
            first.wait()
            before = logs(either, "k")
            until(lambda: ended(either, "k") is not None)
            assert ended(either, "k") is RunStatus.SUCCEEDED, record(either, "k").error
            stop(second)
    assert fit_processes(either.models) == []
    after = logs(either, "k")
    for name, log in after.items():
        assert [e.seq for e in log] == list(range(1, len(log) + 1)), name
        assert log[: len(before[name])] == before[name], "an event was lost"
        statuses = Counter(e.status for e in log)
        assert statuses[RunStatus.SUCCEEDED] == 1, name
        assert log[-1].status is RunStatus.SUCCEEDED, name
    for part in ("research", "eda"):
        assert after[f"k.{part}"] == before[f"k.{part}"], f"{part} was repeated"


@pytest.mark.slow
def test_a_worker_stopped_past_its_lease_writes_nothing_when_it_wakes(
    with_short_lease: Settings,
) -> None:
    here = with_short_lease
    queued(here, "pipeline", WHOLE, "k")
    with a_worker("--at-once", "1") as first:
        until(lambda: is_sampling(here, "k.modeling"))
        stop_between_writes(first, here.home / "runs.db")
        with a_worker() as second:
            until(lambda: ended(here, "k") is not None)
            stop(second)
        assert ended(here, "k") is RunStatus.SUCCEEDED, record(here, "k").error
        done, run = logs(here, "k"), record(here, "k")
        first.send_signal(signal.SIGCONT)
        queued(here, "eda", EdaRequest(**DATA), "after")
        until(lambda: ended(here, "after") is RunStatus.SUCCEEDED)
        until(lambda: fit_processes(here.models) == [], within_s=60)
        assert "run_lost" in stop(first)
    assert logs(here, "k") == done
    assert record(here, "k") == run
    for name, log in done.items():
        assert [e.seq for e in log] == list(range(1, len(log) + 1)), name
        assert Counter(e.status for e in log)[RunStatus.SUCCEEDED] == 1, name


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_puts_its_run_back_and_another_goes_on(
    here: Settings,
) -> None:
    queued(here, "pipeline", WHOLE, "k")
    with a_worker() as first:
        until(lambda: is_sampling(here, "k.modeling"))
        assert stop(first) == ""
    assert fit_processes(here.models) == []
    assert record(here, "k").status is RunStatus.QUEUED
    log = logs(here, "k")
    for name in ("k", "k.modeling"):
        assert log[name][-1].message.startswith("put back")
    with a_worker() as second:
        until(lambda: fit_processes(here.models) != [])
        asked = time.monotonic()
        ask(here, lambda runner: runner.cancel("k"))
        until(lambda: ended(here, "k") is not None, within_s=120)
        print(f"cancelled from another process in {time.monotonic() - asked:.1f} s")
        assert ended(here, "k") is RunStatus.CANCELLED
        assert fit_processes(here.models) == []
        assert stop(second) == ""
    assert logs(here, "k")["k.eda"] == log["k.eda"], "what was done is not done again"


@pytest.mark.slow
def test_two_workers_execute_each_of_twenty_runs_once(either: Settings) -> None:
    names = [f"run{n}" for n in range(20)]
    queued(either, "eda", EdaRequest(**DATA), *names)
    with a_worker() as first, a_worker() as second:
        until(lambda: all(ended(either, name) is not None for name in names))
        stop(first), stop(second)
    for name in names:
        log = events(either, name)
        assert [e.seq for e in log] == list(range(1, len(log) + 1))
        told = Counter(e.message for e in log)
        assert told["eda started"] == told["succeeded"] == 1, told
        assert len({e.message for e in log}) == len(log), "a step ran twice"

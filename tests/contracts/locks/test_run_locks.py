"""What every kind of run lock must do: one live executor per run, on files and on PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import psycopg
import pytest
from services.postgres_state import END_ALL, for_asyncpg, fresh_database, tell

from mmm_workflows.db.engine import open_database
from mmm_workflows.db.locks import RunLocks
from mmm_workflows.db.postgres_locks import PostgresRunLocks
from mmm_workflows.errors import RunError, ServiceUnavailable


class Locks(Protocol):
    def acquire(self, workflow_id: str) -> AbstractAsyncContextManager[None]: ...


class Place(NamedTuple):
    """Where locks are kept, and what opens them there as another process would."""

    open: Callable[[], AbstractAsyncContextManager[Locks]]
    argument: str


HOLD = """
import asyncio, pathlib, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.locks import RunLocks
from mmm_workflows.db.postgres_locks import PostgresRunLocks

async def hold():
    where = sys.argv[1]
    if where.startswith("postgresql"):
        locks = PostgresRunLocks(await open_database(where))
    else:
        locks = RunLocks(pathlib.Path(where))
    async with locks.acquire("run"):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


class Opened(AsyncExitStack):
    """Locks of PostgreSQL for the length of a block."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    async def __aenter__(self) -> PostgresRunLocks:  # type: ignore[override]
        engine = await open_database(self._url)
        self.push_async_callback(engine.dispose)
        locks = PostgresRunLocks(engine)
        self.push_async_callback(locks.aclose)
        return locks


class OnFiles(AsyncExitStack):
    """Locks on files for the length of a block."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def __aenter__(self) -> RunLocks:  # type: ignore[override]
        return RunLocks(self._folder)


@pytest.fixture(params=["files", pytest.param("postgres", marks=pytest.mark.services)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "files":
        yield Place(lambda: OnFiles(tmp_path), str(tmp_path))
        return
    async with fresh_database() as url:
        yield Place(lambda: Opened(for_asyncpg(url)), for_asyncpg(url))


async def refused(locks: Locks, workflow_id: str = "run") -> str:
    with pytest.raises(RunError) as caught:
        async with locks.acquire(workflow_id):
            pytest.fail("it was held twice")
    assert caught.value.code == "run_busy"
    return caught.value.message


async def is_free_soon(locks: Locks) -> None:
    """The server needs a moment to see that a session is over."""
    for _ in range(100):
        try:
            async with locks.acquire("run"):
                return
        except RunError:
            await asyncio.sleep(0.05)
    pytest.fail("the run is still held")


async def test_a_second_caller_is_refused_here_and_from_elsewhere(place: Place) -> None:
    async with place.open() as here, place.open() as elsewhere:
        async with here.acquire("run"):
            assert "watch run" in await refused(here)
            assert "process" in await refused(elsewhere)
            async with here.acquire("RUN"), elsewhere.acquire("../run"):
                await refused(elsewhere, "RUN")
        async with elsewhere.acquire("run"):
            await refused(here)


async def test_a_lock_is_free_after_the_block_also_when_it_raises(place: Place) -> None:
    async with place.open() as here, place.open() as elsewhere:
        for _ in range(3):
            with pytest.raises(KeyError):
                async with here.acquire("run"):
                    raise KeyError
            async with elsewhere.acquire("run"):
                pass


async def test_a_holder_that_is_cancelled_leaves_the_run_free(place: Place) -> None:
    async with place.open() as here, place.open() as elsewhere:
        for pause in (0.0, 0.001, 0.002, 0.005, 0.05):

            async def hold() -> None:
                async with here.acquire("run"):
                    await asyncio.sleep(60)

            task = asyncio.create_task(hold())
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with elsewhere.acquire("run"):
                pass


async def test_of_many_at_once_one_holds(place: Place) -> None:
    async with place.open() as here, place.open() as elsewhere:
        held: list[int] = []

        async def hold(number: int) -> None:
            async with (here if number % 2 else elsewhere).acquire("run"):
                held.append(number)
                await asyncio.sleep(0.3)

        ends = await asyncio.gather(*(hold(n) for n in range(10)), return_exceptions=True)
    assert len(held) == 1
    assert sum(isinstance(end, RunError) for end in ends) == 9


async def test_the_death_of_the_process_frees_its_run(place: Place) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, place.argument], stdout=subprocess.PIPE)
    async with place.open() as locks:
        try:
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == b"held\n"
            assert f"process {child.pid}" in await refused(locks)
        finally:
            child.kill()
            await asyncio.to_thread(child.communicate)
        await is_free_soon(locks)


@pytest.mark.services
async def test_locks_of_an_ended_session_are_held_again_by_the_same_caller() -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database())
        here, elsewhere = [
            await stack.enter_async_context(Opened(for_asyncpg(url))) for _ in range(2)
        ]
        async with here.acquire("run"), here.acquire("other"):
            await tell(url, END_ALL)
            await asyncio.sleep(1.0)
            await refused(elsewhere)
            await refused(elsewhere, "other")
        async with elsewhere.acquire("run"), elsewhere.acquire("other"):
            pass


HELD = """
SELECT (classid::bigint << 32) | objid::bigint, l.pid FROM pg_locks l JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND datname = current_database()
"""


@pytest.mark.services
async def test_a_holder_whose_lock_went_to_another_is_stopped_with_a_clear_error() -> None:
    async with fresh_database() as url, Opened(for_asyncpg(url)) as here:
        reached: list[str] = []

        async def work() -> None:
            async with here.acquire("run"):
                reached.append("held")
                await asyncio.sleep(30)
                reached.append("end")

        working = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        ((key, pid),) = await tell(url, HELD)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            # It waits in the server, which hands the lock over as soon as the session is gone.
            waiting = asyncio.create_task(other.execute("SELECT pg_advisory_lock(%s)", (key,)))
            await asyncio.sleep(0.2)
            await tell(url, f"SELECT pg_terminate_backend({pid})")
            with pytest.raises(ServiceUnavailable, match=r"run was lost.*resume run"):
                await asyncio.wait_for(working, 10)
            await waiting
        assert reached == ["held"]
        assert working.cancelling() == 0
        await is_free_soon(here)

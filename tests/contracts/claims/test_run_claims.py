"""What a claim on a run promises: one executor at a time, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from services.postgres_state import for_asyncpg, fresh_database
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.claims import Claim, Claims
from mmm_workflows.db.engine import begin, open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.db.tables import RUNS
from mmm_workflows.errors import RunBusy, RunError, RunLost, ServiceUnavailable
from mmm_workflows.records import SCHEMA_VERSION, Artifact, Decision, Run, RunStatus

LONG_S = 60.0
SHORT_S = 1.0
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

# Holds the run, says so, and writes an event for each line that it is told; told to stop, it does so
# between two renewals: in the middle of one it would keep the lock of the database.
HOLD = """
import asyncio, os, signal, sys
from mmm_workflows.db.claims import Claims
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunLost
from mmm_workflows.records import RunStatus

async def hold(url, lease_s):
    engine = await open_database(url)
    quiet, renew = asyncio.Lock(), Claims._renew

    async def renew_aloud(claims, claim):
        async with quiet:
            return await renew(claims, claim)

    Claims._renew = renew_aloud
    try:
        async with Claims(engine, lease_s=lease_s).hold("run") as claim:
            runs = RunStore(engine).under(claim.token)
            print("held", flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                if line == "stop\\n":
                    async with quiet:
                        os.kill(os.getpid(), signal.SIGSTOP)
                    continue
                await runs.append_event(
                    "run", status=RunStatus.RUNNING, step=None, progress=0, message="by the child"
                )
                print("written", flush=True)
    except RunLost as error:
        print(error.code, flush=True)
    await engine.dispose()

asyncio.run(hold(sys.argv[1], float(sys.argv[2])))
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}"
        if request.param == "postgres":
            url = for_asyncpg(await stack.enter_async_context(fresh_database()))
        opened = await open_database(url)
        stack.push_async_callback(opened.dispose)
        await migrate(opened)
        yield opened


async def a_run(engine: AsyncEngine, name: str = "run", *, queued: bool = True) -> None:
    run = Run(workflow_id=name, workflow="eda", seed=1, graph_version="1", request={})
    await RunStore(engine).create(run)
    if queued:
        await Claims(engine, lease_s=LONG_S).enqueue(name)


async def say(engine: AsyncEngine, claim: Claim, status: RunStatus = RunStatus.RUNNING) -> None:
    await RunStore(engine).under(claim.token).append_event(
        claim.workflow_id, status=status, step=None, progress=0, message=claim.token
    )


async def is_over(engine: AsyncEngine) -> bool:
    """Whether the lease on the run has run out, by the clock of its database."""
    async with begin(engine) as connection:
        query = select(Claims(engine, lease_s=LONG_S)._is_past())
        return bool((await connection.execute(query)).scalar())


def elsewhere(engine: AsyncEngine, *, lease_s: float = LONG_S) -> Claims:
    """The claims as another machine sees them."""
    claims = Claims(engine, lease_s=lease_s)
    claims._holder = replace(claims._holder, machine="another", host="far")
    return claims


@contextmanager
def holding(engine: AsyncEngine, lease_s: float) -> Iterator[subprocess.Popen[str]]:
    """A process that is about to hold the run."""
    url = engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url, str(lease_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        try:
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
            child.kill()


async def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return (await asyncio.to_thread(child.stdout.readline)).strip()


def tell(child: subprocess.Popen[str], what: str = "write") -> None:
    assert child.stdin is not None
    child.stdin.write(f"{what}\n")
    child.stdin.flush()


async def leases(engine: AsyncEngine) -> list[datetime]:
    """Until when each run is held."""
    async with begin(engine) as connection:
        query = select(RUNS.c.lease_until).order_by(RUNS.c.workflow_id)
        return list((await connection.execute(query)).scalars())


async def test_a_second_holder_is_refused_here_and_elsewhere(engine: AsyncEngine) -> None:
    await a_run(engine)
    await a_run(engine, "other")
    here, there = Claims(engine, lease_s=LONG_S), elsewhere(engine)
    async with here.hold("run"):
        for claims in (here, there):
            with pytest.raises(RunBusy, match=f"process {os.getpid()} on .*watch run"):
                async with claims.hold("run"):
                    pytest.fail("it was held twice")
        async with there.hold("other"):
            pass
    async with there.hold("run"):
        pass


async def test_a_claim_is_given_back_at_the_end_also_when_the_block_raises_or_is_cancelled(
    engine: AsyncEngine,
) -> None:
    await a_run(engine)
    here, there = Claims(engine, lease_s=LONG_S), elsewhere(engine)
    with pytest.raises(KeyError):
        async with here.hold("run"):
            raise KeyError
    for pause in (0.0, 0.001, 0.002, 0.005, 0.05):

        async def hold() -> None:
            async with here.hold("run"):
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with there.hold("run"):
            pass


async def test_of_many_that_take_at_once_each_run_has_one(engine: AsyncEngine) -> None:
    names = [f"run{n}" for n in range(8)]
    for name in names:
        await a_run(engine, name)
    takers = [Claims(engine, lease_s=LONG_S) if n % 2 else elsewhere(engine) for n in range(4)]

    async def take_all(claims: Claims) -> list[str]:
        taken = []
        while (claim := await claims.take_next()) is not None:
            taken.append(claim.workflow_id)
        return taken

    taken = await asyncio.gather(*(take_all(claims) for claims in takers))
    found = sorted(name for part in taken for name in part)
    # A taker that found another's row locked may have stopped before the last was taken.
    found += await take_all(takers[0])
    assert sorted(found) == names


async def test_the_oldest_comes_first_and_only_what_was_queued(engine: AsyncEngine) -> None:
    for name in ("c", "a", "b"):
        await a_run(engine, name)
    await a_run(engine, "mine", queued=False)
    claims = Claims(engine, lease_s=LONG_S)
    assert await taken(claims) == ["c", "a", "b", None]


async def taken(claims: Claims, times: int = 4) -> list[str | None]:
    found = [await claims.take_next() for _ in range(times)]
    return [None if claim is None else claim.workflow_id for claim in found]


@pytest.mark.parametrize(
    "status", [s for s in RunStatus if s not in (RunStatus.QUEUED, RunStatus.RUNNING)]
)
async def test_a_run_that_waits_or_has_ended_is_not_taken(
    engine: AsyncEngine, status: RunStatus
) -> None:
    await a_run(engine)
    await RunStore(engine).update("run", status=status)
    assert await Claims(engine, lease_s=LONG_S).take_next() is None


async def test_a_run_is_queued_once_and_not_while_it_is_held(engine: AsyncEngine) -> None:
    await a_run(engine)
    claims = Claims(engine, lease_s=LONG_S)
    with pytest.raises(RunBusy, match="next worker"):
        await claims.enqueue("run")
    claim = await claims.take_next()
    assert claim is not None
    await say(engine, claim)
    with pytest.raises(RunBusy):
        await claims.enqueue("run")


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.RUNNING])
async def test_a_run_is_free_in_the_moment_that_its_end_is_told(
    engine: AsyncEngine, status: RunStatus
) -> None:
    await a_run(engine)
    claims = Claims(engine, lease_s=0.3)
    claim = await claims.take_next()
    assert claim is not None
    async with claims.keep(claim):
        await say(engine, claim, status)
        claim.is_over = True
        async with elsewhere(engine).hold("run"):
            with pytest.raises(RunLost):
                await say(engine, claim)
            await asyncio.sleep(0.5)
    assert not claim.is_lost, "what was given back was not taken away"


@NEEDS_PROC
async def test_the_run_of_a_killed_process_of_this_machine_is_free_at_once(
    engine: AsyncEngine,
) -> None:
    await a_run(engine)
    here, there = Claims(engine, lease_s=LONG_S), elsewhere(engine)
    with holding(engine, LONG_S) as child:
        assert await heard(child) == "held"
        assert await here.take_next() is None
        with pytest.raises(RunBusy, match=f"process {child.pid}"):
            async with here.hold("run"):
                pytest.fail("it was held twice")
        child.kill()
        # Not yet waited for: a process that is dead and not buried does not work.
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0.01)
        assert await there.take_next() is None
        async with here.hold("run"):
            pass
    assert await taken(here, 1) == ["run"]


async def test_a_stopped_process_loses_its_run_and_writes_nothing_when_it_wakes(
    engine: AsyncEngine,
) -> None:
    await a_run(engine)
    claims = Claims(engine, lease_s=SHORT_S)
    with holding(engine, SHORT_S) as child:
        assert await heard(child) == "held"
        tell(child)
        assert await heard(child) == "written"
        [first] = await leases(engine)
        async with asyncio.timeout(60):
            # It is renewed as long as its holder lives.
            while (await leases(engine))[0] - first < timedelta(seconds=2 * SHORT_S):
                await asyncio.sleep(0.05)
        tell(child, "stop")
        _, status = await asyncio.to_thread(os.waitpid, child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        claim = await until_taken(claims)
        await say(engine, claim)
        tell(child)
        child.send_signal(signal.SIGCONT)
        assert await heard(child) == "run_lost"
    events = await RunStore(engine).events("run")
    assert [e.message for e in events] == ["by the child", claim.token]
    assert claim.attempts == 1


async def until_taken(claims: Claims) -> Claim:
    async with asyncio.timeout(60):
        while (claim := await claims.take_next()) is None:
            await asyncio.sleep(0.05)
        return claim


async def test_a_holder_whose_claim_went_to_another_is_stopped(engine: AsyncEngine) -> None:
    await a_run(engine)
    reached: list[str] = []

    async def work() -> None:
        async with Claims(engine, lease_s=0.5).hold("run"):
            reached.append("held")
            await asyncio.sleep(30)
            reached.append("end")

    working = asyncio.create_task(work())
    while not reached:
        await asyncio.sleep(0.01)
    async with begin(engine) as connection:
        await connection.execute(update(RUNS).values(claim="another", holder="far/1/1/far"))
    with pytest.raises(RunLost, match="taken over"):
        await asyncio.wait_for(working, 10)
    assert reached == ["held"]
    assert working.cancelling() == 0
    async with begin(engine) as connection:
        row = (await connection.execute(RUNS.select())).one()
    assert row.claim == "another", "what is another's is not given back"


async def test_every_write_of_a_lost_claim_is_refused(engine: AsyncEngine) -> None:
    await a_run(engine)
    stale = await elsewhere(engine, lease_s=0.0).take_next()
    fresh = await Claims(engine, lease_s=LONG_S).take_next()
    assert stale is not None
    assert fresh is not None
    runs = RunStore(engine).under(stale.token)
    artifact = Artifact(
        artifact_id="a", kind="k", path="/p", sha256="0" * 64, size_bytes=1, workflow_id="run"
    )
    for write in (
        runs.update("run", result={"status": "succeeded"}),
        runs.append_event("run", status=RunStatus.FAILED, step="s", progress=1, message="m"),
        runs.add_decisions("run", [Decision(question="q", options=(), choice="x", reason="y")]),
        runs.register_artifact(artifact),
        runs.delete("run"),
        Claims(engine, lease_s=LONG_S).note_answer(stale, "run", "yes", on_queue=True),
    ):
        with pytest.raises(RunLost) as caught:
            await write
        assert caught.value.code == "run_lost"
    assert (await runs.get("run")).result is None
    assert await runs.events("run") == []
    assert await runs.decisions("run") == []
    assert await runs.artifacts("run") == []
    await say(engine, fresh)
    with pytest.raises(RunError) as unknown:
        await RunStore(engine).append_event(
            "nobody", status=RunStatus.FAILED, step=None, progress=0, message="m"
        )
    assert unknown.value.code == "run_not_found"


async def test_a_part_of_a_run_is_held_as_long_as_the_whole_and_lost_with_it(
    engine: AsyncEngine,
) -> None:
    # A person may have queued a part by itself, before it became one again.
    for name in ("run", "run.part"):
        await a_run(engine, name)
    first, second = elsewhere(engine, lease_s=LONG_S), Claims(engine, lease_s=LONG_S)
    stale = await first.take_next()
    assert stale is not None
    part = first.hold("run.part", under=stale)
    await part.__aenter__()
    for name in ("run", "run.part"):
        with pytest.raises(RunBusy):
            await second.hold(name).__aenter__()
    of_whole, of_part = await leases(engine)
    assert of_whole == of_part
    async with begin(engine) as connection:
        await connection.execute(update(RUNS).values(lease_until=of_whole - timedelta(hours=1)))
    claim = await second.take_next()
    assert claim is not None
    async with second.hold("run.part", under=claim) as same:
        assert same is claim
        with pytest.raises(RunLost):
            await first.hold("run.part", under=stale).__aenter__()
        await part.__aexit__(None, None, None)
        with pytest.raises(RunBusy):
            await first.hold("run.part").__aenter__()
    assert await taken(second, 1) == [None], "a part is not taken by itself"


async def test_attempts_count_within_one_step_and_begin_again_after_it(
    engine: AsyncEngine,
) -> None:
    await a_run(engine)
    claims = elsewhere(engine, lease_s=0.0)
    counted = []
    for step in ("one", "one", "one", "two", "two"):
        claim = await claims.take_next()
        assert claim is not None
        counted.append(claim.attempts)
        await RunStore(engine).under(claim.token).append_event(
            "run", status=RunStatus.RUNNING, step=step, progress=0, message="m"
        )
    assert counted == [1, 2, 3, 4, 2]


async def test_an_answer_outlives_its_process_and_is_for_one_question(engine: AsyncEngine) -> None:
    await a_run(engine)
    claims, runs = Claims(engine, lease_s=LONG_S), RunStore(engine)
    await runs.update("run", status=RunStatus.WAITING, asked="q1")
    async with claims.hold("run") as claim:
        await claims.note_answer(claim, "run", "yes", on_queue=True)
    assert await claims.answer("run") == ("yes", "q1")
    assert await taken(claims, 2) == ["run", None]
    await runs.update("run", asked="q2", answer=None)
    assert await claims.answer("run") is None


async def test_a_claim_whose_renewal_met_a_fault_of_ours_is_renewed_at_the_next_beat(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await a_run(engine)
    claims, renew, beats = Claims(engine, lease_s=6.0), Claims._renew, asyncio.Semaphore(0)
    faults = iter([KeyError("a fault of ours")])

    async def broken_at_first(claims: Claims, claim: Claim) -> bool:
        if (fault := next(faults, None)) is not None:
            raise fault
        is_held = await renew(claims, claim)
        beats.release()
        return is_held

    monkeypatch.setattr(Claims, "_renew", broken_at_first)
    async with claims.hold("run") as claim:
        async with asyncio.timeout(60):
            await beats.acquire()
        assert not claim.is_lost
        assert await elsewhere(engine).take_next() is None
    assert "its claim was not renewed" in caplog.text


async def test_a_run_of_a_newer_version_is_left_to_those_who_can_read_it(
    engine: AsyncEngine,
) -> None:
    await a_run(engine, "newer")
    await a_run(engine, "ours")
    newer = update(RUNS).where(RUNS.c.workflow_id == "newer")
    async with begin(engine) as connection:
        await connection.execute(newer.values(schema_version=SCHEMA_VERSION + 1))
    claims = Claims(engine, lease_s=LONG_S)
    claim = await claims.take_next()
    assert claim is not None and claim.workflow_id == "ours"
    assert await claims.take_next() is None


async def test_a_run_that_is_to_be_cancelled_and_was_left_is_taken_also_off_the_queue(
    engine: AsyncEngine,
) -> None:
    await a_run(engine, queued=False)
    far = elsewhere(engine, lease_s=SHORT_S)
    gone = Claim("run")
    await far._take(gone, "run", afresh=True)
    await say(engine, gone)
    here = Claims(engine, lease_s=LONG_S)
    async with asyncio.timeout(30):
        while not await is_over(engine):
            await asyncio.sleep(0.05)
    assert await here.take_next() is None, "nobody left it to workers"
    await RunStore(engine).request_cancel("run")
    claim = await here.take_next()
    assert claim is not None and claim.workflow_id == "run"
    await say(engine, claim, RunStatus.CANCELLED)
    assert await here.take_next() is None


async def test_no_connection_that_becomes_free_is_an_outage_and_not_a_fault_of_ours(
    engine: AsyncEngine,
) -> None:
    pool = engine.sync_engine.pool
    pool._timeout = 0.1
    async with AsyncExitStack() as stack:
        for _ in range(pool.size() + max(0, pool._max_overflow)):
            await stack.enter_async_context(engine.connect())
        with pytest.raises(ServiceUnavailable, match="connections to it became free in time"):
            await Claims(engine, lease_s=LONG_S).take_next()
    assert await Claims(engine, lease_s=LONG_S).take_next() is None

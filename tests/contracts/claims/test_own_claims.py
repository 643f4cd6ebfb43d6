"""What a process holds stays its own over an outage that is longer than the lease."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.claims import Claim, Claims
from mmm_workflows.db.engine import begin, open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.db.tables import RUNS
from mmm_workflows.errors import RunBusy, ServiceUnavailable
from mmm_workflows.records import Run

LEASE_S = 3.0


async def test_a_process_does_not_take_over_what_it_works_on_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    run = Run(workflow_id="run", workflow="eda", seed=1, graph_version="1", request={})
    await RunStore(engine).create(run)
    claims, others = (Claims(engine, lease_s=LEASE_S) for _ in range(2))
    await claims.enqueue("run")
    is_away, looked, renew = True, asyncio.Event(), Claims._renew

    async def cut(at: Claims, claim: Claim) -> bool:
        looked.set()
        if is_away:
            raise ServiceUnavailable("the database is away")
        return await renew(at, claim)

    monkeypatch.setattr(Claims, "_renew", cut)
    claim = await claims.take_next()
    assert claim is not None
    async with claims.keep(claim):
        long_ago = datetime(2000, 1, 1, tzinfo=UTC)
        async with begin(engine) as connection:
            await connection.execute(update(RUNS).values(lease_until=long_ago))
        await looked.wait()
        assert await others.take_next() is None
        with pytest.raises(RunBusy):
            await others.enqueue("run")
        is_away = False
        async with asyncio.timeout(60):
            while await _lease(engine) == long_ago:
                await asyncio.sleep(0.05)
        assert not claim.is_lost
    # What it has left is anybody's.
    assert (await others.take_next() or Claim("none")).workflow_id == "run"
    await engine.dispose()


async def _lease(engine: AsyncEngine) -> datetime:
    async with begin(engine) as connection:
        return (await connection.execute(select(RUNS.c.lease_until))).scalar_one()

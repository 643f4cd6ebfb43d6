"""The few numbers of a whole database, on every database."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.overview import Overview, Standing
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError
from mmm_workflows.records import Run, RunStatus


def _run(workflow_id: str) -> Run:
    return Run(workflow_id=workflow_id, workflow="eda", seed=1, graph_version="1", request={})


async def test_runs_are_counted_by_status_and_events_of_all(engine: AsyncEngine) -> None:
    store, overview = RunStore(engine), Overview(engine)
    empty = await overview.counts()
    assert empty.events == 0 and empty.runs == dict.fromkeys(RunStatus, 0)
    for name in ("a", "b", "c"):
        await store.create(_run(name))
    await store.update("b", status=RunStatus.FAILED)
    for _ in range(2):
        await store.append_event(
            "a", status=RunStatus.RUNNING, step=None, progress=0.0, message="m"
        )
    counts = await overview.counts()
    assert counts.events == 2
    told = dict.fromkeys((RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.FAILED), 1)
    assert counts.runs == {**empty.runs, **told}
    await store.delete("a")
    assert (await overview.counts()).events == 0


async def test_where_a_run_stands_is_told_with_what_its_last_event_says(
    engine: AsyncEngine,
) -> None:
    store, overview = RunStore(engine), Overview(engine)
    await store.create(_run("a"))
    assert await overview.standing("a") == Standing(status=RunStatus.QUEUED, last_seq=0, told=None)
    await store.append_event("a", status=RunStatus.RUNNING, step=None, progress=0.0, message="m")
    await store.update("a", status=RunStatus.SUCCEEDED)
    assert await overview.standing("a") == Standing(
        status=RunStatus.SUCCEEDED, last_seq=1, told=RunStatus.RUNNING
    )
    with pytest.raises(RunError) as none:
        await overview.standing("b")
    assert none.value.code == "run_not_found"

"""What every store of runs must do; one entry of the fixture per database."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.engine import begin
from mmm_workflows.db.runs import RunStore
from mmm_workflows.db.tables import DECISIONS, RUNS
from mmm_workflows.errors import MMMError, RunError, RunNotFound
from mmm_workflows.records import Artifact, Decision, ErrorInfo, Run, RunStatus


@pytest.fixture
def store(engine: AsyncEngine) -> RunStore:
    return RunStore(engine)


def a_run(workflow_id: str = "first", **fields: object) -> Run:
    return Run.model_validate(
        {
            "workflow_id": workflow_id,
            "workflow": "modeling",
            "seed": 2**53 + 1,
            "graph_version": "1",
            "request": {"mff_data_path": "Umsätze.csv", "nested": [{"a": None}, 0.1]},
            **fields,
        }
    )


def an_artifact(workflow_id: str, sha: str = "a" * 64, kind: str = "mff", project="default"):
    return Artifact(
        artifact_id=sha,
        kind=kind,
        path=f"{sha}/x",
        sha256=sha,
        size_bytes=2**40,
        workflow_id=workflow_id,
        project=project,
    )


def a_decision(question: str, choice: str = "weekly") -> Decision:
    return Decision(
        question=question, options=("weekly", "daily"), choice=choice, reason="seven days apart"
    )


async def emit(store: RunStore, workflow_id: str, message: str = "m"):
    return await store.append_event(
        workflow_id, status=RunStatus.RUNNING, step="fit", progress=0.5, message=message
    )


async def test_a_run_reads_back_as_it_was_written(store: RunStore) -> None:
    east = timezone(timedelta(hours=9))
    run = a_run(
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=east),
        result={"unit": "€"},
        error=ErrorInfo(code="fit_died", message="gone"),
    )
    await store.create(run)
    found = await store.get("first")
    assert found == run
    assert found.created_at.utcoffset() == timedelta(0)


async def test_a_taken_workflow_id_is_a_conflict_and_leaves_the_first_run(store: RunStore) -> None:
    await store.create(a_run(seed=1))
    with pytest.raises(RunError, match="first") as caught:
        await store.create(a_run(seed=2))
    assert caught.value.code == "run_conflict"
    assert (await store.get("first")).seed == 1


async def test_an_unknown_run_is_named_by_every_method(store: RunStore) -> None:
    calls = [
        lambda: store.get("nobody"),
        lambda: store.update("nobody", progress=0.5),
        lambda: store.request_cancel("nobody"),
        lambda: emit(store, "nobody"),
        lambda: store.add_decisions("nobody", [a_decision("q")]),
        lambda: store.register_artifact(an_artifact("nobody")),
        lambda: store.delete("nobody"),
    ]
    for call in calls:
        with pytest.raises(RunError, match="nobody") as caught:
            await call()
        assert caught.value.code == "run_not_found"
    assert not await store.exists("nobody")


async def test_an_update_changes_what_it_names_and_nothing_else(store: RunStore) -> None:
    run = a_run(step="clean")
    await store.create(run)
    changed = await store.update("first", status=RunStatus.RUNNING, progress=0.25)
    assert changed == await store.get("first")
    assert changed.updated_at >= run.updated_at
    kept = {"status", "progress", "updated_at"}
    assert changed.model_dump(exclude=kept) == run.model_dump(exclude=kept)


async def test_a_result_and_an_error_can_be_set_and_taken_back(store: RunStore) -> None:
    await store.create(a_run())
    error = ErrorInfo(code="fit_failed", message="no")
    assert (await store.update("first", error=error, result={"a": [1, None]})).error == error
    cleared = await store.update("first", error=None, result=None, step=None)
    assert (cleared.error, cleared.result, cleared.step) == (None, None, None)


async def test_a_value_no_run_can_hold_is_refused_and_not_kept(store: RunStore) -> None:
    await store.create(a_run())
    with pytest.raises(ValueError, match="progress"):
        await store.update("first", progress=1.5)
    with pytest.raises(StatementError, match="JSON"):
        await store.update("first", result={"roas": float("nan")})
    assert (await store.get("first")).progress == 0
    assert (await store.get("first")).result is None


async def test_a_cancel_request_is_seen_and_can_be_withdrawn(store: RunStore) -> None:
    await store.create(a_run())
    await store.request_cancel("first")
    assert (await store.get("first")).cancel_requested
    assert not (await store.update("first", cancel_requested=False)).cancel_requested


async def test_runs_are_listed_newest_first_and_filtered(store: RunStore) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for day in range(4):
        await store.create(
            a_run(
                f"run{day}",
                project="even" if day % 2 == 0 else "odd",
                workflow="eda" if day < 2 else "modeling",
                status=RunStatus.FAILED if day == 3 else RunStatus.QUEUED,
                created_at=start + timedelta(days=day),
            )
        )

    async def names(**filters: object) -> list[str]:
        return [run.workflow_id for run in await store.list(**filters)]

    assert await names() == ["run3", "run2", "run1", "run0"]
    assert await names(limit=2) == ["run3", "run2"]
    assert await names(limit=None, project="even") == ["run2", "run0"]
    assert await names(workflow="eda", project="odd") == ["run1"]
    assert await names(status=RunStatus.FAILED) == ["run3"]
    assert await names(project="nobody") == []


async def test_seq_counts_from_1_without_a_gap_with_many_writers(store: RunStore) -> None:
    await asyncio.gather(store.create(a_run("a")), store.create(a_run("b")))
    written = await asyncio.gather(
        *(emit(store, name, f"{name}{i}") for i in range(40) for name in ("a", "b"))
    )
    for name in ("a", "b"):
        events = await store.events(name)
        assert [event.seq for event in events] == list(range(1, 41))
        mine = sorted((e for e in written if e.workflow_id == name), key=lambda e: e.seq)
        assert events == mine


async def test_writers_that_are_cancelled_leave_no_gap_and_no_lock(store: RunStore) -> None:
    await store.create(a_run())
    for pause in (0.0, 0.001, 0.003, 0.01):
        tasks = [asyncio.create_task(emit(store, "first")) for _ in range(12)]
        await asyncio.sleep(pause)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    last = await asyncio.wait_for(emit(store, "first"), 60)
    events = await store.events("first")
    assert [event.seq for event in events] == list(range(1, last.seq + 1))
    assert last.seq >= 25


async def test_decisions_and_a_deletion_at_once_leave_no_text_of_the_deleted_run(
    store: RunStore, engine: AsyncEngine
) -> None:
    names = [f"run{i}" for i in range(8)]
    for name in names:
        await store.create(a_run(name))

    async def decide(name: str) -> None:
        for number in range(5):
            await store.add_decisions(name, [a_decision(f"{name} {number}")])

    work = [decide(name) for name in names] + [store.delete(name) for name in names]
    ends = await asyncio.gather(*work, return_exceptions=True)
    assert {type(e) for e in ends} <= {type(None), RunNotFound}
    async with begin(engine) as connection:
        kept = list((await connection.execute(select(DECISIONS.c.content))).scalars())
    assert set(kept) <= {None}
    assert await chain_is_whole(store, "default") == len(kept)


async def test_one_artifact_registered_by_many_at_once_is_one(store: RunStore) -> None:
    await store.create(a_run())
    await asyncio.gather(*(store.register_artifact(an_artifact("first")) for _ in range(12)))
    assert len(await store.artifacts("first")) == 1


async def test_updates_at_once_are_all_kept(store: RunStore) -> None:
    await store.create(a_run())
    await asyncio.gather(
        store.update("first", step="fit"),
        store.update("first", progress=0.5),
        store.update("first", result={"a": 1}),
        store.request_cancel("first"),
        emit(store, "first"),
    )
    run = await store.get("first")
    assert (run.step, run.progress, run.result, run.cancel_requested) == (
        "fit",
        0.5,
        {"a": 1},
        True,
    )


async def test_events_after_a_seq_are_the_rest(store: RunStore) -> None:
    await store.create(a_run(project="shop"))
    await store.append_event(
        "first",
        status=RunStatus.WAITING,
        step=None,
        progress=1,
        message="Größe?",
        data={"chains": [1, 2]},
    )
    second = await emit(store, "first")
    first, *rest = await store.events("first")
    assert (first.data, first.message, first.project) == ({"chains": [1, 2]}, "Größe?", "shop")
    assert rest == [second] == await store.events("first", after=1)
    assert await store.events("first", after=2) == []
    assert await store.events("nobody") == []


async def test_a_nul_in_a_message_or_a_value_stops_no_run(store: RunStore) -> None:
    await store.create(a_run(request={"a\0": "b\0"}))
    written = await emit(store, "first", "column 'a\0b'")
    assert written.message == "column 'a\ufffdb'"
    assert await store.events("first") == [written]
    asked = [a_decision("a\0b")]
    await store.add_decisions("first", asked)
    assert await store.decisions("first") == asked
    assert (await store.get("first")).request == {"a\0": "b\0"}


async def chain_is_whole(store: RunStore, project: str) -> int:
    """The number of links of a chain that verifies."""
    (report,) = await store.audit(project)
    assert report.broken is None
    return report.decisions


async def test_decisions_come_back_in_order_and_form_one_chain_per_project(
    store: RunStore, engine: AsyncEngine
) -> None:
    await store.create(a_run("a"))
    await store.create(a_run("b"))
    await store.create(a_run("c", project="other"))
    asked = [a_decision(f"q{i}") for i in range(3)]
    await store.add_decisions("a", asked[:2])
    await asyncio.gather(*(store.add_decisions("b", [a_decision(f"b{i}")]) for i in range(10)))
    await store.add_decisions("a", asked[2:])
    await store.add_decisions("c", asked)
    await store.add_decisions("c", [])
    assert await store.decisions("a") == asked
    assert {d.question for d in await store.decisions("b")} == {f"b{i}" for i in range(10)}
    assert await chain_is_whole(store, "default") == 13
    assert await chain_is_whole(store, "other") == 3


async def test_equal_decisions_have_unequal_hashes(store: RunStore, engine: AsyncEngine) -> None:
    await store.create(a_run())
    same = a_decision("q")
    await store.add_decisions("first", [same, same])
    async with begin(engine) as connection:
        hashes = list((await connection.execute(select(DECISIONS.c.content_hash))).scalars())
    assert len(set(hashes)) == 2


async def test_an_artifact_registered_twice_is_listed_once(store: RunStore) -> None:
    await store.create(a_run("a"))
    await store.create(a_run("b"))
    first, second = an_artifact("a"), an_artifact("a", "b" * 64, "chart")
    for artifact in (first, second, first, an_artifact("b")):
        await store.register_artifact(artifact)
    assert await store.artifacts("a") == [first, second]
    assert await store.uses("default", "a" * 64) == 2
    await store.delete("a")
    assert await store.uses("default", "a" * 64) == 1
    assert await store.uses("other", "a" * 64) == 0


async def test_deleting_a_run_leaves_nothing_but_hashes(
    store: RunStore, engine: AsyncEngine
) -> None:
    for name in ("a", "b"):
        await store.create(a_run(name))
        await emit(store, name)
        await store.add_decisions(name, [a_decision(f"secret of {name}")])
        await store.register_artifact(an_artifact(name))
    await store.delete("a")
    assert not await store.exists("a")
    assert (await store.events("a"), await store.decisions("a"), await store.artifacts("a")) == (
        [],
        [],
        [],
    )
    assert len(await store.events("b")) == len(await store.decisions("b")) == 1
    assert await chain_is_whole(store, "default") == 2
    async with begin(engine) as connection:
        rows = (await connection.execute(select(DECISIONS))).all()
    assert [(r.salt, r.content, r.workflow_id) for r in rows if r.position == 1] == [(None,) * 3]
    assert (await store.audit("default"))[0].deleted == 1


async def test_a_deleted_workflow_id_can_be_used_again_without_a_past(store: RunStore) -> None:
    await store.create(a_run())
    await emit(store, "first")
    await store.add_decisions("first", [a_decision("q")])
    await store.delete("first")
    await store.create(a_run())
    assert (await emit(store, "first")).seq == 1
    assert await store.decisions("first") == []


async def test_deleting_a_project_takes_its_runs_and_no_others(
    store: RunStore, engine: AsyncEngine
) -> None:
    for name, project in (("a", "shop"), ("b", "shop"), ("c", "default")):
        await store.create(a_run(name, project=project))
        await store.add_decisions(name, [a_decision(name)])
    assert await store.delete_project("shop") == 2
    assert await store.delete_project("shop") == 0
    assert [run.workflow_id for run in await store.list()] == ["c"]
    assert await chain_is_whole(store, "shop") == 2


async def test_a_record_of_a_newer_version_is_refused_by_name(
    store: RunStore, engine: AsyncEngine
) -> None:
    await store.create(a_run())
    async with begin(engine) as connection:
        await connection.execute(update(RUNS).values(schema_version=99))
    with pytest.raises(MMMError, match="99") as caught:
        await store.get("first")
    assert caught.value.code == "store_schema"


async def test_a_page_goes_on_where_the_one_before_ended_whatever_came_in(store: RunStore) -> None:
    at = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    moments = {"a": at, "b": at, "c": at + timedelta(microseconds=1), "d": at - timedelta(days=1)}
    for name, moment in moments.items():
        await store.create(a_run(name).model_copy(update={"created_at": moment}))
    first = await store.list(limit=2)
    assert [run.workflow_id for run in first] == ["c", "b"]
    await store.create(a_run("late").model_copy(update={"created_at": at + timedelta(hours=1)}))
    # The same moment, as another zone writes it.
    place = at.astimezone(timezone(timedelta(hours=5))), "b"
    rest = await store.list(before=place, limit=2)
    assert [run.workflow_id for run in rest] == ["a", "d"]


async def test_the_latest_registration_of_an_artifact_is_found_in_the_projects_asked(
    store: RunStore,
) -> None:
    await store.create(a_run("one"))
    await store.create(a_run("two"))
    for workflow_id in ("one", "two"):
        await store.register_artifact(an_artifact(workflow_id, kind="model"))
    found = await store.registered("a" * 64, kind="model")
    assert found is not None and found.workflow_id == "two"
    assert await store.registered("a" * 64, kind="mff") is None
    assert await store.registered("a" * 64, kind="model", projects=["other"]) is None
    assert await store.registered("a" * 64, kind="model", projects=["default"]) == found

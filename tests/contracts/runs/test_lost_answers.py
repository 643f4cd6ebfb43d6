"""A write whose answer was lost is there once: the connection is cut at the moment of the commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from langgraph.graph import END, START, StateGraph
from services.cable import Cable, a_cable
from services.postgres_state import for_asyncpg, tell
from typing_extensions import TypedDict

from mmm_workflows.db.checkpoints import with_patience
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.patience import Patience
from mmm_workflows.db.postgres_checkpoints import open_postgres_checkpointer
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError, ServiceLost
from mmm_workflows.records import Artifact, Decision, Run, RunStatus

pytestmark = pytest.mark.services
COMMIT = b"COMMIT"
WHEN = pytest.mark.parametrize("when", ["before", "after"])


class Place(NamedTuple):
    """A store that waits, one that does not, and the cable that both are connected by."""

    patient: RunStore
    plain: RunStore
    cable: Cable
    patience: Patience


@pytest.fixture
async def place(url: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        cable, through = await stack.enter_async_context(a_cable(url))
        engine = await open_database(for_asyncpg(through))
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        plain = RunStore(engine)
        patience = Patience(30.0, workflow_id="r1")
        await plain.create(a_run("r1"))
        yield Place(plain.patient(patience), plain, cable, patience)


def a_run(name: str) -> Run:
    return Run(workflow_id=name, workflow="eda", seed=1, graph_version="1", request={})


def a_decision(question: str) -> Decision:
    return Decision(question=question, options=(), choice="a", reason="b")


async def say(store: RunStore, message: str) -> int:
    data = {"draws_done": (1, 2), "share": 0.1 + 0.2}
    event = await store.append_event(
        "r1", status=RunStatus.RUNNING, step=None, progress=0.25, message=message, data=data
    )
    return event.seq


async def said(store: RunStore) -> list[tuple[int, str]]:
    return [(event.seq, event.message) for event in await store.events("r1")]


@WHEN
async def test_an_event_is_there_once(place: Place, when: Any) -> None:
    assert await say(place.patient, "first") == 1
    place.cable.snap_at(COMMIT, when)
    assert await say(place.patient, "second") == 2
    assert await say(place.patient, "second") == 3  # said twice on purpose
    assert place.cable.snapped == 1
    assert await said(place.plain) == [(1, "first"), (2, "second"), (3, "second")]
    assert len(place.patience.delays) == 1


@WHEN
async def test_an_event_is_there_once_while_others_write_to_the_same_run(
    place: Place, when: Any
) -> None:
    for _ in range(5):
        place.cable.snap_at(COMMIT, when)
        await asyncio.gather(*(say(place.patient, f"m{i}") for i in range(6)))
    found = await said(place.plain)
    assert place.cable.snapped == 5
    assert [seq for seq, _ in found] == list(range(1, 31))
    assert Counter(message for _, message in found) == {f"m{i}": 5 for i in range(6)}


@WHEN
async def test_decisions_are_in_the_chain_once(place: Place, when: Any) -> None:
    await place.patient.add_decisions("r1", [a_decision("q0")])
    place.cable.snap_at(COMMIT, when)
    await place.patient.add_decisions("r1", [a_decision("q1"), a_decision("q1")])
    await place.patient.add_decisions("r1", [a_decision("q1")])
    assert [d.question for d in await place.plain.decisions("r1")] == ["q0", "q1", "q1", "q1"]
    (chain,) = await place.plain.audit()
    assert (place.cable.snapped, chain.decisions, chain.broken) == (1, 4, None)


@WHEN
async def test_a_run_is_made_once_and_a_second_one_is_still_refused(
    place: Place, when: Any
) -> None:
    run = a_run("r2")
    # The first commit is that of the question whether the project is there.
    place.cable.snap_at(COMMIT, when, skip=1)
    await place.patient.create(run)
    assert place.cable.snapped == 1
    assert await place.plain.get("r2") == run
    for again in (run, a_run("r2")):
        with pytest.raises(RunError, match="There is a run r2 already"):
            await place.patient.create(again)


@WHEN
async def test_what_changes_a_row_may_be_made_again(place: Place, when: Any) -> None:
    place.cable.snap_at(COMMIT, when)
    run = await place.patient.update("r1", status=RunStatus.RUNNING, progress=0.5)
    assert (await place.plain.get("r1")) == run
    artifact = Artifact(
        artifact_id="a", kind="k", path="p", sha256="a", size_bytes=1, workflow_id="r1"
    )
    place.cable.snap_at(COMMIT, when)
    await place.patient.register_artifact(artifact)
    assert await place.plain.artifacts("r1") == [artifact]
    assert place.cable.snapped == 2


async def test_without_patience_the_loss_is_told_at_once(place: Place) -> None:
    place.cable.snap_at(COMMIT, "before")
    with pytest.raises(ServiceLost):
        await say(place.plain, "lost")
    assert await said(place.plain) == []


async def test_what_no_wait_can_mend_is_told_at_once(place: Place, url: str) -> None:
    await tell(url, "ALTER TABLE events RENAME TO elsewhere")
    with pytest.raises(Exception, match="does not exist") as caught:
        await asyncio.wait_for(say(place.patient, "nowhere"), 60)
    assert not isinstance(caught.value, ServiceLost)
    assert place.patience.delays == ()


async def test_a_wait_can_be_cancelled_and_leaves_nothing_half_written(place: Place) -> None:
    await say(place.patient, "first")
    place.cable.cut()
    waiting = asyncio.create_task(say(place.patient, "second"))
    await asyncio.sleep(1.0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 60)
    await place.cable.plug_in()
    assert await said(place.plain) == [(1, "first")]


async def test_patience_ends_for_all_calls_together_and_says_how_to_go_on(place: Place) -> None:
    place.cable.cut()
    short = Patience(1.5, workflow_id="family")
    store = place.plain.patient(short)
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = asyncio.create_task(say(store, "first"))
    await asyncio.sleep(1.0)
    ends = await asyncio.gather(first, say(store, "second"), return_exceptions=True)
    assert [type(end) for end in ends] == [ServiceLost, ServiceLost]
    assert "`mmm-workflows resume family`" in str(ends[0])
    assert loop.time() - began < 20  # the second call has no 1.5 s of its own, nor a third one
    with pytest.raises(ServiceLost, match="resume family"):
        await say(store, "third")


class State(TypedDict):
    words: str
    count: int


def step(state: State) -> State:
    return {"words": state["words"] + "!", "count": state["count"] + 1}


@WHEN
@pytest.mark.parametrize("word", [b"INSERT INTO checkpoints", b"INSERT INTO checkpoint_writes"])
async def test_a_checkpoint_is_there_once(url: str, when: Any, word: bytes) -> None:
    async with a_cable(url) as (cable, through), open_postgres_checkpointer(through) as plain:
        saver = with_patience(plain, Patience(30.0, workflow_id="r1"))
        assert saver is not plain
        builder = StateGraph(State)
        for name in ("one", "two"):
            builder.add_node(name, step)
        builder.add_edge(START, "one")
        builder.add_edge("one", "two")
        builder.add_edge("two", END)
        graph = builder.compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "one"}}
        cable.snap_at(word, when)
        ended = await graph.ainvoke({"words": "w", "count": 0}, config)
        history = [state.values async for state in graph.aget_state_history(config)]
    assert cable.snapped == 1
    assert ended == {"words": "w!!", "count": 2}
    assert [values.get("count") for values in history] == [2, 1, 0, None]
    ((rows, ids),) = await tell(
        url, "SELECT count(*), count(DISTINCT checkpoint_id) FROM checkpoints"
    )
    assert rows == ids == 4

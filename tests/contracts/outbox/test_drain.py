"""What runs left behind comes to every store, whatever is away or dies meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from contracts.sqlite_reader import reading
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from mmm_workflows.config import Settings
from mmm_workflows.db import engine
from mmm_workflows.db.draining import Drain
from mmm_workflows.db.graphrag import Memory
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.recall import Scope, Way
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows.runner import Runner, open_runner

from .conftest import child, said_until_killed
from .values import result_of, succeed

KILLS = int(os.environ.get("OUTBOX_KILLS", "1"))
SEED = int(os.environ.get("OUTBOX_SEED", random.randrange(10**6)))


async def agree(runner: Runner, project: str, runs: set[str]) -> None:
    """Text, vectors and graph hold these runs, each of them whole, and no other."""
    memory = await runner.services.open_memory()
    held = await memory.holdings(project)
    assert held.has_graph
    assert held.workflow_ids == runs
    passages = await memory.stores.keywords.passages(project)
    assert await memory.stores.vectors.ids(project) == {p.passage_id for p in passages}
    nodes, edges = await memory.everything(project)
    assert {p.node_id for p in passages} <= {n.node_id for n in nodes}
    for kind, each in (("Analysis", 1), ("Model", 1), ("Decision", 1)):
        assert sum(n.kind == kind for n in nodes) == each * len(runs)
    assert sum(n.kind == "Channel" for n in nodes) == bool(runs)
    assert len(passages) == 2 * len(runs)
    assert len(edges) == 4 * len(runs), "each run has its own edges, also to what all share"


async def standing(runner: Runner, workflow_id: str) -> str | None:
    return (await runner.memory.standing([workflow_id])).get(workflow_id)


async def test_a_run_is_queued_until_memory_is_asked_and_kept_from_then_on(
    stores: Settings, project: str
) -> None:
    async with open_runner(stores) as runner:
        name = f"{project}-r"
        await succeed(runner, name, project)
        assert await standing(runner, name) == "queued"
        recall = await runner.memory.recall("television", project=project, k=3)
        assert recall.found and recall.missing == ()
        assert await standing(runner, name) == "kept"
        await agree(runner, project, {name})
        await runner.delete(project)
        await agree(runner, project, set())


async def test_whoever_asks_with_little_time_is_answered_from_what_is_there(
    stores: Settings, project: str
) -> None:
    async with open_runner(stores) as runner:
        await succeed(runner, f"{project}-kept", project)
        await runner.memory.drain()
        for name in ("waits", "waits-too"):
            await succeed(runner, f"{project}-{name}", project)
        async with runner.services.outbox.turn(wait_s=0) as is_ours:
            assert is_ours, "as a process that writes for long"
            recall = await runner.memory.recall("television", project=project, k=9, wait_s=0.05)
            assert {f.passage.workflow_id for f in recall.found} == {f"{project}-kept"}
            assert recall.waiting == 2
            # The next one is as little held up.
            again = await runner.memory.recall("television", project=project, k=9, wait_s=0.05)
            assert (again.found, again.waiting) == (recall.found, 2)
        recall = await runner.memory.recall("television", project=project, k=9, wait_s=30)
        assert {f.passage.workflow_id for f in recall.found} > {f"{project}-kept"}
        assert recall.waiting == 0
        await runner.delete(project)


async def test_whoever_has_time_is_not_answered_when_another_s_ran_out(
    stores: Settings, project: str
) -> None:
    async with open_runner(stores) as runner:
        await succeed(runner, f"{project}-waits", project)
        drain = runner.services.drain
        async with runner.services.outbox.turn(wait_s=0) as is_ours:
            assert is_ours, "as a process that writes for long"
            hasty = asyncio.create_task(drain.run_for(project, 0.3))
            async with asyncio.timeout(60):
                while project not in drain._behind_asking:
                    await asyncio.sleep(0.001)
            begun = drain._behind_asking[project]
            patient = asyncio.create_task(drain.run_for(project, 60))
            await asyncio.wait({hasty, begun})
        await patient
        assert await runner.services.outbox.waiting(project) == []
        await agree(runner, project, {f"{project}-waits"})
        await runner.delete(project)


async def test_the_end_of_a_run_opens_no_store(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await succeed(runner, "r")
        assert await runner.services.drain.settle("r", "p") is None
        assert not runner.services.has_memory()
        await runner.services.open_memory()
        assert await runner.services.drain.settle("r", "p") is None
        assert await standing(runner, "r") == "kept"


async def test_what_fails_when_the_run_has_ended_already_is_said_in_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_said = asyncio.Event()

    async def away() -> Memory:
        await is_said.wait()
        raise ServiceUnavailable("The graph is away.")

    monkeypatch.setattr("mmm_workflows.db.draining.SETTLE_S", 0.05)
    async with open_runner(settings) as runner:
        await succeed(runner, "r")
        drain = Drain(
            runner.services.outbox, runner.services.runs,
            open_memory=away, is_open=lambda: True, has_memory=lambda: True,
        )  # fmt: skip
        assert "not answered" in (await drain.settle("r", "p") or "")
        assert not caplog.records
        is_said.set()
        async with asyncio.timeout(60):
            while not caplog.records:
                await asyncio.sleep(0.01)
        assert [r.message for r in caplog.records] == [
            "what run r left behind waits: The graph is away."
        ]
        assert await standing(runner, "r") == "queued"


async def test_what_only_the_text_took_comes_to_vectors_and_graph(settings: Settings) -> None:
    """A run must not count as known because its text is there."""
    async with open_runner(settings) as runner:
        with child("hold", settings) as owner:
            assert await asyncio.to_thread(owner.stdout.readline) == "open\n"
            await succeed(runner, "r")
            recall = await runner.memory.recall("television", project="p", k=3)
            assert [f.passage.workflow_id for f in recall.found] == ["r"]
            assert [use.way for use in recall.missing] == [Way.VECTORS]
            said = await standing(runner, "r")
            assert said is not None and said.startswith("delayed: vectors: ")
            assert f"owned by process {owner.pid}" in said and "graph: " in said
            assert await runner.services.drain.settle("r", "p") == said.removeprefix("delayed: ")
        # The owner has ended.
        await runner.memory.drain()
        assert await standing(runner, "r") == "kept"
        assert (await runner.memory.recall("television", project="p", k=3)).missing == ()
        await agree(runner, "p", {"r"})


async def test_the_owner_takes_what_a_second_process_left_in_the_outbox(
    settings: Settings,
) -> None:
    with child("serve", settings) as owner:
        assert await asyncio.to_thread(owner.stdout.readline) == "open\n"
        async with open_runner(settings) as runner:
            await succeed(runner, "r")
            await runner.memory.drain()
            assert (await standing(runner, "r") or "").startswith("delayed: ")
            owner.stdin.write("\n")
            owner.stdin.flush()
            assert await asyncio.to_thread(owner.stdout.readline) == "drained\n"
            assert await standing(runner, "r") == "kept"
            # The graph is read here while it is owned there.
            nodes, _ = await (await runner.memory.bring_in("p")).everything("p")
            assert "modeling r" in {node.name for node in nodes}


async def test_what_is_forgotten_while_another_process_owns_the_stores_goes_when_it_is_gone(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        for name in ("gone", "stays"):
            await succeed(runner, name)
        await runner.memory.drain()
    with child("hold", settings) as owner:
        assert await asyncio.to_thread(owner.stdout.readline) == "open\n"
        async with open_runner(settings) as runner:
            assert (await runner.delete("gone")).runs == 1
            delayed = await runner.memory.still_to_forget("p")
            assert delayed is not None and f"process {owner.pid}" in delayed
            # Its text is gone at once, so no way can return it.
            recall = await runner.memory.recall("television", project="p", k=9)
            assert {f.passage.workflow_id for f in recall.found} == {"stays"}
    async with open_runner(settings) as runner:
        await runner.memory.drain()
        assert await runner.memory.still_to_forget("p") is None
        await agree(runner, "p", {"stays"})


async def test_a_run_that_waits_and_is_deleted_never_comes(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await runner.services.open_memory()
        for name in ("waits", "stays"):
            await succeed(runner, name)
        await runner.delete("waits")
        await runner.memory.drain()
        await agree(runner, "p", {"stays"})


async def test_a_run_that_is_forgotten_while_it_is_written_does_not_come_back(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await runner.services.open_memory()
        names = [f"r{n}" for n in range(6)]
        for name in names:
            await succeed(runner, name)
        await asyncio.gather(runner.memory.drain(), *(runner.delete(n) for n in names[::2]))
        await runner.memory.drain()
        await agree(runner, "p", set(names[1::2]))


async def test_the_same_name_after_its_forgetting_is_remembered(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        for text in ("first words", "second words"):
            await succeed(runner, "again", text=text)
            if text == "first words":
                await runner.memory.drain()
                await runner.delete("again")
        found = (await runner.memory.recall("words", project="p", k=9)).found
        assert [f.passage.text for f in found if f.passage.kind == "Model"] == ["second words"]
        await agree(runner, "p", {"again"})


ALIKE = "Television returned much"


async def alike(runner: Runner, project: str, *names: str) -> None:
    """Runs that say the same of one model, remembered."""
    for name in names:
        await succeed(runner, name, project, text=ALIKE, model="models/one")
    await runner.memory.drain()


async def whose(runner: Runner, project: str) -> list[set[str]]:
    """The runs that what they say alike is found of, by words and by meaning; whose edges are left."""
    memory = await runner.services.open_memory()
    recalls = [
        await memory.recall(ALIKE, scope=Scope(project=project), k=9, ways=(way,))
        for way in (Way.KEYWORDS, Way.VECTORS)
    ]
    assert all(recall.missing == () for recall in recalls)
    _, edges = await memory.everything(project)
    return [
        *({f.passage.workflow_id for f in r.found if f.passage.text == ALIKE} for r in recalls),
        {e.workflow_id for e in edges},
    ]


async def test_what_two_runs_say_alike_is_there_until_both_are_deleted(
    stores: Settings, project: str
) -> None:
    first, second = f"{project}-1", f"{project}-2"
    async with open_runner(stores) as runner:
        await alike(runner, project, first, second)
        await runner.delete(first)
        assert await runner.memory.still_to_forget(project) is None
        assert await whose(runner, project) == [{second}] * 3
        await agree(runner, project, {second})
        await runner.delete(second)
        assert await whose(runner, project) == [set()] * 3
        await agree(runner, project, set())


async def test_what_runs_say_alike_comes_back_after_a_process_that_died_while_it_forgot(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        names = ["r1", "r2", "r3"]
        await alike(runner, "p", *names)
        for name in names[:2]:
            await runner.services.runs.delete(name)
        await (await runner.services.open_memory()).forget("p", workflow_id="r1")
        assert (await whose(runner, "p"))[0] == set()
    async with open_runner(settings) as runner:
        await runner.memory.drain()
        assert await whose(runner, "p") == [{"r3"}] * 3
        await agree(runner, "p", {"r3"})


async def test_what_runs_say_alike_comes_back_to_vectors_that_another_process_held(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await alike(runner, "p", "r1", "r2")
    with child("hold", settings) as owner:
        assert await asyncio.to_thread(owner.stdout.readline) == "open\n"
        async with open_runner(settings) as runner:
            await runner.delete("r1")
            assert f"process {owner.pid}" in (await runner.memory.still_to_forget("p") or "")
            found = (await runner.memory.recall(ALIKE, project="p", k=9)).found
            assert {f.passage.workflow_id for f in found} == {"r2"}
    async with open_runner(settings) as runner:
        await runner.memory.drain()
        assert await whose(runner, "p") == [{"r2"}] * 3
        await agree(runner, "p", {"r2"})


async def test_a_result_that_cannot_be_read_is_said_and_stops_no_other(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await succeed(runner, "old")
        broken = {"status": "succeeded", "project": "p", "workflow_id": "old"}
        await runner.services.runs.update("old", result=broken)
        await succeed(runner, "new")
        await runner.memory.drain()
        assert "result of run old cannot be read" in (await standing(runner, "old") or "")
        assert await standing(runner, "new") == "kept"
        repaired = await runner.memory.repair("p", rebuild=False)
        assert (repaired.linked, repaired.forgotten, repaired.without_node) == (0, 0, ())


async def test_a_forgotten_project_leaves_no_byte_but_its_tombstone(settings: Settings) -> None:
    words = "Qzsecret cinema plan"
    async with open_runner(settings) as runner:
        await succeed(runner, "r", "brand", text=words)
        await succeed(runner, "r2", "brand", text=f"{words} again")
        await succeed(runner, "other", "kept", text="what stays")
        assert (await runner.memory.recall("cinema", project="brand", k=2)).found
        await runner.memory.drain()
        assert found_in(settings.home, b"Qzsecret")
        assert (await runner.delete("brand")).runs == 2
        (tombstone,) = await runner.memory.forgotten()
        assert (tombstone.project, tombstone.runs) == ("brand", 2)
        assert tombstone.forgotten_at is not None
        await agree(runner, "brand", set())
        await agree(runner, "kept", {"other"})
        for word in (b"Qzsecret", b"qzsecret", b"models/r2", b"Which prior of r2"):
            assert found_in(settings.home, word) == [], word
    for word in (b"Qzsecret", b"qzsecret", b"models/r2", b"Which prior of r2"):
        assert found_in(settings.home, word) == [], word
    assert found_in(settings.home, b"what stays")


async def test_a_run_is_not_deleted_before_its_checkpoints_are(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await succeed(runner, "r")
        saver = runner.services.checkpointer
        assert isinstance(saver, AsyncSqliteSaver)
        await saver.conn.execute("PRAGMA busy_timeout=50")
        with reading(settings.home / "checkpoints.db"):
            with pytest.raises(ServiceUnavailable, match="deleted text is still on the disk"):
                await runner.delete("r")
            assert await runner.services.runs.exists("r")
        assert (await runner.delete("r")).runs == 1
        await agree(runner, "p", set())


async def test_what_another_program_s_reading_keeps_on_the_disk_is_said_and_goes_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    word = b"qzsecret"
    monkeypatch.setattr(engine, "EMPTIED_WITHIN_S", 0.1)
    async with open_runner(settings) as runner:
        await succeed(runner, "gone", text="qzsecret cinema plan")
        await succeed(runner, "other")
        await runner.memory.drain()
        with reading(settings.home / "runs.db"):
            assert (await runner.delete("gone")).runs == 1
            assert "deleted text is still on the disk" in caplog.text
            assert "runs.db-wal" in found_in(settings.home, word)
            # Nobody is held up by it.
            assert await runner.memory.still_to_forget("p") is None
            await succeed(runner, "later")
            await runner.memory.drain()
        await agree(runner, "p", {"other", "later"})
        await runner.delete("other")
        assert found_in(settings.home, word) == []


def found_in(folder: Path, word: bytes) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and word in p.read_bytes()]


async def test_repair_links_again_what_the_graph_lacks_and_forgets_what_has_no_run(
    stores: Settings, project: str
) -> None:
    async with open_runner(stores) as runner:
        names = {f"{project}-{n}" for n in range(3)}
        for name in sorted(names):
            await succeed(runner, name, project)
        await runner.memory.drain()
        memory = await runner.services.open_memory()
        await memory.stores.graph.forget(project, workflow_id=f"{project}-1")
        await memory.stores.keywords.forget(project, workflow_id=f"{project}-2")
        await memory.stores.vectors.forget(project, workflow_id=f"{project}-0")
        await memory.remember(*_of("stranger", project))
        done = await runner.memory.repair(project, rebuild=False)
        assert (done.linked, done.forgotten, done.without_node) == (2, 1, ())
        assert done.indexed == 2
        await agree(runner, project, names)
        again = await runner.memory.repair(project, rebuild=False)
        assert (again.linked, again.forgotten, again.indexed, again.dropped) == (0, 0, 0, 0)
        await runner.delete(project)


def _of(workflow_id: str, project: str) -> tuple[list, list, list]:
    from mmm_workflows.mmm.lineage import knowledge_of
    from mmm_workflows.records import now

    result = result_of(workflow_id, project, "of nobody")
    left = knowledge_of("modeling", result, request={"mff_data_path": "shared.csv"}, at=now())
    return list(left.nodes.values()), list(left.edges.values()), list(left.passages.values())


async def test_processes_and_tasks_that_remember_at_once_lose_nothing(
    stores: Settings, project: str
) -> None:
    async with open_runner(stores):
        pass  # the tables are there before four processes look for them
    started = [child("some", stores, project=project, name=f"{project}-{n}") for n in range(2)]
    for each in started:
        process = each.__enter__()
        each.process = process
    for each in started:
        await asyncio.to_thread(each.process.wait)
        assert each.process.returncode == 0
        each.__exit__(None, None, None)
    async with open_runner(stores) as runner:
        await runner.memory.drain()
        names = {f"{project}-{n}-{t}-{c}" for n in range(2) for t in range(4) for c in range(3)}
        await agree(runner, project, names)
        await runner.delete(project)


@pytest.mark.slow
async def test_what_one_process_deletes_while_another_remembers_does_not_come_back(
    stores: Settings, project: str
) -> None:
    deleted: set[str] = set()
    async with open_runner(stores) as runner:
        with child("some", stores, project=project, name=project) as writer:
            while writer.poll() is None:
                await asyncio.sleep(0.05)
                done = await runner.services.runs.list(project=project, limit=None)
                for run in done:
                    if run.status is RunStatus.SUCCEEDED and run.workflow_id.endswith(("0", "2")):
                        await runner.delete(run.workflow_id)
                        deleted.add(run.workflow_id)
            assert writer.returncode == 0
        await runner.memory.drain()
        assert deleted, "none went while the other process was writing"
        names = {f"{project}-{task}-{count}" for task in range(4) for count in range(3)}
        await agree(runner, project, names - deleted)
        await runner.delete(project)


async def killed_while_it_writes(settings: Settings, project: str, chance: random.Random) -> None:
    """No run that succeeded is lost, none comes twice, and the stores agree after a drain."""
    succeeded: set[str] = set()
    for turn in range(2):
        with child("write", settings, project=project, name=f"{project}-{turn}") as writer:
            said = await asyncio.to_thread(
                said_until_killed, writer, chance, lines=2 + 3 * turn, within_s=0.4
            )
        succeeded |= {line.split()[1] for line in said if line.startswith("succeeded ")}
        async with open_runner(settings) as runner:
            done = await runner.services.runs.list(project=project, limit=None)
            names = {run.workflow_id for run in done if run.result is not None}
            assert succeeded <= names
            await runner.memory.drain()
            await agree(runner, project, names)
            repaired = await runner.memory.repair(project, rebuild=False)
            assert (repaired.linked, repaired.forgotten, repaired.without_node) == (0, 0, ())
            await agree(runner, project, names)
    assert len(succeeded) >= 4
    async with open_runner(settings) as runner:
        await runner.delete(project)


async def killed_while_it_forgets(settings: Settings, project: str, chance: random.Random) -> None:
    """What was deleted stays away, what was kept stays, whatever the moment."""
    with child("forget", settings, project=project, name=project) as writer:
        said = await asyncio.to_thread(said_until_killed, writer, chance, lines=3, within_s=1.0)
    kept, deleted = (
        {line.split()[1] for line in said if line.startswith(f"{word} ")}
        for word in ("kept", "deleted")
    )
    async with open_runner(settings) as runner:
        done = await runner.services.runs.list(project=project, limit=None)
        names = {run.workflow_id for run in done if run.result is not None}
        assert kept - deleted - names <= {max(kept, key=lambda name: int(name[len(project) + 1 :]))}
        assert not deleted & names
        await runner.memory.drain()
        assert await runner.memory.still_to_forget(project) is None
        await agree(runner, project, names)
        await runner.delete(project)


@pytest.mark.parametrize("seed", [1])
async def test_a_kill_while_memory_is_written_loses_nothing(
    stores: Settings, project: str, seed: int
) -> None:
    await killed_while_it_writes(stores, project, random.Random(seed))


@pytest.mark.parametrize("seed", [3])
async def test_a_kill_while_memory_forgets_brings_nothing_back(
    stores: Settings, project: str, seed: int
) -> None:
    await killed_while_it_forgets(stores, project, random.Random(seed))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
async def test_kills_at_more_moments(stores: Settings, project: str, number: int) -> None:
    """Moments drawn anew each time; `make proof` tries many, set OUTBOX_SEED to try one again."""
    print(f"OUTBOX_SEED={SEED} OUTBOX_KILLS={KILLS}")
    work = killed_while_it_writes if (SEED + number) % 2 else killed_while_it_forgets
    await work(stores, project, random.Random(SEED + number))

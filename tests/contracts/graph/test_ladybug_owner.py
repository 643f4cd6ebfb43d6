"""The embedded graph among processes: one owner writes, others read, and a kill loses nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import rest_of

from mmm_workflows.db import ladybug_file
from mmm_workflows.db.ladybug_client import LadybugGraph, open_ladybug
from mmm_workflows.db.ladybug_file import FILE, LOCK, LOG_BYTES, WAL
from mmm_workflows.db.owner_lock import OwnerLock
from mmm_workflows.errors import ServiceUnavailable

from .ladybug_child import PROJECT, pair
from .values import day, edge, node

TESTS = Path(__file__).parents[2]


def child(what: str, folder: Path, run: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "contracts.graph.ladybug_child", what, str(folder), str(run)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def other_process(folder: Path, role: str) -> Iterator[subprocess.Popen[str]]:
    process = child("hold", folder)
    try:
        assert process.stdout.readline() == f"{role}\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "graph"


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_only_the_user_can_read_the_files(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    graph = await open_ladybug(folder)
    await graph.add([node("p", "a")], [])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes(folder)) >= {"graph.lbug", "graph.lbug.wal", "owner.lock"}
    assert set(modes(folder).values()) == {0o600}
    await graph.forget("p")
    await graph.add([node("p", "a")], [])
    assert set(modes(folder).values()) == {0o600}
    await graph.aclose()


async def test_the_log_of_a_writer_that_stays_does_not_grow_without_end(folder: Path) -> None:
    graph = await open_ladybug(folder)
    sizes = []
    for number in range(12):
        text = f"{number} " + "x" * (LOG_BYTES // 4)
        await graph.add([node("p", f"n{number}", properties={"text": text})], [])
        sizes.append((folder / WAL).stat().st_size if (folder / WAL).exists() else 0)
    assert LOG_BYTES // 4 < max(sizes) < 2 * LOG_BYTES
    assert len(await graph.nodes("p")) == 12
    await graph.aclose()


async def test_a_second_process_reads_and_its_writes_name_the_owner(folder: Path) -> None:
    first = await open_ladybug(folder)
    await first.add(*pair(1, 1))
    await first.aclose()
    with other_process(folder, "owner") as owner:
        graph = await open_ladybug(folder)
        await graph.prepare()
        assert not graph.is_owner
        before = await graph.everything(PROJECT)
        assert len(before[0]) == 3
        writes = [
            lambda: graph.add([node(PROJECT, "new")], []),
            lambda: graph.expire(PROJECT, [before[1][0].edge_id], at=day(1)),
            lambda: graph.forget(PROJECT),
        ]
        for write in writes:
            with pytest.raises(ServiceUnavailable, match=f"owned by process {owner.pid}") as caught:
                await write()
            assert caught.value.code == "service_unavailable"
        assert await graph.everything(PROJECT) == before
        owner.communicate("\n")
        # The owner has ended: the queued writes are taken here.
        await writes[0]()
        assert graph.is_owner
        assert len(await graph.nodes(PROJECT)) == 4
        await graph.aclose()


@pytest.mark.slow
async def test_a_reader_sees_all_that_was_acknowledged_while_the_owner_writes(
    folder: Path,
) -> None:
    await (await open_ladybug(folder)).aclose()
    process = child("write", folder)
    try:
        reader: LadybugGraph | None = None
        seen = 0
        for _ in range(30):
            acknowledged = int(await asyncio.to_thread(process.stdout.readline))
            reader = reader or await open_ladybug(folder)
            nodes, edges = await reader.everything(PROJECT)
            assert not reader.is_owner
            # Whole transactions only: two nodes and two edges each, and the hub.
            assert len(nodes) - 1 == len(edges)
            assert len(edges) % 2 == 0
            assert len(edges) // 2 >= max(acknowledged + 1, seen)
            seen = len(edges) // 2
        await reader.aclose()
    finally:
        process.kill()
        _, errors = process.communicate()
    assert errors == ""


@pytest.mark.slow
async def test_a_kill_in_the_middle_of_writing_loses_no_acknowledged_write(folder: Path) -> None:
    acknowledged: dict[int, int] = {}
    for run in range(4):
        process = child("write", folder, run)
        for _ in range(15 + 7 * run):
            process.stdout.readline()
        process.kill()
        rest, errors = rest_of(process)
        assert errors == ""
        acknowledged[run] = 15 + 7 * run + rest.count("\n")
        graph = await open_ladybug(folder)
        assert graph.is_owner
        nodes, edges = await graph.everything(PROJECT)
        for earlier, count in acknowledged.items():
            mine = [n for n in nodes if n.node_id.startswith(f"{earlier:02}-")]
            joined = [e for e in edges if e.workflow_id == f"r{earlier}"]
            assert len(mine) == len(joined)
            # One more may have been written whose acknowledgement was not heard.
            assert len(mine) // 2 in (count, count + 1)
            assert len(mine) % 2 == 0
        await graph.aclose()
    assert len(acknowledged) == 4


@pytest.mark.slow
async def test_a_kill_in_the_middle_of_forgetting_loses_nothing_else(folder: Path) -> None:
    graph = await open_ladybug(folder)
    kept = [node("other", f"n{n}") for n in range(500)]
    await graph.add(kept, [edge("other", "n0", n.node_id) for n in kept])
    before = await graph.everything("other")
    await graph.aclose()
    for run in range(4):
        process = child("forget", folder, run)
        for _ in range(2 + run):
            process.stdout.readline()
        process.kill()
        _, errors = process.communicate()
        assert errors == ""
        graph = await open_ladybug(folder)
        assert await graph.everything("other") == before
        assert await graph.forget(PROJECT) in (0, 3)
        assert await graph.nodes(PROJECT) == []
        await graph.aclose()


async def test_forgotten_text_is_not_in_the_file(folder: Path) -> None:
    graph = await open_ladybug(folder)
    names = [f"SECRET-{side}-{'x' * 50}" for side in "ab"]
    await graph.add(
        [node("p", name, workflow_id=name, properties={"t": name}) for name in names],
        [edge("p", name, name, evidence=name, workflow_id=name) for name in names],
    )

    def on_disk(name: str) -> bool:
        return any(name.encode() in path.read_bytes() for path in folder.iterdir())

    assert all(on_disk(name) for name in names)
    await graph.forget("p", workflow_id=names[0])
    assert [on_disk(name) for name in names] == [False, True]
    await graph.forget("p")
    assert not any(on_disk(name) for name in names)
    await graph.aclose()


async def test_a_process_that_reads_does_not_stop_forgetting(folder: Path) -> None:
    graph = await open_ladybug(folder)
    await graph.add(*pair(1, 1))
    with other_process(folder, "reader"):
        await graph.add(*pair(2, 2))
        assert await graph.forget(PROJECT, workflow_id="r1") == 2
        await graph.add(*pair(3, 3))
        assert len(await graph.nodes(PROJECT)) == 5
        await graph.aclose()
        graph = await open_ladybug(folder)
        assert graph.is_owner
        assert len(await graph.nodes(PROJECT)) == 5
    await graph.aclose()


@pytest.mark.slow
async def test_four_processes_prepare_at_once(folder: Path) -> None:
    processes = [child("prepare", folder) for _ in range(4)]
    for process in processes:
        out, errors = await asyncio.to_thread(process.communicate)
        assert (process.returncode, out, errors) == (0, "0\n", "")
    graph = await open_ladybug(folder)
    await graph.add([node("p", "a")], [])
    await graph.aclose()


async def unfinished(made: Path, folder: Path) -> None:
    """A graph whose owner died while it moved its log into the file."""
    owner = await open_ladybug(made)
    await owner.add([node("p", "a")], [])
    folder.mkdir(mode=0o700, parents=True)
    shutil.copy(made / FILE, folder / FILE)
    shutil.copy(made / WAL, folder / f"{WAL}.checkpoint")
    await owner.aclose()


async def test_a_log_that_an_owner_died_of_moving_is_moved_by_who_reads(
    folder: Path, tmp_path: Path
) -> None:
    await unfinished(tmp_path / "made first", folder)
    owner = OwnerLock(folder / LOCK)
    assert owner.take()
    graph = await open_ladybug(folder)
    reading = asyncio.create_task(graph.nodes("p"))
    await asyncio.sleep(0.2)
    assert not reading.done()  # it may be alive, and moving
    owner.release()
    assert [found.node_id for found in await reading] == ["a"]
    assert graph.is_owner
    await graph.aclose()


async def test_a_log_that_is_moved_without_end_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await unfinished(tmp_path / "made first", folder)
    monkeypatch.setattr(ladybug_file, "PATIENCE_S", 0.1)
    owner = OwnerLock(folder / LOCK)
    assert owner.take()
    graph = await open_ladybug(folder)
    with pytest.raises(ServiceUnavailable, match="recovery is pending"):
        await graph.nodes("p")
    await graph.aclose()
    owner.release()


async def test_two_openers_in_one_process_are_an_owner_and_a_reader(folder: Path) -> None:
    owner, reader = await open_ladybug(folder), await open_ladybug(folder)
    assert (owner.is_owner, reader.is_owner) == (True, False)
    for count in range(3):
        await owner.add([node("p", f"n{count}")], [])
        assert len(await reader.nodes("p")) == count + 1
    with pytest.raises(ServiceUnavailable, match=f"owned by process {os.getpid()}"):
        await reader.add([node("p", "b")], [])
    await reader.aclose()
    # Its end frees nothing of the owner's.
    await owner.add([node("p", "c")], [])
    third = await open_ladybug(folder)
    assert not third.is_owner
    await third.aclose()
    await owner.aclose()
    await owner.aclose()


async def test_a_file_that_is_no_graph_is_told_and_left_as_it_is(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "graph.lbug").write_bytes(b"something else " * 1000)
    with pytest.raises(ServiceUnavailable, match=r"graph in .* cannot be used") as caught:
        await open_ladybug(folder)
    assert "\n" not in caught.value.message
    assert (folder / "graph.lbug").read_bytes() == b"something else " * 1000


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceUnavailable, match="Not a directory"):
        await open_ladybug(tmp_path / "file" / "graph")


async def test_what_a_killed_rewrite_left_behind_is_removed(folder: Path) -> None:
    graph = await open_ladybug(folder)
    await graph.add([node("p", "a")], [])
    await graph.aclose()
    (folder / "graph.new.lbug").write_bytes(b"half")
    (folder / "graph.new.lbug.wal").write_bytes(b"half")
    graph = await open_ladybug(folder)
    assert {path.name for path in folder.iterdir()} & {
        "graph.new.lbug",
        "graph.new.lbug.wal",
    } == set()
    assert await graph.forget("p") == 1
    await graph.aclose()

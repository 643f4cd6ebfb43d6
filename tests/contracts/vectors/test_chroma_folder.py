"""A folder of vectors: one owner, nothing left of what was forgotten, whole after a kill."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from processes import rest_of

from mmm_workflows.db.chroma_folder import HEADER, scrub
from mmm_workflows.db.chroma_vectors import (
    MOST_INDEXES,
    STAGED,
    open_chroma_folder,
    open_chroma_server,
)
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.mmm.knowledge import NodeKind, Passage

MODEL = {"model_id": "m@1", "dimension": 384}

WRITER = """
import asyncio, sys
from pathlib import Path
import numpy as np
from mmm_workflows.db.chroma_vectors import open_chroma_folder
from mmm_workflows.mmm.knowledge import NodeKind, Passage

async def main():
    vectors = await open_chroma_folder(Path(sys.argv[1]), model_id="m@1", dimension=384)
    print("open", flush=True)
    rng = np.random.default_rng(0)
    for i in range(int(sys.argv[2]), 10**6):
        some = [
            Passage(passage_id=f"{i}-{j}", text="t", kind=NodeKind.MODEL, node_id="n", where="w",
                    workflow_id=f"run-{i % 2}", project="p")
            for j in range(20)
        ]
        await vectors.add(some, rng.normal(size=(20, 384)))
        print(i, flush=True)

asyncio.run(main())
"""

# Prints how many megabytes are resident after each project that came and went, or came.
BRANDS = """
import asyncio, sys
from pathlib import Path
import numpy as np
from mmm_workflows.allocator import give_back
from mmm_workflows.db.chroma_vectors import open_chroma_folder
from mmm_workflows.mmm.knowledge import NodeKind, Passage

async def main():
    vectors = await open_chroma_folder(Path(sys.argv[1]), model_id="m@1", dimension=384)
    rng = np.random.default_rng(0)
    for i in range(int(sys.argv[2])):
        some = [
            Passage(passage_id=f"{i}-{j}", text="t", kind=NodeKind.MODEL, node_id="n", where="w",
                    workflow_id="run", project=f"p{i}")
            for j in range(200)
        ]
        await vectors.add(some, rng.normal(size=(200, 384)))
        if sys.argv[3] == "forgotten":
            await vectors.forget(f"p{i}")
        give_back()  # as after each run
        print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 10**6)

asyncio.run(main())
"""


def passages(count: int, run: str = "run-1", project: str = "p") -> list[Passage]:
    return [
        Passage(
            passage_id=f"{project}-{run}-{i}",
            text="t",
            kind=NodeKind.MODEL,
            node_id="n",
            where="w",
            workflow_id=run,
            project=project,
        )
        for i in range(count)
    ]


def random_vectors(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 384))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def start(folder: Path, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> list[int]:
    """Kill, and say which writes it was told of."""
    process.send_signal(signal.SIGKILL)
    said, _ = rest_of(process)
    return [int(line) for line in said.split() if line.isdigit()]


async def test_a_second_process_is_told_who_owns_the_folder(tmp_path: Path) -> None:
    writer = start(tmp_path / "v", 0)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(ServiceUnavailable, match=rf"owned by process {writer.pid};") as refused:
            await open_chroma_folder(tmp_path / "v", **MODEL)
        assert refused.value.code == "vectors_owned"
    finally:
        kill(writer)
    # Its end frees the folder.
    await (await open_chroma_folder(tmp_path / "v", **MODEL)).aclose()


async def test_a_folder_that_is_closed_can_be_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
        with pytest.raises(ServiceUnavailable, match=f"owned by process {os.getpid()};"):
            await open_chroma_folder(tmp_path / "v", **MODEL)
        await vectors.aclose()


@pytest.mark.slow
async def test_a_kill_during_writes_loses_no_acknowledged_vector(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "v", set()
    for turn in range(4):
        writer = start(folder, 1000 * turn)
        assert writer.stdout is not None
        for _ in range(4 + 3 * turn):
            writer.stdout.readline()
        acknowledged |= {f"{i}-{j}" for i in kill(writer) for j in range(20)}
        acknowledged |= {f"{1000 * turn + i}-{j}" for i in range(3 + 3 * turn) for j in range(20)}
        vectors = await open_chroma_folder(folder, **MODEL)
        try:
            assert acknowledged <= await vectors.ids("p")
            hits = await vectors.nearest(np.eye(384)[0], project="p", k=10)
            assert len(hits) == 10
        finally:
            await vectors.aclose()
    assert len(acknowledged) > 400


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say")
@pytest.mark.parametrize("brands", ["forgotten", "kept"])
async def test_memory_does_not_grow_with_the_brands_that_were_here(
    tmp_path: Path, brands: str
) -> None:
    count = 3 * MOST_INDEXES
    command = [sys.executable, "-c", BRANDS, str(tmp_path / "v"), str(count), brands]
    said = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    resident = [int(line) for line in said.stdout.split()]
    # Each index takes 3 MB: with all of them there would be 96 more in each third.
    assert len(resident) == count
    assert max(resident[-MOST_INDEXES:]) - max(resident[MOST_INDEXES : 2 * MOST_INDEXES]) < 25


async def test_more_projects_than_may_be_in_memory_are_all_found(tmp_path: Path) -> None:
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    several, found = range(MOST_INDEXES + 3), random_vectors(MOST_INDEXES + 3, 4)
    for i in several:
        await vectors.add(passages(1, project=f"p{i}"), found[[i]])
    for i in several:
        [hit] = await vectors.nearest(found[i], project=f"p{i}", k=1)
        assert hit.passage_id == f"p{i}-run-1-0"
    await vectors.aclose()


@pytest.mark.parametrize("count", [60, 1500])  # Chroma writes its index files from 1,000 on
async def test_forgetting_a_project_leaves_no_vector_on_disk(tmp_path: Path, count: int) -> None:
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    gone, kept = random_vectors(count, 1), random_vectors(30, 2)
    await vectors.add(passages(count, project="gone"), gone)
    await vectors.add(passages(30, project="kept"), kept)
    assert traces(tmp_path, gone) and traces(tmp_path, kept)
    assert names(tmp_path, b"gone-run-1-7")
    await vectors.forget("gone")
    assert not traces(tmp_path, gone)
    assert not names(tmp_path, b"gone-run-1-7")
    assert traces(tmp_path, kept)
    assert len(await vectors.nearest(kept[0], project="kept", k=30)) == 30
    await vectors.aclose()
    assert not traces(tmp_path, gone)


@pytest.mark.parametrize("count", [60, 1500])
async def test_forgetting_a_run_leaves_no_vector_on_disk(tmp_path: Path, count: int) -> None:
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    gone, kept = random_vectors(count, 1), random_vectors(30, 2)
    await vectors.add(passages(count, "run-gone"), gone)
    await vectors.add(passages(30, "run-kept"), kept)
    assert traces(tmp_path, gone)
    await vectors.forget("p", workflow_id="run-gone")
    assert not traces(tmp_path, gone)
    assert not names(tmp_path, b"run-gone")
    hits = await vectors.nearest(kept[3], project="p", k=40)
    assert hits[0].passage_id == "p-run-kept-3" and len(hits) == 30
    await vectors.aclose()


async def test_a_forgetting_that_was_cut_off_is_finished_or_undone(tmp_path: Path) -> None:
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    await vectors.add(passages(3, project="half"), random_vectors(3, 1))
    await vectors.add(passages(3, project="whole"), random_vectors(3, 1))
    await vectors.aclose()
    settings = Settings(_env_file=None, anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path / "v"), settings=settings)
    for collection in client.list_collections():
        if collection.metadata["project"] == "half":
            # Killed while it was copied: the original stands.
            client.create_collection(
                collection.name + STAGED, embedding_function=None, metadata=collection.metadata
            )
        else:
            # Killed before it was renamed: the copy is whole.
            collection.modify(name=collection.name + STAGED)
    client.close()
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    try:
        assert len(await vectors.ids("half")) == 3
        assert len(await vectors.ids("whole")) == 3
    finally:
        await vectors.aclose()


async def test_a_damaged_folder_is_said_and_given_free_again(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "chroma.sqlite3").write_bytes(b"no database at all " * 500)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="only words are searched") as refused:
            await open_chroma_folder(tmp_path / "v", **MODEL)
        assert refused.value.code == "service_unavailable"


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("a file")
    with pytest.raises(ServiceUnavailable, match="MMM_HOME"):
        await open_chroma_folder(tmp_path / "v", **MODEL)


async def test_the_folder_is_private(tmp_path: Path) -> None:
    vectors = await open_chroma_folder(tmp_path / "new" / "v", **MODEL)
    await vectors.aclose()
    assert (tmp_path / "new" / "v").stat().st_mode & 0o777 == 0o700


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:9"):
        await open_chroma_server("http://127.0.0.1:9", **MODEL)


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc", "http://"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CHROMA_URL"):
        await open_chroma_server(url, **MODEL)


def test_places_without_a_vector_are_cleared_and_other_layouts_left_alone(tmp_path: Path) -> None:
    def index(name: str, version: int, elements: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "header.bin").write_bytes(HEADER.pack(version, 0, 4, elements, 8) + b"rest")
        (folder / "data_level0.bin").write_bytes(b"vectors!" * 4)
        (folder / "length.bin").write_bytes(b"long" * 4)
        return folder

    known = index("00000000-0000-4000-8000-000000000001", 1, 3)
    later = index("00000000-0000-4000-8000-000000000002", 2, 3)
    other = index("not of Chroma", 1, 3)
    scrub(tmp_path)
    assert (known / "data_level0.bin").read_bytes() == b"vectors!" * 3 + bytes(8)
    assert (known / "length.bin").read_bytes() == b"long" * 3 + bytes(4)
    for alone in (later, other):
        assert (alone / "data_level0.bin").read_bytes() == b"vectors!" * 4
        assert (alone / "length.bin").read_bytes() == b"long" * 4


async def test_an_index_holds_nothing_of_what_memory_held(tmp_path: Path) -> None:
    def is_clear() -> bool:
        (header,) = tmp_path.rglob("header.bin")
        _, _, places, elements, size = HEADER.unpack(header.read_bytes()[: HEADER.size])
        free = b""
        for name, each in (("data_level0.bin", size), ("length.bin", 4)):
            data = header.with_name(name).read_bytes()
            # The layout that scrub knows; one that is kept has no place that is free.
            assert len(data) in (places * each, elements * each)
            free += data[elements * each :]
        lengths = np.frombuffer(header.with_name("length.bin").read_bytes(), "<f4")[:elements]
        np.testing.assert_allclose(lengths, 1, atol=1e-5)  # none of an element is lost
        return not any(free)

    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    await vectors.add(passages(60), random_vectors(60, 1))
    assert is_clear(), "made"
    await vectors.aclose()
    assert is_clear(), "closed"
    vectors = await open_chroma_folder(tmp_path / "v", **MODEL)
    await vectors.nearest(random_vectors(1, 2)[0], project="p", k=3)
    assert is_clear(), "opened"
    await vectors.add(passages(1500, "run-2"), random_vectors(1500, 3))
    assert is_clear(), "kept"
    await vectors.aclose()
    assert is_clear(), "closed again"


def traces(folder: Path, vectors: np.ndarray) -> int:
    """How many of some vectors lie in any file: by a run of eight of their numbers."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    wanted = [row[40:48].tobytes() for row in vectors.astype(np.float32)[:20]]
    return sum(any(want in content for content in contents) for want in wanted)


def names(folder: Path, name: bytes) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and name in p.read_bytes()]

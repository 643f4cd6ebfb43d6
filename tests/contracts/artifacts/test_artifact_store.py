"""What every artifact store must do; one entry of the fixture per adapter."""

import asyncio
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmm_workflows.db.artifacts import ArtifactStore
from mmm_workflows.db.names import safe_name
from mmm_workflows.db.shared_store import SharedStore
from mmm_workflows.errors import DatasetError, UserError
from mmm_workflows.mmm.copies import MARKS
from mmm_workflows.records import Artifact

from .conftest import KINDS


@pytest.fixture(params=["local", *KINDS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "local":
        return ArtifactStore(tmp_path / "outputs")
    files = request.getfixturevalue("open_files")(request.param)
    shared = SharedStore(files)
    shared.open()
    return ArtifactStore(tmp_path / "outputs", shared)


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "outputs")


async def put(store: ArtifactStore, content: bytes | Path, name="a.csv", **fields: str) -> Artifact:
    of = {"project": "default", "kind": "table", "workflow_id": "run", **fields}
    return await store.put_file(
        of["project"], of["kind"], content, workflow_id=of["workflow_id"], name=name
    )


def a_folder(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def files_below(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file() and p.parent.name != MARKS)


async def test_bytes_and_a_file_of_the_same_content_are_kept_once(
    store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "b.csv").write_bytes(b"x,y\n1,2\n")
    first = await put(store, b"x,y\n1,2\n", workflow_id="one")
    second = await put(store, tmp_path / "b.csv", "b.csv", workflow_id="two")
    assert first.sha256 == hashlib.sha256(b"x,y\n1,2\n").hexdigest()
    assert first.size_bytes == 8
    assert (second.path, second.sha256, second.artifact_id) == (
        first.path,
        first.sha256,
        first.artifact_id,
    )
    assert (first.workflow_id, second.workflow_id) == ("one", "two")
    assert files_below(store.root) == [Path(first.path)]
    assert Path(first.path).read_bytes() == b"x,y\n1,2\n"


async def test_projects_do_not_share_content(store: ArtifactStore) -> None:
    one, two = await put(store, b"x", project="one"), await put(store, b"x", project="two")
    await store.remove(one)
    assert not Path(one.path).exists()
    assert await store.open(two) == Path(two.path)


async def test_many_writers_of_one_content_all_get_it(store: ArtifactStore) -> None:
    content = os.urandom(1 << 16)
    kept = await asyncio.gather(*(put(store, content, f"{i}.bin") for i in range(12)))
    assert len({artifact.path for artifact in kept}) == 1
    assert files_below(store.root) == [Path(kept[0].path)]


async def test_the_hash_of_a_folder_is_that_of_its_files_and_nothing_else(
    store: ArtifactStore, tmp_path: Path
) -> None:
    files = {"a.json": "1", "deep/er/b.npz": "22", "deep.json": "3"}
    one = a_folder(tmp_path / "one", files)
    two = a_folder(tmp_path / "two", dict(reversed(files.items())))
    (two / "empty").mkdir()
    os.utime(two / "a.json", (0, 0))
    kept = [
        await store.put_folder("default", "model", f, workflow_id="run", name="m")
        for f in (one, two)
    ]
    assert kept[0].sha256 == kept[1].sha256
    assert kept[0].size_bytes == 4
    for name, content in files.items():
        assert (Path(kept[0].path) / name).read_text() == content
    await store.verify(kept[0])


@pytest.mark.parametrize(
    "other",
    [
        {"a": "1", "b": "3"},
        {"a": "1", "c": "2"},
        {"a": "1"},
        {"a": "12", "b": ""},
        {"a": "1", "x/b": "2"},
    ],
)
async def test_any_change_of_a_folder_changes_its_hash(
    store: ArtifactStore, tmp_path: Path, other: dict[str, str]
) -> None:
    one = a_folder(tmp_path / "one", {"a": "1", "b": "2"})
    two = a_folder(tmp_path / "two", other)
    kept = [await store.put_folder("default", "m", f, workflow_id="r") for f in (one, two)]
    assert kept[0].sha256 != kept[1].sha256


async def test_a_folder_with_a_link_is_refused_and_leaves_nothing(
    store: ArtifactStore, tmp_path: Path
) -> None:
    folder = a_folder(tmp_path / "one", {"a": "1"})
    (folder / "b").symlink_to("/etc/hostname")
    with pytest.raises(DatasetError, match="link"):
        await store.put_folder("default", "model", folder, workflow_id="run")
    assert files_below(store.root) == []


async def test_a_missing_source_is_named_and_leaves_nothing(
    store: ArtifactStore, tmp_path: Path
) -> None:
    for attempt in (
        put(store, tmp_path / "nothing.csv"),
        store.put_folder("default", "model", tmp_path / "nothing.csv", workflow_id="run"),
    ):
        with pytest.raises(DatasetError, match=r"nothing\.csv") as caught:
            await attempt
        assert caught.value.code == "dataset_not_found"
    assert files_below(store.root) == []


async def test_damage_is_found_and_putting_the_content_again_mends_it(
    local: ArtifactStore,
) -> None:
    artifact = await put(local, b"good")
    Path(artifact.path).write_bytes(b"evil")
    with pytest.raises(UserError, match="has changed") as caught:
        await local.open(artifact)
    assert caught.value.code == "artifact_damaged"
    mended = await put(local, b"good")
    assert mended.path == artifact.path
    await local.verify(artifact)
    assert files_below(local.root) == [Path(artifact.path)]


async def test_a_missing_artifact_is_told_from_a_whole_one(local: ArtifactStore) -> None:
    artifact = await put(local, b"x")
    shutil.rmtree(Path(artifact.path).parent)
    with pytest.raises(UserError, match="missing"):
        await local.verify(artifact)


async def test_removing_leaves_no_file_and_can_be_repeated(store: ArtifactStore) -> None:
    artifact = await put(store, b"x")
    other = await put(store, b"y")
    await store.remove(artifact)
    await store.remove(artifact)
    assert files_below(store.root) == [Path(other.path)]
    await store.remove_project("default")
    assert files_below(store.root) == []


@pytest.mark.parametrize("project", ["..", "", "a/b", ".hidden", "a\0b", "/etc"])
async def test_a_hostile_project_is_refused(
    store: ArtifactStore, project: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        await put(store, b"x", project=project)
    assert caught.value.code == "project_invalid"
    assert files_below(tmp_path) == []


async def test_a_hostile_name_stays_in_its_place(store: ArtifactStore) -> None:
    for number, name in enumerate(["../../up.csv", "/etc/passwd", "C:\\x\\y.csv", "", "."]):
        artifact = await put(store, str(number).encode(), name)
        assert Path(artifact.path).parent.parent.parent == store.root / "default"
        assert Path(artifact.path).read_bytes() == str(number).encode()


async def test_kept_files_can_be_read_by_their_owner_alone(store: ArtifactStore) -> None:
    artifact = await put(store, b"x")
    assert stat.S_IMODE(Path(artifact.path).stat().st_mode) == 0o600
    assert stat.S_IMODE((store.root / "default").stat().st_mode) == 0o700


@given(st.text())
@example("Umsätze 2026.csv")
@example("..")
@example("a/../b")
@example("x" * 300 + ".csv")
@example("con\u202evsc.exe")
def test_a_safe_name_is_one_visible_part_and_is_its_own_safe_name(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe) <= 100
    assert safe.isascii()
    assert not set(safe) & set('/\\:\0*?"<>|') and not safe.startswith(".")
    assert safe_name(safe) == safe


def test_a_safe_name_keeps_what_can_be_kept() -> None:
    assert safe_name("Umsätze 2026.csv") == "Umsatze_2026.csv"
    assert safe_name("x" * 300 + ".csv").endswith("x.csv")

"""Two machines with folders of their own and one store between them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from mmm_workflows.db.artifacts import ArtifactStore
from mmm_workflows.db.shared_store import MARK, SharedStore
from mmm_workflows.errors import ModelFileError, ServiceUnavailable, UserError
from mmm_workflows.mmm.model_files import FILES, open_model, write_manifest
from mmm_workflows.ports import SharedFiles
from mmm_workflows.records import Artifact, Depth
from mmm_workflows.tools.models import Models

KEY = "0123456789abcdef" * 4


class Machine:
    """Its folders lie elsewhere, and are called alike: what one names is moved to the other."""

    def __init__(self, root: Path, files: SharedFiles) -> None:
        shared = SharedStore(files)
        shared.open()
        self.root = root
        self.outputs = ArtifactStore(root / "outputs", shared.below("outputs"))
        self.models = Models(root / "models", shared)

    def here(self, path: str | Path) -> Path:
        """The same path on this machine."""
        path = Path(path)
        root = next(p for p in path.parents if p.name in ("one", "two"))
        return self.root / path.relative_to(root)

    def known(self, artifact: Artifact) -> Artifact:
        return artifact.model_copy(update={"path": str(self.here(artifact.path))})


@pytest.fixture
def one(files: SharedFiles, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "one", files)


@pytest.fixture
def two(files: SharedFiles, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "two", files)


async def put(machine: Machine, content: bytes, name: str = "a.csv") -> Artifact:
    return await machine.outputs.put_file("default", "table", content, workflow_id="run", name=name)


async def test_what_one_keeps_the_other_opens_and_reads_by_its_path(
    one: Machine, two: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "mff"
    (folder / "deep").mkdir(parents=True)
    (folder / "sales.csv").write_text("a,b\n1,2\n")
    (folder / "deep" / "x").write_bytes(b"\0" * 100)
    kept = await one.outputs.put_folder("default", "mff", folder, workflow_id="run")
    table = await put(one, b"x,y\n")
    assert (await two.outputs.open(two.known(table))).read_bytes() == b"x,y\n"
    # By the path of a file in a folder, as a result names it.
    path = two.here(kept.path) / "sales.csv"
    await two.outputs.at_hand([path, Path("/etc/hostname"), Path("what if?")])
    assert path.read_text() == "a,b\n1,2\n"
    await two.outputs.verify(two.known(kept))
    again = await put(two, b"x,y\n", "another name.csv")
    assert again.path == two.known(table).path, "the first name of a content stays its name"


async def test_what_was_damaged_on_a_machine_is_brought_again(one: Machine) -> None:
    kept = await put(one, b"good")
    Path(kept.path).write_bytes(b"evil")
    assert (await one.outputs.open(kept)).read_bytes() == b"good"


async def test_what_was_changed_in_the_store_is_refused_and_never_seen_under_its_name(
    one: Machine, two: Machine, files: SharedFiles, tmp_path: Path
) -> None:
    kept = await put(one, b"good")
    (tmp_path / "evil").write_bytes(b"evil")
    files.put(f"outputs/default/{kept.sha256}/file/a.csv", tmp_path / "evil")
    with pytest.raises(UserError, match="does not have this hash") as caught:
        await two.outputs.at_hand([two.here(kept.path)])
    assert caught.value.code == "artifact_damaged"
    assert [p for p in two.root.rglob("*") if p.is_file()] == []
    await put(one, b"good")
    await two.outputs.verify(two.known(kept))


@pytest.mark.parametrize(
    "name", ["file/..%2f", "file/-a", "file/.hidden", "odd/a.csv", "folder/a.csv", "file/b/c.csv"]
)
async def test_a_name_that_this_program_does_not_give_is_refused(
    two: Machine, files: SharedFiles, tmp_path: Path, name: str
) -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "x").write_bytes(b"x")
    files.put(f"outputs/default/{sha256}/{name}", tmp_path / "x")
    path = two.outputs.root / "default" / sha256[:2] / sha256 / "a.csv"
    with pytest.raises(UserError, match="does not write") as caught:
        await two.outputs.at_hand([path])
    assert caught.value.code == "artifact_damaged"
    assert [p for p in two.root.rglob("*") if p.is_file()] == []


def _pack(path: Path, name: str, *, mode: int = 0o100600, method: int = zipfile.ZIP_STORED) -> Path:
    told = zipfile.ZipInfo(name)
    told.external_attr, told.compress_type = mode << 16, method
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(told, b"x" * 100)
    return path


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("../up", {}), ("/etc/up", {}), ("a/../../up", {}), ("C:up", {}), ("a\\up", {}),
        ("link", {"mode": 0o120777}), ("bomb", {"method": zipfile.ZIP_DEFLATED}), ("folder/", {}),
    ],
)  # fmt: skip
async def test_a_packed_folder_cannot_write_beside_its_place(
    one: Machine, files: SharedFiles, tmp_path: Path, name: str, how: dict[str, int]
) -> None:
    packed = _pack(tmp_path / "packed", name, **how)
    files.put(f"models/default/{KEY[:16]}/folder/{KEY[:16]}.zip", packed)
    with pytest.raises(UserError, match="does not write"):
        await one.models.find(one.models.place("default", KEY))
    assert [p for p in one.root.rglob("*") if p.is_file()] == []
    assert not (tmp_path / "up").exists()


def a_model(models: Models, *, project: str = "default", key: str = KEY) -> Path:
    folder = models.place(project, KEY)
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(name.encode() * 1000)
    write_manifest(
        folder, project=project, key=key, mff_sha256="0" * 64, seed=1, depth=Depth.QUICK,
        versions={},
    )  # fmt: skip
    return folder


async def test_a_model_of_one_is_found_and_verified_by_the_other(
    one: Machine, two: Machine
) -> None:
    made = a_model(one.models)
    wanted = two.models.place("default", KEY)
    assert not await two.models.find(wanted)
    await one.models.share(made)
    await one.models.share(made)
    await two.models.at_hand([wanted, two.root / "elsewhere", two.models.root])
    open_model(wanted).verify()
    (wanted / FILES[0]).write_bytes(b"damaged")
    assert await two.models.find(wanted), "a damaged copy is brought again"
    open_model(wanted).verify()


async def test_another_model_under_the_key_of_one_is_refused(one: Machine, two: Machine) -> None:
    await one.models.share(a_model(one.models, key="f" * 64))
    with pytest.raises(ModelFileError, match="is the model"):
        await two.models.find(two.models.place("default", KEY))
    assert not two.models.place("default", KEY).exists()


async def test_forgetting_removes_what_the_store_has_too(
    one: Machine, two: Machine, files: SharedFiles
) -> None:
    kept, other = await put(one, b"x"), await put(one, b"y")
    made = a_model(one.models)
    await one.models.share(made)
    await two.outputs.at_hand([two.here(kept.path), two.here(other.path)])
    await two.models.at_hand([two.here(made)])
    assert two.here(kept.path).exists() and two.here(made).exists()
    await one.outputs.remove(kept)
    await one.models.remove(made)
    assert [e.name for e in files.entries("outputs")] == [
        f"outputs/default/{other.sha256}/file/a.csv"
    ]
    assert files.entries("models") == []
    # The copies that the other machine has go when it looks, and nothing else does.
    (two.root / "outputs" / "default" / "of this machine alone").mkdir(parents=True)
    await two.outputs.forget_gone()
    await two.models.forget_gone()
    assert [p for p in two.root.rglob("*") if p.is_file()] == [
        *(two.root / "outputs").rglob(f".shared/{other.sha256}"), two.here(other.path),
    ]  # fmt: skip
    assert (two.root / "outputs" / "default" / "of this machine alone").is_dir()
    await two.outputs.at_hand([two.here(kept.path)])
    assert not two.here(kept.path).exists()
    await one.models.share(a_model(one.models))
    await one.outputs.remove_project("default")
    await one.models.remove_project("default")
    assert files.entries("outputs") == files.entries("models") == []


async def test_another_store_at_the_address_takes_nothing_from_a_machine(
    one: Machine, files: SharedFiles, tmp_path: Path
) -> None:
    kept, made = await put(one, b"x"), a_model(one.models)
    await one.models.share(made)
    for part in ("outputs", "models"):
        files.remove(part)
    mark = tmp_path / "mark"
    mark.write_text('{"schema_version": 1, "store_id": "another"}')
    files.put(MARK, mark)
    with pytest.raises(ServiceUnavailable, match="is another one"):
        await one.outputs.forget_gone()
    # Started again, it is used as it is.
    again = Machine(one.root, files)
    await again.outputs.forget_gone()
    await again.models.forget_gone()
    assert Path(kept.path).read_bytes() == b"x"
    assert made.is_dir()


async def test_what_was_kept_before_there_was_a_store_is_shared_under_its_first_name(
    one: Machine, two: Machine
) -> None:
    before = ArtifactStore(one.root / "outputs")
    first = await before.put_file("default", "table", b"x", workflow_id="run", name="first.csv")
    again = await put(one, b"x", "second.csv")
    assert again.path == first.path
    await two.outputs.at_hand([two.here(first.path)])
    assert two.here(first.path).read_bytes() == b"x"

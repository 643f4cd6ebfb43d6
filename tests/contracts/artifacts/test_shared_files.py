"""What every store that machines share must do, and what is said where one cannot be used."""

from __future__ import annotations

import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import fsspec
import pytest

from mmm_workflows.bootstrap import examine_services, open_services, sharing
from mmm_workflows.bootstrap.readiness import Readiness, one_at_a_time
from mmm_workflows.bootstrap.sharing import open_store, shared_store
from mmm_workflows.config import Settings
from mmm_workflows.db import fsspec_files, shared_folder
from mmm_workflows.db.fsspec_files import open_fsspec_files
from mmm_workflows.db.shared_folder import FolderFiles
from mmm_workflows.db.shared_store import MARK, SharedStore
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.ports import SharedFiles
from mmm_workflows.tools.dask_meeting import PART

from .conftest import BUCKET, set_s3


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / secrets.token_hex(4)
    path.write_bytes(content)
    return path


def test_what_was_put_is_found_and_got_by_its_name_until_it_is_removed(
    files: SharedFiles, tmp_path: Path
) -> None:
    assert files.entries("a") == []
    for name, content in {"a/b/one": b"1", "a/b/two": b"", "a/bc/three": b"333"}.items():
        files.put(name, a_file(tmp_path, content))
    found = files.entries("a")
    assert [(e.name, e.size_bytes) for e in found] == [
        ("a/b/one", 1), ("a/b/two", 0), ("a/bc/three", 3),
    ]  # fmt: skip
    assert all(abs(datetime.now(UTC) - e.changed_at) < timedelta(minutes=5) for e in found)
    assert [e.name for e in files.entries("a/b")] == ["a/b/one", "a/b/two"]
    assert files.get("a/bc/three", tmp_path / "got") and (tmp_path / "got").read_bytes() == b"333"
    assert not files.get("a/b/nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    files.remove("a/b")
    files.remove("a/b")
    assert [e.name for e in files.entries("a")] == ["a/bc/three"]


def test_a_file_is_seen_whole_or_not_at_all_while_it_is_written_again_and_again(
    files: SharedFiles, tmp_path: Path
) -> None:
    sizes = (300_000, 400_000)
    sources = [a_file(tmp_path, bytes([i]) * size) for i, size in enumerate(sizes)]
    files.put("a/x", sources[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(8):
            files.put("a/x", sources[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set() or not seen:
        assert {e.size_bytes for e in files.entries("a")} <= set(sizes)
        if files.get("a/x", tmp_path / "got"):
            got = (tmp_path / "got").read_bytes()
            assert len(got) == sizes[got[0]] and set(got) == {got[0]}
            seen += 1
    writer.join()
    assert [e.name for e in files.entries("a")] == ["a/x"]


def test_a_store_is_marked_once_and_one_of_a_newer_format_is_refused(
    files: SharedFiles, tmp_path: Path
) -> None:
    store = SharedStore(files)
    with pytest.raises(ServiceUnavailable, match="has lost its file"):
        store.check()
    store.open()
    store.open()
    store.check()
    files.put(MARK, a_file(tmp_path, b'{"schema_version": 2}'))
    with pytest.raises(ServiceUnavailable, match="has format 2") as caught:
        store.open()
    assert caught.value.code == "store_schema"


def test_two_that_remove_the_same_at_once_both_come_through(
    files: SharedFiles, tmp_path: Path
) -> None:
    source = a_file(tmp_path, b"x")
    for number in range(4):
        for i in range(20):
            files.put(f"a{number}/b/{i}", source)
        both = threading.Barrier(2)

        def remove(below: str = f"a{number}", both: threading.Barrier = both) -> None:
            both.wait()
            files.remove(below)

        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(remove) for _ in range(2)]:
                done.result()
        files.remove(f"a{number}")
        assert files.entries(f"a{number}") == []


@pytest.mark.parametrize("kind", [shared_folder, fsspec_files])
def test_what_a_writer_left_that_died_is_swept_a_day_later(
    kind: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_folder = kind is shared_folder
    files = FolderFiles(tmp_path) if is_folder else open_fsspec_files(f"file://{tmp_path}")
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "left").write_bytes(b"half")
    files.sweep()
    assert (tmp_path / ".partial" / "left").exists()
    monkeypatch.setattr(kind, "PARTIAL_KEPT", timedelta())
    files.sweep()
    assert not (tmp_path / ".partial" / "left").exists()


async def test_what_a_caller_of_fits_left_that_was_killed_is_removed_a_week_later(
    files: SharedFiles, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fit").mkdir()
    data = a_file(tmp_path / "fit", b"date,TV,Sales")
    store = SharedStore(files)
    store.below(PART).put("aa", data)
    store.below(PART).put("bb", data.parent)
    store.below("uploads").put("default/cc", data)
    monkeypatch.setattr(sharing, "shared_store", lambda _: store)
    await open_store(settings)
    assert [store.below(PART).has(place) for place in ("aa", "bb")] == [True, True]
    monkeypatch.setattr(sharing, "FITS_KEPT", timedelta(seconds=-60))
    await open_store(settings)
    assert [store.below(PART).has(place) for place in ("aa", "bb")] == [False, False]
    assert store.below("uploads").has("default/cc")
    store.check()


@pytest.mark.parametrize("scheme", ["", "file://"])
async def test_a_folder_that_is_not_there_is_said_and_never_made(
    scheme: str, settings: Settings, tmp_path: Path
) -> None:
    gone = tmp_path / "not mounted"
    used = settings.model_copy(update={"artifacts_url": f"{scheme}{gone}"})
    with pytest.raises(ServiceUnavailable, match="ARTIFACTS_URL") as caught:
        await open_store(used)
    assert "not mounted" in caught.value.message
    assert "ake it" in caught.value.message or "Make the" in caught.value.message
    assert not gone.exists()


def test_a_folder_that_goes_away_later_is_said_and_nothing_is_written_in_its_stead(
    tmp_path: Path,
) -> None:
    root = tmp_path / "mounted"
    root.mkdir()
    files = FolderFiles(root)
    root.rmdir()
    for ask in (
        lambda: files.put("a", a_file(tmp_path, b"x")),
        lambda: files.get("a", tmp_path / "b"),
        lambda: files.entries("a"),
        lambda: files.remove("a"),
    ):
        with pytest.raises(ServiceUnavailable, match="Mount or make it"):
            ask()
    assert not root.exists()


async def test_a_bucket_that_is_not_there_is_said_and_never_made(
    settings: Settings, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_s3(monkeypatch, s3_address)
    used = settings.model_copy(update={"artifacts_url": "s3://no-such-bucket/mmm"})
    with pytest.raises(ServiceUnavailable, match=r"s3://no-such-bucket/mmm .*is not there"):
        await open_store(used)
    assert not fsspec.filesystem("s3", skip_instance_cache=True).exists("no-such-bucket")


async def test_a_host_that_is_away_is_said_within_seconds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_s3(monkeypatch, "http://127.0.0.1:1")
    used = settings.model_copy(update={"artifacts_url": f"s3://{BUCKET}/mmm"})
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await open_store(used)


async def test_refused_access_says_what_to_look_at(
    settings: Settings, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_s3(monkeypatch, s3_address)
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        f'"Action": "s3:*", "Resource": ["arn:aws:s3:::{BUCKET}/refused/*"]}}]}}'
    )
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.call_s3("put_bucket_policy", Bucket=BUCKET, Policy=policy)
    try:
        used = settings.model_copy(update={"artifacts_url": f"s3://{BUCKET}/refused"})
        with pytest.raises(ServiceUnavailable, match="refuses access") as caught:
            await open_store(used)
    finally:
        system.call_s3("delete_bucket_policy", Bucket=BUCKET)
    assert "AWS_ACCESS_KEY_ID" in caught.value.message


def test_a_protocol_that_nobody_knows_and_a_package_that_is_absent_say_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(url: str) -> None:
        shared_store(settings.model_copy(update={"artifacts_url": url}))

    with pytest.raises(SettingsError, match="does not know") as unknown:
        store("nonsense://user:secret-word@host/x")
    assert "secret-word" not in unknown.value.message
    with pytest.raises(SettingsError, match="seen by this process alone"):
        store("memory://x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(ServiceUnavailable, match=r"pip install 'mmm-workflows\[s3\]'") as caught:
        store(f"s3://{BUCKET}")
    assert caught.value.code == "service_not_supported"
    monkeypatch.setattr(sharing, "find_spec", lambda name: None)
    with pytest.raises(ServiceUnavailable, match=r"'mmm-workflows\[artifacts\]'"):
        store("file://x")


def test_a_folder_needs_no_fsspec(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "find_spec", lambda name: None)
    store = shared_store(settings.model_copy(update={"artifacts_url": str(tmp_path)}))
    assert store is not None
    store.open()
    store.check()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [MARK]


async def test_a_store_that_goes_away_is_named_among_what_is_needed(
    settings: Settings, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    used = settings.model_copy(update={"artifacts_url": str(store)})
    assert (await examine_services(used))["ARTIFACTS_URL"] == f"a store at {store}"
    async with open_services(used) as services:
        found = {d.name: d for d in await services.readiness.examine()}
        assert found["artifacts"].ok
        (store / MARK).unlink()
        services.readiness._until = 0
        found = {d.name: d for d in await services.readiness.examine()}
        assert found["database"].ok
        assert (found["artifacts"].ok, found["artifacts"].needed) == (False, True)
        assert "lost its file" in (found["artifacts"].why or "")


async def test_while_the_question_whether_a_store_answers_hangs_no_second_one_is_asked() -> None:
    asked, go_on = [], threading.Event()

    def check() -> None:
        asked.append(1)
        go_on.wait(30)

    readiness = Readiness({"artifacts": one_at_a_time(check)}, timeout_s=0.05, kept_s=0)
    for _ in range(3):
        (found,) = await readiness.examine()
        assert not found.ok and "no answer within" in (found.why or "")
    go_on.set()
    assert asked == [1]

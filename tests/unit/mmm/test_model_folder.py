"""A model folder is whole or refused, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmm_workflows.errors import ModelFileError
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import (
    BASELINE,
    DRAWS,
    FILES,
    MANIFEST,
    MODEL_SCHEMA_VERSION,
    RESULTS,
    SPEC,
    WITHOUT_BASELINE,
    open_model,
    publish,
    read_baseline,
    read_draws,
    write_baseline,
    write_draws,
    write_manifest,
)
from mmm_workflows.records import Depth


@pytest.fixture
def folder(tmp_path: Path, draws: Draws) -> Path:
    """A folder whose files need only be whole: their content is not read here."""
    path = tmp_path / "model"
    path.mkdir()
    for name in FILES:
        (path / name).write_bytes(f"content of {name}".encode())
    write_draws(path / DRAWS, draws)
    write_manifest(
        path, project="mine", key="k", mff_sha256="0" * 64, seed=1, depth=Depth.QUICK, versions={}
    )
    return path


def test_a_whole_folder_is_verified(folder: Path) -> None:
    open_model(folder).verify()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.write_bytes(b""),
    ],
    ids=["lost", "cut", "one bit", "empty"],
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Callable[[Path], object]) -> None:
    damage(folder / name)
    with pytest.raises(ModelFileError, match=name) as caught:
        open_model(folder).verify()
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize(
    ("read", "name"),
    [("spec", SPEC), ("results", RESULTS), ("draws", DRAWS), ("baseline", BASELINE)],
)
def test_no_file_is_read_that_was_not_verified(folder: Path, read: str, name: str) -> None:
    (folder / name).write_bytes(b"other")
    with pytest.raises(ModelFileError) as caught:
        getattr(open_model(folder), read)()
    assert caught.value.code == "model_damaged"


def _manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("version", [MODEL_SCHEMA_VERSION + 1, 0, None, "1"])
def test_another_format_is_refused_by_its_number(folder: Path, version: object) -> None:
    _manifest(folder, schema_version=version)
    with pytest.raises(ModelFileError, match=f"format {version}") as caught:
        open_model(folder)
    assert caught.value.code == "model_schema"


@pytest.fixture
def first_format(folder: Path) -> Path:
    """A folder as the first format was: it vouches for no baseline, because it has none."""
    (folder / BASELINE).unlink()
    hashes = json.loads((folder / MANIFEST).read_text())["sha256"]
    del hashes[BASELINE]
    _manifest(folder, schema_version=WITHOUT_BASELINE, sha256=hashes)
    return folder


def test_a_folder_of_the_first_format_answers_and_does_not_forecast(
    first_format: Path, draws: Draws
) -> None:
    model = open_model(first_format)
    model.verify()
    np.testing.assert_array_equal(model.draws().beta, draws.beta)
    with pytest.raises(ModelFileError, match="Run Modeling again") as caught:
        model.baseline()
    assert caught.value.code == "model_schema"


def test_the_first_format_with_a_baseline_is_none(folder: Path) -> None:
    _manifest(folder, schema_version=WITHOUT_BASELINE)
    with pytest.raises(ModelFileError) as caught:
        open_model(folder)
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"schema_version": 1}'])
def test_a_manifest_that_cannot_be_read_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        open_model(folder)
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize("missing", FILES)
def test_a_manifest_that_leaves_a_file_out_does_not_vouch_for_it(
    folder: Path, missing: str
) -> None:
    hashes = json.loads((folder / MANIFEST).read_text())["sha256"]
    del hashes[missing]
    _manifest(folder, sha256=hashes)
    with pytest.raises(ModelFileError) as caught:
        open_model(folder).verify()
    assert caught.value.code == "model_damaged"


def test_a_manifest_that_points_out_of_its_folder_is_refused(folder: Path) -> None:
    hashes = json.loads((folder / MANIFEST).read_text())["sha256"]
    _manifest(folder, sha256={**hashes, "../outside": "0" * 64})
    with pytest.raises(ModelFileError) as caught:
        open_model(folder).verify()
    assert caught.value.code == "model_damaged"


def test_there_is_no_model_before_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="Run Modeling first") as caught:
        open_model(tmp_path / "none")
    assert caught.value.code == "model_not_found"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match=MANIFEST):
        open_model(tmp_path / "empty")


def test_draws_come_back_to_the_last_bit(tmp_path: Path, draws: Draws) -> None:
    write_draws(tmp_path / DRAWS, draws)
    back = read_draws(tmp_path / DRAWS)
    for name, value in vars(draws).items():
        assert np.array_equal(getattr(back, name), value), name


@pytest.mark.parametrize("student", [False, True])
def test_a_baseline_comes_back_to_the_last_bit(tmp_path: Path, student: bool) -> None:
    random = np.random.default_rng(1)
    baseline = Baseline(
        intercept=random.random(9), drivers=random.random((9, 2)), waves=np.empty((9, 0)),
        sigma=random.random(9), nu=random.random(9) if student else None,
        target=random.random(30), controls=random.random((30, 1)),
    )  # fmt: skip
    write_baseline(tmp_path / BASELINE, baseline)
    back = read_baseline(tmp_path / BASELINE)
    for name, value in vars(baseline).items():
        np.testing.assert_array_equal(getattr(back, name), value)


def test_draws_with_a_pickle_are_not_loaded(tmp_path: Path, draws: Draws) -> None:
    write_draws(tmp_path / DRAWS, draws)
    with np.load(tmp_path / DRAWS, allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays["alpha"] = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / DRAWS, **arrays)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_draws(tmp_path / DRAWS)


def test_publishing_is_one_rename_and_the_second_keeps_the_firsts(
    folder: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.partial", tmp_path / "b.partial"
    final = tmp_path / "final"
    for partial in (first, second):
        partial.mkdir()
        for path in folder.iterdir():
            (partial / path.name).write_bytes(path.read_bytes())
    (first / "mark").touch()
    publish(first, final)
    publish(second, final)
    assert (final / "mark").exists()
    assert not first.exists() and not second.exists()
    open_model(final).verify()

"""What is being made is hidden, and swept when its maker is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmm_workflows.mmm.partial_folders import owner_name, partial_folder, sweep


def test_folders_of_dead_processes_are_swept_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    dead = tmp_path / f".key.{owner_name(process.pid)}.partial"
    alive = tmp_path / f".key.{owner_name(os.getpid())}.partial"
    elsewhere = tmp_path / f".key.0123abcd-{process.pid}.partial"
    other = tmp_path / "model"
    for path in (dead, alive, elsewhere, other):
        path.mkdir()
    sweep(tmp_path)
    assert not dead.exists()
    assert alive.exists() and elsewhere.exists() and other.exists()


def test_a_folder_that_was_not_finished_is_gone_and_a_finished_one_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), partial_folder(tmp_path) as broken:
        (broken / "half").touch()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
    with partial_folder(tmp_path) as one, partial_folder(tmp_path) as two:
        assert one != two
        one.rename(tmp_path / "done")
    assert [p.name for p in tmp_path.iterdir()] == ["done"]

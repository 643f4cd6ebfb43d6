"""Packages in a private home are reached through descriptors, and stay reached through them."""

from __future__ import annotations

import os
from pathlib import Path

from mmm_workflows.tools.sandbox.guard import DESCRIPTORS, through, unless_held


def test_a_path_through_a_descriptor_is_not_resolved_to_where_nobody_can_walk(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    descriptor = os.open(tmp_path, os.O_PATH)
    try:
        held = f"{DESCRIPTORS}{descriptor}/real"
        assert os.path.realpath(held) == str(tmp_path / "real"), "the kernel's link leads there"
        assert unless_held(os.path.realpath, held) == held
    finally:
        os.close(descriptor)
    assert unless_held(os.path.realpath, tmp_path / "link") == str(tmp_path / "real")


def test_a_path_goes_through_the_nearest_folder_that_is_held() -> None:
    held = {"/a": "/proc/self/fd/3", "/a/b": "/proc/self/fd/4"}
    assert through("/a/b/c", held) == "/proc/self/fd/4/c"
    assert through("/a/bc", held) == "/proc/self/fd/3/bc"
    assert through("/other", held) == "/other"

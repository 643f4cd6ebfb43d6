"""Output files are taken as they are or not at all; nothing about them is believed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.tools.sandbox.collector import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_NAMED,
    MAX_TOTAL_BYTES,
    PNG_SIGNATURE,
    Collected,
    collect,
    is_plain_name,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "good.csv").write_text("a\n1\n", encoding="utf-8")
    return folder


def left_out(collected: Collected) -> dict[str, str]:
    assert [file.name for file in collected.files] == ["good.csv"]
    return {item.name: item.reason for item in collected.left_out}


def test_links_are_not_followed(out: Path) -> None:
    (out / "link.txt").symlink_to("/etc/passwd")
    (out / "loop.txt").symlink_to("loop.txt")
    (out / "inside.csv").symlink_to("good.csv")
    assert left_out(collect(out)) == dict.fromkeys(
        ("inside.csv", "link.txt", "loop.txt"), "unreadable"
    )


def test_a_second_name_of_a_file_is_not_taken(out: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret", encoding="utf-8")
    os.link(tmp_path / "private", out / "linked.txt")
    assert left_out(collect(out)) == {"linked.txt": "linked"}


def test_what_is_no_regular_file_is_neither_taken_nor_waited_for(out: Path) -> None:
    os.mkfifo(out / "pipe.txt")
    (out / "folder.txt").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(out / "socket.txt"))
        assert left_out(collect(out)) == {
            "folder.txt": "not_a_file", "pipe.txt": "not_a_file", "socket.txt": "unreadable",
        }  # fmt: skip


def test_a_file_that_claims_a_terabyte_is_not_read(out: Path) -> None:
    with (out / "sparse.csv").open("wb") as file:
        file.truncate(1 << 40)
    assert left_out(collect(out)) == {"sparse.csv": "too_large"}


def test_all_files_together_have_a_limit(out: Path) -> None:
    (out / "good.csv").unlink()
    for number in range(4):
        (out / f"{number}.txt").write_bytes(b"x" * (MAX_FILE_BYTES - 1))
    collected = collect(out)
    assert sum(len(file.content) for file in collected.files) <= MAX_TOTAL_BYTES
    assert [file.name for file in collected.files] == ["0.txt", "1.txt"]
    assert {item.reason for item in collected.left_out} == {"too_large"}


def test_many_files_are_cut_and_few_of_the_rest_are_named(out: Path) -> None:
    for number in range(100):
        (out / f"{number:03}.txt").write_text("x", encoding="utf-8")
    collected = collect(out)
    assert len(collected.files) == MAX_FILES
    assert len(collected.left_out) == MAX_NAMED


def test_a_picture_must_begin_as_one(out: Path) -> None:
    (out / "good.png").write_bytes(PNG_SIGNATURE + b"rest")
    (out / "script.png").write_text("<svg onload=alert(1)>", encoding="utf-8")
    collected = collect(out)
    assert [file.name for file in collected.files] == ["good.csv", "good.png"]
    assert [item.reason for item in collected.left_out] == ["content"]


@pytest.mark.parametrize("replace", ["file", "link", "nothing"])
def test_an_output_folder_that_is_none_gives_nothing(replace: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if replace == "file":
        out.write_text("x", encoding="utf-8")
    elif replace == "link":
        out.symlink_to("/etc")
    collected = collect(out)
    assert collected.files == ()
    assert [item.reason for item in collected.left_out] == ["unreadable"]


@given(st.text(alphabet="aB1_.-+ /\\\n\0é\u202e", max_size=120))
def test_a_plain_name_is_one_visible_part_of_a_path(name: str) -> None:
    if is_plain_name(name):
        assert Path(name).name == name
        assert name.isascii()
        assert name.isprintable()
        assert len(name) <= 100
        assert name[0] not in ".- "

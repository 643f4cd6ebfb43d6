"""The files that a job left in its output folder, taken without trusting anything about them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from mmm_workflows.tools.sandbox.limits import MIB

MAX_FILES: Final = 20
MAX_FILE_BYTES: Final = 10 * MIB
MAX_TOTAL_BYTES: Final = 20 * MIB
MAX_NAMED: Final = 20
# No SVG and no HTML: both carry scripts into the page that shows them.
MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".png": "image/png",
}
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .()+-]{0,99}")

type Reason = Literal[
    "name", "type", "not_a_file", "linked", "too_large", "too_many", "content", "unreadable"
]


class OutputFile(BaseModel):
    """A file that a job made; its content agrees with its type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    media_type: str
    content: bytes


class LeftOut(BaseModel):
    """An entry of the output folder that was not taken; its name as printable ASCII."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: Reason


class Collected(BaseModel):
    """What was taken and what was not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[OutputFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class _Refusal(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def is_plain_name(name: str) -> bool:
    """Whether the name is safe in a folder, a header, a page and on every system."""
    return PLAIN_NAME.fullmatch(name) is not None and not name.endswith((" ", "."))


def collect(out: Path) -> Collected:
    """Read the files of a folder that a job has written to; the job has ended.

    Folders inside are not entered. At most ``MAX_NAMED`` of those left out are named.
    """
    try:
        folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Collected(left_out=(LeftOut(name=out.name, reason="unreadable"),))
    files: list[OutputFile] = []
    left_out: list[LeftOut] = []
    try:
        for name in _names(folder):
            try:
                files.append(_take(folder, name, files))
            except _Refusal as refusal:
                left_out.append(LeftOut(name=ascii(name)[1:-1][:100], reason=refusal.reason))
    finally:
        os.close(folder)
    return Collected(files=tuple(files), left_out=tuple(left_out[:MAX_NAMED]))


def _names(folder: int) -> Iterator[str]:
    yield from sorted(os.listdir(folder))


def _take(folder: int, name: str, taken: list[OutputFile]) -> OutputFile:
    if not is_plain_name(name):
        raise _Refusal("name")
    media_type = MEDIA_TYPES.get(Path(name).suffix.lower())
    if media_type is None:
        raise _Refusal("type")
    if len(taken) >= MAX_FILES:
        raise _Refusal("too_many")
    room = min(MAX_FILE_BYTES, MAX_TOTAL_BYTES - sum(len(file.content) for file in taken))
    content = _read(folder, name, room)
    if not _is_what_it_says(content, media_type):
        raise _Refusal("content")
    return OutputFile(name=name, media_type=media_type, content=content)


def _read(folder: int, name: str, room: int) -> bytes:
    """The bytes of a regular file with one name; a link, a pipe or a device is never followed."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        raise _Refusal("unreadable") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Refusal("not_a_file")
        if found.st_nlink != 1:
            raise _Refusal("linked")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(room + 1)
    finally:
        os.close(descriptor)
    if len(content) > room:
        raise _Refusal("too_large")
    return content


def _is_what_it_says(content: bytes, media_type: str) -> bool:
    if media_type == "image/png":
        return content.startswith(PNG_SIGNATURE)
    try:
        return "\0" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False

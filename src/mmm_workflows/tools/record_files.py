"""The files of a record: bounded when read, whole when written, never outside of its folder."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from mmm_workflows.errors import UserError

LONGEST_INDEX: Final = 16_000_000
LONGEST_TEXT: Final = 16_000_000
LOCK: Final = ".lock"


def damaged(path: Path, found: str) -> UserError:
    """The error for a file of a record that is not as it was written."""
    return UserError(
        f"The record {path} {found}. Put the file back as it was, or record it again.",
        code="artifact_damaged",
    )


def read_file(folder: Path, name: str, *, longest: int) -> bytes | None:
    """The bytes of a plain file of a folder; ``None`` when it is not there.

    Raises:
        UserError: It is a link, no file, or too long (``artifact_damaged``).
    """
    path = folder / name
    try:
        # A link could lead out of the record, and a pipe could be waited for without end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damaged(path, f"cannot be opened ({error.strerror})") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise damaged(path, "is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(longest + 1)
    finally:
        os.close(descriptor)
    if len(data) > longest:
        raise damaged(path, f"is longer than {longest:,} bytes")
    return data


def write_file(folder: Path, name: str, data: bytes) -> None:
    """Put a file into a folder; who reads sees the old one or the new one, never a part."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".", suffix=".partial", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(folder / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def subfolder(folder: Path, name: str) -> Path:
    """A folder of a record.

    Raises:
        UserError: It is a link, which could lead out of the record (``artifact_damaged``).
    """
    path = folder / name
    if path.is_symlink():
        raise damaged(path, "is a link, not a folder")
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against every other writer, here and in other processes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

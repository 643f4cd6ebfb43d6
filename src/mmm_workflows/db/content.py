"""The hash of a file or folder, and copies that are hashed while they are made."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from mmm_workflows.errors import DatasetError

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Content:
    """What a file or folder holds: its hash, and its bytes in all."""

    sha256: str
    size_bytes: int


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def copied(source: Path | bytes, target: Path) -> Content:
    """Copy a file, bytes or a folder to a new path, and say what it holds.

    Raises:
        DatasetError: There is no such file (``dataset_not_found``), or a folder holds something
            else than files and folders, such as a link (``dataset_unreadable``).
    """
    if isinstance(source, Path) and source.is_dir():
        return _copy_folder(source, target)
    return _copy_file(source, target)


def _copy_file(source: Path | bytes, target: Path) -> Content:
    digest = hashlib.sha256()
    with target.open("xb") as written:
        if isinstance(source, bytes):
            digest.update(source)
            written.write(source)
        else:
            _pour(source, digest, written)
        written.flush()
        os.fsync(written.fileno())
        size = written.tell()
    target.chmod(0o600)
    return Content(digest.hexdigest(), size)


def _copy_folder(source: Path, target: Path) -> Content:
    target.mkdir(mode=0o700)
    parts: dict[str, Content] = {}
    for path in files_in(source):
        relative = path.relative_to(source)
        copy = target / relative
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        parts[relative.as_posix()] = _copy_file(path, copy)
    return _combined(parts)


def _pour(source: Path, digest: _Digest, written: BinaryIO | None = None) -> int:
    """Feed a file to a hash and, if there is one, to a copy; the number of its bytes."""
    if not source.is_file():
        raise DatasetError(
            f"There is no file {source} to keep. Give one that exists.", code="dataset_not_found"
        )
    size = 0
    with source.open("rb") as read:
        while chunk := read.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if written is not None:
                written.write(chunk)
    return size


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, ordered by their paths in it.

    Raises:
        DatasetError: It holds something else than files and folders (``dataset_unreadable``).
    """
    found = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DatasetError(
                f"{path} is a link or a device; a folder to keep may hold files and folders "
                "only. Replace it by a copy of what it points at.",
                code="dataset_unreadable",
            )
    return [path for path in found if path.is_file()]


def _combined(parts: dict[str, Content]) -> Content:
    # A line per file; the head keeps a folder apart from a file that holds these very lines.
    lines = [f"{name}\0{part.size_bytes}\0{part.sha256}\n" for name, part in parts.items()]
    whole = hashlib.sha256("".join(["folder 1\n", *lines]).encode("utf-8", "surrogateescape"))
    return Content(whole.hexdigest(), sum(part.size_bytes for part in parts.values()))


def is_whole(path: Path, sha256: str) -> bool:
    """Whether what lies at a path is there and has this hash."""
    try:
        return _measure(path).sha256 == sha256
    except (DatasetError, OSError):
        return False


def _measure(path: Path) -> Content:
    if path.is_dir():
        return _combined({p.relative_to(path).as_posix(): _measure(p) for p in files_in(path)})
    digest = hashlib.sha256()
    size = _pour(path, digest)
    return Content(digest.hexdigest(), size)

"""Artifacts: immutable files and folders, each stored once under the hash of its content."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from mmm_workflows.errors import DatasetError, UserError
from mmm_workflows.mmm.partial_folders import partial_folder
from mmm_workflows.records import Artifact

CHUNK_BYTES: Final = 1 << 20
NAME_LENGTH: Final = 100
PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class _Content:
    sha256: str
    size_bytes: int


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


class ArtifactStore:
    """Keeps content at ``root/<project>/<sha[:2]>/<sha>/<name>``; equal content is kept once.

    Within a project the first name of a content stays its name. A record is never half there:
    content is copied and hashed under another name and published by one rename.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    async def put_file(
        self, project: str, kind: str, source: Path | bytes, *, workflow_id: str, name: str
    ) -> Artifact:
        """Keep a file, or bytes, under a name that may be anything.

        Raises:
            DatasetError: The source is not a file (``dataset_not_found``).
            UserError: The project's name cannot be a folder (``project_invalid``).
        """
        return await asyncio.to_thread(self._put, project, kind, source, workflow_id, name)

    async def put_folder(
        self, project: str, kind: str, source: Path, *, workflow_id: str, name: str | None = None
    ) -> Artifact:
        """Keep a folder; its hash is over the relative path, size and hash of each file.

        Raises:
            DatasetError: The source is not a folder (``dataset_not_found``), or holds something
                else than files and folders, such as a link (``dataset_unreadable``).
            UserError: The project's name cannot be a folder (``project_invalid``).
        """
        if not await asyncio.to_thread(source.is_dir):
            raise DatasetError(
                f"There is no folder {source} to keep. Give one that exists.",
                code="dataset_not_found",
            )
        kept = name or source.name
        return await asyncio.to_thread(self._put, project, kind, source, workflow_id, kept)

    async def open(self, artifact: Artifact) -> Path:
        """The path of an artifact whose content was just verified.

        Raises:
            UserError: It is missing or was changed (``artifact_damaged``).
        """
        await self.verify(artifact)
        return Path(artifact.path)

    async def verify(self, artifact: Artifact) -> None:
        """Read an artifact's content and compare it with its hash.

        Raises:
            UserError: It is missing or was changed (``artifact_damaged``).
        """
        if await asyncio.to_thread(_is_whole, Path(artifact.path), artifact.sha256):
            return
        raise UserError(
            f"The {artifact.kind} artifact {artifact.path} of run {artifact.workflow_id} is "
            f"missing or has changed since it was kept. Run {artifact.workflow_id} again under a "
            "new workflow_id to make it again.",
            code="artifact_damaged",
        )

    async def remove(self, artifact: Artifact) -> None:
        """Remove the content of an artifact; nothing happens when it is gone already."""
        await asyncio.to_thread(self._remove, artifact.project, artifact.sha256)

    async def remove_project(self, project: str) -> None:
        """Remove every artifact of a project."""
        await asyncio.to_thread(shutil.rmtree, self._folder(project), ignore_errors=True)

    def _put(
        self, project: str, kind: str, source: Path | bytes, workflow_id: str, name: str
    ) -> Artifact:
        with partial_folder(self._folder(project)) as partial:
            content = _copy(source, partial / safe_name(name))
            place = self._place(project, content.sha256)
            _publish(partial, place, content.sha256)
        return Artifact(
            project=project,
            artifact_id=content.sha256,
            kind=kind,
            path=str(_only_entry(place)),
            sha256=content.sha256,
            size_bytes=content.size_bytes,
            workflow_id=workflow_id,
        )

    def _remove(self, project: str, sha256: str) -> None:
        place = self._place(project, sha256)
        shutil.rmtree(place, ignore_errors=True)
        # The last content of its prefix takes the prefix with it.
        if place.parent.is_dir() and not any(place.parent.iterdir()):
            place.parent.rmdir()

    def _place(self, project: str, sha256: str) -> Path:
        return self._folder(project) / sha256[:2] / sha256

    def _folder(self, project: str) -> Path:
        if PROJECT.fullmatch(project) is None:
            raise UserError(
                f"The project {project!r} cannot be used: it takes 1 to 100 letters, digits, '.', "
                "'_' and '-', beginning with a letter or a digit.",
                code="project_invalid",
            )
        return self.root / project


def safe_name(name: str) -> str:
    """A file name that is one on every system: ASCII, one part, not hidden, its suffix kept."""
    last = re.split(r"[/\\]", name)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")
    stem, dot, suffix = cleaned.rpartition(".")
    if dot and len(suffix) <= 10:
        return f"{stem[: NAME_LENGTH - len(suffix) - 1]}.{suffix}"
    return cleaned[:NAME_LENGTH] or "file"


def _publish(partial: Path, place: Path, sha256: str) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    while True:
        try:
            partial.rename(place)
        except OSError:
            # A folder that holds something cannot be renamed onto: it is the same content...
            if not place.is_dir():
                raise
            if _is_whole(_only_entry(place), sha256):
                return
            # ... or what damage left of it, which makes room.
            _discard(place, partial.with_name(f"{partial.name}-damaged"))
        else:
            return


def _discard(place: Path, aside: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        place.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _only_entry(place: Path) -> Path:
    return next(iter(sorted(place.iterdir())), place / "file")


def _copy(source: Path | bytes, target: Path) -> _Content:
    if isinstance(source, Path) and source.is_dir():
        return _copy_folder(source, target)
    return _copy_file(source, target)


def _copy_file(source: Path | bytes, target: Path) -> _Content:
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
    return _Content(digest.hexdigest(), size)


def _copy_folder(source: Path, target: Path) -> _Content:
    target.mkdir(mode=0o700)
    parts: dict[str, _Content] = {}
    for path in _files(source):
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


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DatasetError(
                f"{path} is a link or a device; a folder to keep may hold files and folders "
                "only. Replace it by a copy of what it points at.",
                code="dataset_unreadable",
            )
    return [path for path in found if path.is_file()]


def _combined(parts: dict[str, _Content]) -> _Content:
    # A line per file; the head keeps a folder apart from a file that holds these very lines.
    lines = [f"{name}\0{part.size_bytes}\0{part.sha256}\n" for name, part in parts.items()]
    whole = hashlib.sha256("".join(["folder 1\n", *lines]).encode("utf-8", "surrogateescape"))
    return _Content(whole.hexdigest(), sum(part.size_bytes for part in parts.values()))


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return _measure(path).sha256 == sha256
    except (DatasetError, OSError):
        return False


def _measure(path: Path) -> _Content:
    if path.is_dir():
        return _combined({p.relative_to(path).as_posix(): _measure(p) for p in _files(path)})
    digest = hashlib.sha256()
    size = _pour(path, digest)
    return _Content(digest.hexdigest(), size)

"""Artifacts: immutable files and folders, each stored once under the hash of its content."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mmm_workflows.db.content import copied, is_whole
from mmm_workflows.db.names import safe_name
from mmm_workflows.db.shared_store import SharedStore
from mmm_workflows.errors import DatasetError, ServiceUnavailable, UserError
from mmm_workflows.mmm.copies import mark_copy, marked_copies, unmark_copy
from mmm_workflows.mmm.partial_folders import partial_folder, sweep
from mmm_workflows.mmm.removing import remove_folder
from mmm_workflows.ports import SharedFile
from mmm_workflows.records import NAME, Artifact

SHA256: Final = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


class ArtifactStore:
    """Keeps content at ``root/<project>/<sha[:2]>/<sha>/<name>``; equal content is kept once.

    Within a project the first name of a content stays its name. A record is never half there:
    content is copied and hashed under another name and published by one rename.

    Args:
        root: The folder of this machine.
        shared: What machines share; all that is kept lies there as well, and what another one kept
            is brought from there when it is asked for. None: ``root`` is all there is.
    """

    def __init__(self, root: Path, shared: SharedStore | None = None) -> None:
        self.root = root
        self._shared = shared

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
        if await asyncio.to_thread(self._is_whole, artifact):
            return
        raise UserError(
            f"The {artifact.kind} artifact {artifact.path} of run {artifact.workflow_id} is "
            f"missing or has changed since it was kept. Run {artifact.workflow_id} again under a "
            "new workflow_id to make it again.",
            code="artifact_damaged",
        )

    async def at_hand(self, paths: Sequence[Path]) -> None:
        """Bring what lies under these paths from what machines share, where it is not here.

        A path that is not below ``root`` is let be, and so is what lies nowhere: who reads it
        says so.

        Raises:
            UserError: What was brought is not what its name says (``artifact_damaged``).
        """
        if self._shared is not None:
            for path in paths:
                await asyncio.to_thread(self._bring_to, path)

    async def shared_entries(self, project: str | None) -> list[tuple[SharedFile, Path]]:
        """What machines share of a project or of all, each with its path on this machine."""
        return await asyncio.to_thread(self._entries, project)

    async def forget_gone(self) -> None:
        """Remove the copies of what another machine has removed from what machines share."""
        await asyncio.to_thread(self._forget_gone)

    async def remove(self, artifact: Artifact) -> None:
        """Remove the content of an artifact; nothing happens when it is gone already.

        Raises:
            ServiceUnavailable: It is still there, here or where machines share it.
        """
        await asyncio.to_thread(self._remove, artifact.project, artifact.sha256)

    async def sweep(self, project: str) -> None:
        """Remove what processes of this machine began to keep for a project before they died."""
        await asyncio.to_thread(sweep, self._folder(project))

    async def holds(self, project: str) -> bool:
        """Whether anything lies here, or where machines share it, for a project."""
        return await asyncio.to_thread(self._holds, project)

    async def remove_project(self, project: str) -> None:
        """Remove every artifact of a project.

        Raises:
            ServiceUnavailable: Something is still there, here or where machines share it.
        """
        await asyncio.to_thread(self._remove_project, project)

    def _put(
        self, project: str, kind: str, source: Path | bytes, workflow_id: str, name: str
    ) -> Artifact:
        with partial_folder(self._folder(project)) as partial:
            kept = partial / safe_name(name)
            content = copied(source, kept)
            place = self._place(project, content.sha256)
            if self._shared is not None:
                # Before it is seen here: what a record names can be brought by every machine.
                kept = self._renamed(kept, project, content.sha256)
                self._shared.put(_place_of(project, content.sha256), kept)
                mark_copy(self.root, _place_of(project, content.sha256), self._shared.store_id)
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

    def _renamed(self, kept: Path, project: str, sha256: str) -> Path:
        """Under the first name of its content, given by another machine or here before."""
        place = self._place(project, sha256)
        shared = next(iter(self._entries(project, sha256)), None)
        here = _only_entry(place) if place.is_dir() else None
        first = shared[1] if shared else here
        return kept if first is None else kept.rename(kept.with_name(first.name))

    def _is_whole(self, artifact: Artifact) -> bool:
        path = Path(artifact.path)
        if is_whole(path, artifact.sha256):
            return True
        if self._shared is not None:
            # Away from its place, damaged content makes room.
            self._bring_to(path, afresh=True)
        return is_whole(path, artifact.sha256)

    def _bring_to(self, path: Path, *, afresh: bool = False) -> None:
        assert self._shared is not None
        if not path.is_relative_to(self.root):
            return
        project, _, sha256, *_ = (*path.relative_to(self.root).parts, "", "", "")
        if not re.fullmatch(NAME, project) or not SHA256.fullmatch(sha256):
            return
        place = self._place(project, sha256)
        if place.is_dir() and not afresh:
            return
        with partial_folder(self._folder(project)) as partial:
            brought = self._shared.bring(_place_of(project, sha256), partial)
            if brought is None:
                return
            if not is_whole(brought, sha256):
                raise UserError(
                    f"What lies in {self._shared.where} as {project}/{sha256} does not have this "
                    "hash, so it was changed there. Run the workflow that made it again under a "
                    "new workflow_id, or upload the file again.",
                    code="artifact_damaged",
                )
            mark_copy(self.root, _place_of(project, sha256), self._shared.store_id)
            _publish(partial, place, sha256)

    def _forget_gone(self) -> None:
        if self._shared is None:
            return
        for place in self._shared.gone(marked_copies(self.root, self._shared.store_id)):
            project, _, sha256 = place.partition("/")
            try:
                self._remove_here(project, sha256)
            except ServiceUnavailable as error:
                logger.warning("%s", error.message)  # the next time; the others go

    def _entries(self, project: str | None, sha256: str = "") -> list[tuple[SharedFile, Path]]:
        if self._shared is None:
            return []
        below = "/".join(part for part in (project, sha256) if part)
        found = []
        for entry in self._shared.entries(below):
            named = self._shared.named(entry)
            owner, _, sha = named.place.partition("/")
            if re.fullmatch(NAME, owner) and SHA256.fullmatch(sha):
                found.append((entry, self._place(owner, sha) / named.name))
        return found

    def _holds(self, project: str) -> bool:
        is_here = any(files for _, _, files in os.walk(self._folder(project)))
        return is_here or (self._shared is not None and self._shared.has(project))

    def _remove_project(self, project: str) -> None:
        folder = self._folder(project)
        if self._shared is not None:
            self._shared.remove(project)
        remove_folder(folder)

    def _remove(self, project: str, sha256: str) -> None:
        if self._shared is not None:
            self._shared.remove(_place_of(project, sha256))
        self._remove_here(project, sha256)

    def _remove_here(self, project: str, sha256: str) -> None:
        place = self._place(project, sha256)
        remove_folder(place)
        unmark_copy(self.root, _place_of(project, sha256))
        # The last content of its prefix takes the prefix with it.
        with contextlib.suppress(OSError):  # there is another, or it went with another
            place.parent.rmdir()

    def _place(self, project: str, sha256: str) -> Path:
        return self._folder(project) / sha256[:2] / sha256

    def _folder(self, project: str) -> Path:
        if re.fullmatch(NAME, project) is None:
            raise UserError(
                f"The project {project!r} cannot be used: it takes 1 to 100 letters, digits, '.', "
                "'_' and '-', beginning with a letter or a digit.",
                code="project_invalid",
            )
        return self.root / project


def _place_of(project: str, sha256: str) -> str:
    return f"{project}/{sha256}"


def _publish(partial: Path, place: Path, sha256: str) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    while True:
        try:
            partial.rename(place)
        except OSError:
            # A folder that holds something cannot be renamed onto: it is the same content...
            if not place.is_dir():
                raise
            if is_whole(_only_entry(place), sha256):
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

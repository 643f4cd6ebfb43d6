"""What is kept, as it may be handed out: uploads by project, artifacts of a run, models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from mmm_workflows.bootstrap import Services
from mmm_workflows.errors import DatasetError, ModelFileError, UserError
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.tables import read_columns
from mmm_workflows.records import MODEL, Artifact, Decision
from mmm_workflows.workflows.contracts import Dataset

DATASET_ID: Final = re.compile(r"[0-9a-f]{64}")
# As many as a page of them shows; a name costs reading its file once.
COLUMNS_KEPT: Final = 1024


@dataclass(frozen=True)
class Shelf:
    """What one set of services keeps."""

    services: Services

    async def datasets(self, projects: Sequence[str] | None, *, limit: int) -> list[Dataset]:
        """The latest uploads of some projects or of all, the newest first."""
        uploads = self.services.uploads
        shared = [
            entry
            for project in ([None] if projects is None else projects)
            for entry in await uploads.shared_entries(project)
        ]
        newest = sorted(shared, key=lambda entry: entry[0].changed_at, reverse=True)
        await uploads.at_hand([path for _, path in newest[:limit]])
        return await asyncio.to_thread(self._datasets, projects, limit)

    async def path_of(self, project: str, source: str) -> str:
        """The path of an upload that is named by its dataset_id; any other text as it is.

        Raises:
            DatasetError: The project has no such upload (``dataset_not_found``).
        """
        if DATASET_ID.fullmatch(source) is None:
            return source
        place = self.services.uploads.root / project / source[:2] / source
        await self.services.uploads.at_hand([place])
        return await asyncio.to_thread(_only_file, place, project)

    async def artifacts(self, workflow_id: str) -> Sequence[Artifact]:
        """The artifacts of a run, in the order they were kept."""
        return await self.services.runs.artifacts(workflow_id)

    async def decisions(self, workflow_id: str) -> Sequence[Decision]:
        """The decisions of a run, in the order they were made."""
        return await self.services.runs.decisions(workflow_id)

    async def artifact(self, workflow_id: str, artifact_id: str) -> Artifact:
        """An artifact of a run.

        Raises:
            UserError: It has none of this id (``artifact_not_found``).
        """
        for artifact in await self.services.runs.artifacts(workflow_id):
            if artifact.artifact_id == artifact_id:
                return artifact
        raise UserError(
            f"Run {workflow_id} has no artifact {artifact_id!r}. /workflow/{workflow_id}/artifacts "
            "lists those that it has.",
            code="artifact_not_found",
        )

    async def open(self, artifact: Artifact) -> Path:
        """The path of an artifact that lies in its store and was just verified.

        Raises:
            UserError: It lies elsewhere, is missing or was changed (``artifact_damaged``).
        """
        path = Path(artifact.path)
        if artifact.kind == MODEL:
            await self.services.models.at_hand([path])
            model = await asyncio.to_thread(open_model, path)
            await asyncio.to_thread(model.verify)
        else:
            await self.services.artifacts.verify(artifact)
        roots = self.services.artifacts.root, self.services.models.root
        if not await asyncio.to_thread(_lies_in, path, roots):
            raise UserError(
                f"The artifact {artifact.artifact_id} does not lie in OUTPUT_DIR or MODEL_DIR, so "
                "it is not handed out. Run its workflow again under a new workflow_id.",
                code="artifact_damaged",
            )
        return path

    async def model(self, name: str, projects: Sequence[str] | None) -> Path:
        """The folder of a model, by the id of its artifact or by the run that fitted it.

        Raises:
            ModelFileError: There is none in these projects (``model_not_found``).
        """
        runs = self.services.runs
        found = await runs.registered(name, kind=MODEL, projects=projects)
        for workflow_id in (name, f"{name}.modeling"):
            if found is None:
                kept = [a for a in await runs.artifacts(workflow_id) if a.kind == MODEL]
                found = next((a for a in kept if projects is None or a.project in projects), None)
        if found is None:
            raise ModelFileError(
                f"There is no model {name!r}. Give the workflow_id of a run of Modeling that has "
                "succeeded, or the artifact_id of its model.",
                code="model_not_found",
            )
        path = Path(found.path)
        await self.services.models.at_hand([path])
        return path

    def _datasets(self, projects: Sequence[str] | None, limit: int) -> list[Dataset]:
        root = self.services.uploads.root
        folders = (root / name for name in projects) if projects is not None else _folders(root)
        kept = [(_changed_at(f), f) for folder in folders for f in _kept_in(folder)]
        newest = sorted(kept, reverse=True)[:limit]
        return [found for _, file in newest if (found := _dataset(file)) is not None]


def _only_file(place: Path, project: str) -> str:
    file = next(iter(sorted(_entries(place))), None)
    if file is None:
        raise DatasetError(
            f"The project {project!r} has no upload {place.name}. /datasets lists those that it "
            "has; upload the file again.",
            code="dataset_not_found",
        )
    return str(file)


def _lies_in(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(root.resolve()) for root in roots)


def _folders(root: Path) -> list[Path]:
    return [f for f in _entries(root) if f.is_dir()]


def _kept_in(project: Path) -> list[Path]:
    # What is being written lies beside these, under hidden names.
    places = [place for prefix in _entries(project) for place in _entries(prefix)]
    return [f for place in places if DATASET_ID.fullmatch(place.name) for f in _entries(place)]


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it is none, or goes while it is looked at."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _dataset(file: Path) -> Dataset | None:
    """An upload as it lies there; None where it is gone."""
    try:
        told = file.stat()
        columns = _columns(file, told.st_mtime_ns)
    except FileNotFoundError:
        return None
    return Dataset(
        dataset_id=file.parent.name,
        project=file.parents[2].name,
        name=file.name,
        path=str(file),
        sha256=file.parent.name,
        columns=columns,
        size_bytes=told.st_size,
        created_at=datetime.fromtimestamp(told.st_mtime, UTC),
    )


@lru_cache(COLUMNS_KEPT)
def _columns(file: Path, _changed: int) -> tuple[str, ...]:
    try:
        return read_columns(file)
    except DatasetError:
        # Another version took it. It stays in the list, so that it can be seen and removed.
        return ()

"""Removes runs and projects: a run with its parts, a project with all that any store holds of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmm_workflows.bootstrap import Services
from mmm_workflows.db.checkpoints import delete_thread
from mmm_workflows.errors import RunError, RunNotFound
from mmm_workflows.records import MODEL, Artifact, Run
from mmm_workflows.workflows.execution import parts_of, thread_id
from mmm_workflows.workflows.refusals import checked
from mmm_workflows.workflows.remembering import Remembering


class Removed(NamedTuple):
    """What went: of which project, and how many runs."""

    project: str
    runs: int


@dataclass(frozen=True)
class Deleting:
    """Removal of what one set of services keeps; each is whole, or refused before the first run."""

    services: Services

    async def run(self, workflow_id: str, project: str) -> Removed:
        """Remove a run of a project, its parts, and all that only they own.

        Raises:
            RunNotFound: There is none, or it is another project's (``run_not_found``).
            RunBusy: It or a part of it is being worked on (``run_busy``).
        """
        async with self.services.claims.hold(workflow_id):
            # Under its claim: what went and came back since the caller looked may be another's.
            run = await self.services.runs.get(workflow_id)
            if run.project != project:
                raise RunNotFound.of(workflow_id)
            parts = await parts_of(self.services, run)
            async with self._held(parts):
                for each in (run, *parts):
                    await self._delete(each)
        await self._memory.drain(project)
        return Removed(project, 1 + len(parts))

    async def project(self, project: str) -> Removed:
        """Remove a project: its runs, uploads, artifacts, models and memory.

        Raises:
            RunError: No store holds anything of it (``run_not_found``), its name cannot be one
                (``project_invalid``), or one of its runs is being worked on (``run_busy``).
        """
        runs = await self.services.runs.list(project=checked(project, "project"), limit=None)
        if not runs and not await self._holds(project):
            raise RunError(
                f"There is no project {project!r}: nothing holds a run, an upload, a model or "
                "memory of it. `mmm-workflows list` shows the projects that have runs.",
                code="run_not_found",
            )
        async with self._held(runs):
            for run in runs:
                await self._delete(run)
            await self._memory.forget_project(project, runs=len(runs))
        if not await self.services.runs.list(project=project, limit=1):
            await self.services.remove_project(project)
        await self._memory.drain(project)
        return Removed(project, len(runs))

    async def named(self, name: str) -> Removed:
        """Remove the run of this name or, where there is none, the project; for who types a name.

        Raises:
            RunError: There is neither (``run_not_found``), or as for ``run`` and ``project``.
        """
        try:
            project = (await self.services.runs.get(name)).project
        except RunNotFound:
            return await self.project(name)
        return await self.run(name, project)

    @property
    def _memory(self) -> Remembering:
        return Remembering(self.services)

    async def _holds(self, project: str) -> bool:
        """Whether anything but a run is there of a project."""
        for store in (self.services.uploads, self.services.artifacts, self.services.models):
            if await store.holds(project):
                return True
        return await self.services.outbox.holds(project)

    @asynccontextmanager
    async def _held(self, runs: Sequence[Run]) -> AsyncIterator[None]:
        # All before the first: a run that is being worked on must not leave half of them.
        async with AsyncExitStack() as held:
            for run in runs:
                await held.enter_async_context(self.services.claims.hold(run.workflow_id))
            yield

    async def _delete(self, run: Run) -> None:
        owned = await self.services.runs.artifacts(run.workflow_id)
        await delete_thread(self.services.checkpointer, thread_id(run))
        await self.services.runs.delete(run.workflow_id)
        for artifact in owned:
            if not await self.services.runs.uses(artifact.project, artifact.artifact_id):
                await self._remove(artifact)

    async def _remove(self, artifact: Artifact) -> None:
        if artifact.kind != MODEL:
            await self.services.artifacts.remove(artifact)
        else:
            await self.services.models.remove(Path(artifact.path))

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

        The record of the run goes last: what failed or died on the way is done by another call.

        Raises:
            RunNotFound: There is none, or it is another project's (``run_not_found``).
            RunBusy: It or a part of it is being worked on (``run_busy``).
            ServiceUnavailable: Something could not be removed; another call does the rest.
        """
        async with self.services.claims.hold(workflow_id):
            # Under its claim: what went and came back since the caller looked may be another's.
            run = await self.services.runs.get(workflow_id)
            if run.project != project:
                raise RunNotFound.of(workflow_id)
            parts = await parts_of(self.services, run)
            async with self._held(parts):
                for part in parts:
                    await self._delete(part)
                for store in (self.services.artifacts, self.services.models):
                    await store.sweep(project)
                await self._delete(run)
        await self._memory.drain(project)
        return Removed(project, 1 + len(parts))

    async def project(self, project: str) -> Removed:
        """Remove a project: its runs, uploads, artifacts, models and memory.

        Raises:
            RunError: No store holds anything of it (``run_not_found``), its name cannot be one
                (``project_invalid``), or one of its runs is being worked on (``run_busy``).
            ServiceUnavailable: Something could not be removed; another call does the rest.
        """
        runs = await self.services.runs.list(project=checked(project, "project"), limit=None)
        if not runs and not await self._holds(project):
            raise RunError(
                f"There is no project {project!r}: nothing holds a run, an upload, a model or "
                "memory of it. `mmm-workflows list` shows the projects that have runs.",
                code="run_not_found",
            )
        async with self._held(runs):
            for run in runs[:-1]:
                await self._delete(run)
            await self._end(project, runs)
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

    async def _end(self, project: str, runs: Sequence[Run]) -> None:
        """Remove the last of a project's runs, all that is left of it, and only then its record."""
        last, left = runs[-1:], list[Artifact]()
        for run in last:
            left = await self._empty(run)
        there = await self.services.runs.list(project=project, limit=len(last) + 1)
        if {run.workflow_id for run in there} <= {run.workflow_id for run in last}:
            await self.services.remove_project(project)
        if not last:
            await self._memory.forget_project(project, runs=0)
        for run in last:
            await self.services.runs.delete_last(run.workflow_id, runs=len(runs))
            await self._forget_checkpoints(run)
        await self._remove_unused(left)

    async def _delete(self, run: Run) -> None:
        left = await self._empty(run)
        await self.services.runs.delete(run.workflow_id)
        await self._forget_checkpoints(run)
        # Who used it too may have been deleted meanwhile, and have left it to this run.
        await self._remove_unused(left)

    async def _empty(self, run: Run) -> list[Artifact]:
        """Remove the checkpoints and files that only a run has; those that others use as well.

        The checkpoints first: a run that is resumed in between begins anew, and makes them again.
        """
        await self._forget_checkpoints(run)
        owned = await self.services.runs.artifacts(run.workflow_id)
        return await self._remove_unused(owned, besides=run.workflow_id)

    async def _forget_checkpoints(self, run: Run) -> None:
        """Before its record goes, and after: a process that was suspended may have woken between."""
        await delete_thread(self.services.checkpointer, thread_id(run))

    async def _remove_unused(
        self, artifacts: Sequence[Artifact], *, besides: str | None = None
    ) -> list[Artifact]:
        """Remove what no run but one uses; the rest."""
        used = []
        for each in artifacts:
            if await self.services.runs.uses(each.project, each.artifact_id, besides=besides):
                used.append(each)
            else:
                await self._remove(each)
        return used

    async def _remove(self, artifact: Artifact) -> None:
        if artifact.kind != MODEL:
            await self.services.artifacts.remove(artifact)
        else:
            await self.services.models.remove(Path(artifact.path))

"""Starts, resumes, answers, cancels and deletes runs; the one way in for every door."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from uuid_utils import uuid7

from mmm_workflows.bootstrap import Services, examine_services, open_services
from mmm_workflows.config import Settings, read_settings
from mmm_workflows.db.artifacts import safe_name
from mmm_workflows.db.chain import ChainReport
from mmm_workflows.db.checkpoints import delete_thread
from mmm_workflows.errors import RunError
from mmm_workflows.mmm.tables import read_table
from mmm_workflows.records import (
    DEFAULT_PROJECT,
    GENERATED_BY_RULES,
    MODEL,
    Artifact,
    Decision,
    Depth,
    Event,
    Json,
    Run,
    RunStatus,
    Who,
)
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.context import Speak
from mmm_workflows.workflows.contracts import DEFAULT_SEED, Request, Upload
from mmm_workflows.workflows.execution import POLL_S, Execution, OnEvent, thread_id
from mmm_workflows.workflows.graph import Workflow
from mmm_workflows.workflows.remembering import Remembering

SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_runner(settings: Settings | None = None) -> AsyncIterator[Runner]:
    """Borrow a runner on the shared services of these settings, or of the environment's."""
    async with open_services(settings or read_settings()) as services:
        yield Runner(services)


async def examine() -> dict[str, str]:
    """What stands behind each service on this machine, one sentence each."""
    return await examine_services(read_settings())


class Runner:
    """The one way in to the workflows, for every door."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @property
    def memory(self) -> Remembering:
        """What earlier runs left behind."""
        return Remembering(self.services)

    @property
    def written_by(self) -> str:
        """Whose words the texts of new runs are: the language models' names, or ``rules``."""
        return ", ".join(self.services.languages.names) or GENERATED_BY_RULES

    async def sandbox_mode(self) -> str:
        """What holds generated code on this machine; the canary is sent out at the first call."""
        return str((await self.services.open_executor()).mode)

    async def start(
        self,
        workflow: str,
        request: Request,
        *,
        workflow_id: str | None = None,
        project: str = DEFAULT_PROJECT,
        seed: int = DEFAULT_SEED,
        depth: Depth = Depth.STANDARD,
        on_event: OnEvent | None = None,
    ) -> Json:
        """Run a workflow to its end, or go on with the run of this ``workflow_id``.

        Returns:
            The result as a dict; with ``status`` "waiting" and ``questions`` when it needs an
            answer (see ``decide``).

        Raises:
            RunError: The id is another run's (``run_conflict``), being worked on (``run_busy``)
                or was started by another version (``run_graph_changed``).
            MMMError: What the workflow raised; the run is kept as failed and can be resumed.
        """
        run = await self.submit(
            workflow, request, workflow_id=workflow_id, project=project, seed=seed, depth=depth
        )
        return await self.execute(run.workflow_id, on_event=on_event)

    async def submit(
        self,
        workflow: str,
        request: Request,
        *,
        workflow_id: str | None = None,
        project: str = DEFAULT_PROJECT,
        seed: int = DEFAULT_SEED,
        depth: Depth = Depth.STANDARD,
    ) -> Run:
        """Write a run down as queued, or find the one of this ``workflow_id``."""
        entry = registry.find(workflow)
        asked = Run(
            workflow_id=_checked(workflow_id or str(uuid7()), "workflow_id"),
            workflow=entry.name,
            project=_checked(project, "project"),
            seed=seed,
            depth=depth,
            graph_version=entry.load().graph_version,
            request=request.model_dump(mode="json"),
        )
        if workflow_id is not None and await self.services.runs.exists(workflow_id):
            found = await self.services.runs.get(workflow_id)
            _refuse_other_inputs(found, asked)
            return found
        await self.services.runs.create(asked)
        return asked

    async def resume(self, workflow_id: str, *, on_event: OnEvent | None = None) -> Json:
        """Go on with a run where it stopped; a succeeded one returns its stored result."""
        await self.requeue(workflow_id)
        return await self.execute(workflow_id, on_event=on_event)

    async def requeue(self, workflow_id: str) -> Run:
        """Queue a run that failed or was cancelled, for ``execute``; any other stays as it is.

        Raises:
            RunError: It was started by another version of its workflow (``run_graph_changed``).
        """
        run = await self.services.runs.get(workflow_id)
        _refuse_other_graph(run, registry.find(run.workflow).load())
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            return run
        return await self.services.runs.update(workflow_id, status=RunStatus.QUEUED)

    async def decide(
        self, workflow_id: str, answer: str, *, on_event: OnEvent | None = None
    ) -> Json:
        """Answer the question that a run waits with, and run on.

        Raises:
            RunError: The run does not wait for an answer (``run_state``).
        """
        await self.note_answer(workflow_id, answer)
        return await self.execute(workflow_id, on_event=on_event, answer=answer)

    async def note_answer(self, workflow_id: str, answer: str) -> Run:
        """Record the answer to a waiting run and queue it, for ``execute`` with the answer.

        Raises:
            RunError: The run does not wait for an answer (``run_state``).
        """
        run = await self.services.runs.get(workflow_id)
        if run.status is not RunStatus.WAITING:
            raise RunError(
                f"Run {workflow_id} is {run.status}, so there is no question to answer. "
                "Only a waiting run takes an answer."
            )
        asked = " ".join((run.result or {}).get("questions", ()))
        decision = Decision(
            project=run.project, question=asked, options=(), choice=answer,
            reason="answered by a person", who=Who.PERSON,
        )  # fmt: skip
        await self.services.runs.add_decisions(workflow_id, [decision])
        return await self.services.runs.update(workflow_id, status=RunStatus.QUEUED)

    async def execute(
        self, workflow_id: str, *, on_event: OnEvent | None = None, answer: str | None = None
    ) -> Json:
        """Work on a run that was submitted, holding its lock; a finished one is only read."""
        async with self.services.locks.acquire(workflow_id):
            run = await self.services.runs.get(workflow_id)
            if run.status is RunStatus.SUCCEEDED and run.result is not None:
                return run.result
            entry = registry.find(run.workflow)
            workflow = entry.load()
            _refuse_other_graph(run, workflow)
            await self.services.runs.update(workflow_id, cancel_requested=False, error=None)
            children = _Children(self, run)
            execution = Execution(self.services, run, workflow, children, on_event)
            return await execution.run_to_end(entry.durability, answer)

    async def cancel(self, workflow_id: str) -> Run:
        """Ask the executor of a run to stop; a run nobody works on is cancelled at once."""
        run = await self.services.runs.get(workflow_id)
        if run.status.is_final:
            raise RunError(f"Run {workflow_id} is {run.status} already; there is nothing to stop.")
        await self.services.runs.request_cancel(workflow_id)
        try:
            async with self.services.locks.acquire(workflow_id):
                await self.services.runs.update(workflow_id, status=RunStatus.CANCELLED)
        except RunError:
            logger.info("run %s is told to stop by the process that works on it", workflow_id)
        return await self.services.runs.get(workflow_id)

    async def get(self, workflow_id: str) -> Run:
        """The record of a run."""
        return await self.services.runs.get(workflow_id)

    async def list(
        self,
        *,
        project: str | None = None,
        workflow: str | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """Runs, the newest first."""
        return await self.services.runs.list(
            project=project, workflow=workflow, status=status, limit=limit
        )

    async def events(self, workflow_id: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run whose ``seq`` is above ``after``, in order."""
        await self.services.runs.get(workflow_id)
        return await self.services.runs.events(workflow_id, after=after)

    async def audit(self, project: str | None = None) -> Sequence[ChainReport]:
        """The decision chain of a project, or of each project, recomputed."""
        return await self.services.runs.audit(project)

    async def keep_upload(
        self, content: BinaryIO, *, name: str, project: str = DEFAULT_PROJECT
    ) -> Upload:
        """Keep an uploaded table under the hash of its content; its name is never a path.

        Raises:
            DatasetError: The content is not a table (see ``mmm.tables.read_table``).
        """
        _checked(project, "project")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / safe_name(name)
            columns = await asyncio.to_thread(_write_table, content, file)
            kept = await self.services.uploads.put_file(
                project, "upload", file, workflow_id="", name=file.name
            )
        return Upload(
            path=kept.path, sha256=kept.sha256, size_bytes=kept.size_bytes, columns=columns
        )

    async def watch(self, workflow_id: str, *, after: int = 0) -> AsyncGenerator[Event]:
        """Events from the log after ``after``, then live, until the run ends or waits."""
        async with aclosing(self.services.progress.follow(workflow_id)) as live:
            news = asyncio.ensure_future(anext(live, None))
            try:
                while True:
                    run = await self.services.runs.get(workflow_id)
                    for event in await self.services.runs.events(workflow_id, after=after):
                        after = event.seq
                        yield event
                    if run.status.is_final or run.status is RunStatus.WAITING:
                        return
                    # The log is the truth; the channel only says when to look again.
                    await asyncio.wait({news}, timeout=POLL_S)
                    if news.done():
                        # A channel that ended would be ready at once, for ever.
                        ended = news.result() is None
                        news = asyncio.ensure_future(
                            asyncio.sleep(POLL_S) if ended else anext(live, None)
                        )
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)

    async def delete(self, name: str) -> int:
        """Remove a run with all that only it owns, or every run of a project.

        Returns:
            How many runs were removed.

        Raises:
            RunError: There is neither a run nor a project of this name (``run_not_found``), or
                one of the runs is being worked on (``run_busy``).
        """
        runs = self.services.runs
        is_run = await runs.exists(name)
        if is_run:
            own = await runs.get(name)
            family = [
                r for r in await runs.list(project=own.project, limit=None)
                if r.workflow_id == name or r.workflow_id.startswith(f"{name}.")
            ]  # fmt: skip
        else:
            family = await runs.list(project=name, limit=None)
        if not family:
            raise RunError(
                f"There is no run and no project {name!r}. `mmm-workflows list` shows both.",
                code="run_not_found",
            )
        async with AsyncExitStack() as held:
            # All before the first: a run that is being worked on must not leave half a family.
            for run in family:
                await held.enter_async_context(self.services.locks.acquire(run.workflow_id))
            # A graph is written anew for each time that something of it is forgotten.
            ids = [run.workflow_id for run in family] if is_run else None
            await self.memory.forget(family[0].project, ids)
            for run in family:
                await self._delete_run(run)
        if family[0].project == name and not await runs.list(project=name, limit=1):
            for root in self.services.project_folders():
                await asyncio.to_thread(shutil.rmtree, root / name, ignore_errors=True)
        return len(family)

    async def _delete_run(self, run: Run) -> None:
        owned = await self.services.runs.artifacts(run.workflow_id)
        await delete_thread(self.services.checkpointer, thread_id(run))
        await self.services.runs.delete(run.workflow_id)
        for artifact in owned:
            if not await self.services.runs.uses(artifact.project, artifact.artifact_id):
                await self._remove(artifact)

    async def _remove(self, artifact: Artifact) -> None:
        if artifact.kind != MODEL:
            await self.services.artifacts.remove(artifact)
        elif Path(artifact.path).is_relative_to(self.services.models):
            await asyncio.to_thread(shutil.rmtree, artifact.path, ignore_errors=True)


def _write_table(content: BinaryIO, file: Path) -> tuple[str, ...]:
    with file.open("xb") as target:
        shutil.copyfileobj(content, target)
    return read_table(file).names


def _checked(name: str, what: str) -> str:
    if SLUG.fullmatch(name) is None:
        raise RunError(
            f"The {what} {name!r} cannot be used: it takes 1 to 100 letters, digits, '.', '_' "
            "and '-', beginning with a letter or a digit.",
            code=f"{what}_invalid",
        )
    return name


def _refuse_other_inputs(found: Run, asked: Run) -> None:
    fields = ("workflow", "project", "seed", "depth", "request")
    differing = [f for f in fields if getattr(found, f) != getattr(asked, f)]
    if differing:
        raise RunError(
            f"Run {found.workflow_id} exists with another {', '.join(differing)}. Use a new "
            "workflow_id, or the arguments of that run to go on with it.",
            code="run_conflict",
        )


def _refuse_other_graph(run: Run, workflow: Workflow[Any]) -> None:
    if run.graph_version != workflow.graph_version:
        raise RunError(
            f"Run {run.workflow_id} was started by version {run.graph_version} of the "
            f"{run.workflow} workflow; this is version {workflow.graph_version}, which cannot "
            "read its checkpoints. Start it again under a new workflow_id.",
            code="run_graph_changed",
        )


@dataclass(frozen=True)
class _Children:
    """The runs that are a part of another run; their ids begin with its id."""

    runner: Runner
    parent: Run

    async def run(self, workflow: str, request: Request, speak: Speak) -> Json:
        """Run it, or return the stored result of an equal earlier run."""
        child = await self.runner.submit(
            workflow,
            request,
            workflow_id=self._id(workflow),
            project=self.parent.project,
            seed=self.parent.seed,
            depth=self.parent.depth,
        )
        return await self.runner.execute(child.workflow_id, on_event=_relay(workflow, speak))

    async def decide(self, workflow: str, answer: str, speak: Speak) -> Json:
        """Answer the question that it waits with, or go on where it was answered already."""
        child = await self.runner.get(self._id(workflow))
        # A process that died took the answer with it, but not what the child had made of it.
        go_on = self.runner.decide if child.status is RunStatus.WAITING else self.runner.execute
        return await go_on(child.workflow_id, answer=answer, on_event=_relay(workflow, speak))

    def _id(self, workflow: str) -> str:
        return f"{self.parent.workflow_id}.{workflow}"


def _relay(workflow: str, speak: Speak) -> OnEvent:
    async def relay(event: Event) -> None:
        await speak(event.progress, f"{workflow}: {event.message}", event.data)

    return relay

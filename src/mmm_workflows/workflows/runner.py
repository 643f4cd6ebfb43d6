"""Starts, resumes, answers, cancels and deletes runs; the one way in for every door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Unpack

from uuid_utils import uuid7

from mmm_workflows.bootstrap import Services, examine_services, open_services
from mmm_workflows.bootstrap.stores import prepare_stores
from mmm_workflows.config import Settings, read_settings
from mmm_workflows.db.chain import ChainReport
from mmm_workflows.db.claims import Claim
from mmm_workflows.db.listing import Listing
from mmm_workflows.db.patience import Patience
from mmm_workflows.errors import MMMError, RunBusy, RunCancelled, RunError, ServiceUnavailable
from mmm_workflows.records import (
    DEFAULT_PROJECT,
    GENERATED_BY_RULES,
    Decision,
    Dependency,
    Depth,
    ErrorInfo,
    Event,
    Json,
    Run,
    RunCounts,
    RunStatus,
    RunView,
    Who,
)
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.context import Speak
from mmm_workflows.workflows.contracts import ASK_S, DEFAULT_SEED, Request, Result
from mmm_workflows.workflows.deleting import Deleting, Removed
from mmm_workflows.workflows.execution import POLL_S, Execution, OnEvent, end
from mmm_workflows.workflows.refusals import (
    checked,
    refuse_other_graph,
    refuse_other_inputs,
)
from mmm_workflows.workflows.remembering import Remembering
from mmm_workflows.workflows.shelf import Shelf
from mmm_workflows.workflows.uploads import Uploads
from mmm_workflows.workflows.watching import Watching

# How often a cancel looks again at a run that changes hands.
CANCEL_TRIES: Final = 10


@asynccontextmanager
async def open_runner(settings: Settings | None = None) -> AsyncIterator[Runner]:
    """Borrow a runner on the shared services of these settings, or of the environment's."""
    async with open_services(settings or read_settings()) as services:
        yield Runner(services)


async def examine() -> dict[str, str]:
    """What stands behind each service on this machine, one sentence each."""
    return await examine_services(read_settings())


async def prepare(on_ready: Callable[[str, str], None]) -> dict[str, str]:
    """Where each store is, once it is made or migrated (see ``bootstrap.stores``)."""
    return await prepare_stores(read_settings(), on_ready)


class Runner:
    """The one way in to the workflows, for every door."""

    def __init__(self, services: Services, *, part_of: Patience | None = None) -> None:
        self.services = services
        # Of the run that the runs started here are parts of.
        self._patience = part_of
        self.uploads = Uploads(services)
        self.watching = Watching(services.runs, services.overview, services.progress)

    @property
    def memory(self) -> Remembering:
        """What earlier runs left behind."""
        return Remembering(self.services)

    @property
    def shelf(self) -> Shelf:
        """Uploads, artifacts and models, as they may be handed out."""
        return Shelf(self.services)

    @property
    def written_by(self) -> str:
        """Whose words the texts of new runs are: the language models' names, or ``rules``."""
        return ", ".join(self.services.languages.names) or GENERATED_BY_RULES

    async def records_lost(self) -> str | None:
        """Why the records of runs cannot be used at the moment; None where they can."""
        try:
            await self.services.runs.exists("")
        except ServiceUnavailable as error:
            return error.message
        return None

    async def dependencies(self) -> tuple[Dependency, ...]:
        """Whether each service that is set answers at this moment."""
        return await self.services.readiness.examine()

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
            RunCancelled: It was cancelled meanwhile (``run_cancelled``); it can be resumed.
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
        # The first of its kind loads LangGraph or pandas, which takes the loop half a second.
        built = await asyncio.to_thread(entry.load)
        asked = Run(
            workflow_id=checked(workflow_id or str(uuid7()), "workflow_id"),
            workflow=entry.name,
            project=checked(project, "project"),
            seed=seed,
            depth=depth,
            graph_version=built.graph_version,
            request=request.model_dump(mode="json"),
        )
        if workflow_id is not None and await self.services.runs.exists(workflow_id):
            return await self._same(asked, type(request))
        try:
            await self.services.runs.create(asked)
        except RunError:
            if workflow_id is None:
                raise
            # Somebody who asked for the same was first.
            return await self._same(asked, type(request))
        return asked

    async def _same(self, asked: Run, request: type[Request]) -> Run:
        found = await self.services.runs.get(asked.workflow_id)
        refuse_other_inputs(found, asked, request)
        return found

    async def resume(self, workflow_id: str, *, on_event: OnEvent | None = None) -> Json:
        """Go on with a run where it stopped; a succeeded one returns its stored result."""
        return await self.execute(workflow_id, on_event=on_event)

    async def decide(
        self,
        workflow_id: str,
        answer: str,
        *,
        on_event: OnEvent | None = None,
        under: Claim | None = None,
    ) -> Json:
        """Answer the question that a run waits with, and run on.

        Raises:
            RunError: The run does not wait for an answer (``run_state``).
        """
        async with self._held(workflow_id, under) as claim:
            await self.note(claim, workflow_id, answer, on_queue=False)
            return await self.work(claim, workflow_id, on_event)

    async def note(self, claim: Claim, workflow_id: str, answer: str, *, on_queue: bool) -> None:
        """Write the answer to a run that waits down, for whoever works on it next.

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
        await self.services.runs.under(claim.token).add_decisions(workflow_id, [decision])
        await self.services.claims.note_answer(claim, workflow_id, answer, on_queue=on_queue)

    async def execute(
        self, workflow_id: str, *, on_event: OnEvent | None = None, under: Claim | None = None
    ) -> Json:
        """Work on a run that was submitted, in place of the workers; a finished one is only read.

        Args:
            workflow_id: The run.
            on_event: Told of each event.
            under: The claim on the run that this one is a part of.

        Raises:
            RunCancelled: It was cancelled meanwhile (``run_cancelled``).
        """
        async with self._held(workflow_id, under) as claim:
            return await self.work(claim, workflow_id, on_event)

    async def work(self, claim: Claim, workflow_id: str, on_event: OnEvent | None = None) -> Json:
        """Work on a run under a claim on it; a finished one is only read.

        Raises:
            CancelledError: The run was cancelled meanwhile, or the caller was.
        """
        patience = self._patience or Patience(self.services.patience_s, workflow_id=workflow_id)
        family = Runner(self.services.patient(patience), part_of=patience)
        runs = family.services.runs
        run = await runs.get(workflow_id)
        if run.status is RunStatus.SUCCEEDED and run.result is not None:
            return run.result
        entry = registry.find(run.workflow)
        workflow = entry.load()
        refuse_other_graph(run, workflow)
        await runs.under(claim.token).update(workflow_id, error=None)
        execution = Execution(
            family.services,
            claim,
            run,
            workflow,
            _Children(family, run, claim),
            partial(self.memory.recall, project=run.project, wait_s=ASK_S),
            on_event,
            patience,
        )
        return await execution.run_to_end(entry.durability)

    @asynccontextmanager
    async def _held(self, workflow_id: str, under: Claim | None) -> AsyncIterator[Claim]:
        """The claim on a run; only a part of a run waits for a database that went away."""
        async with AsyncExitStack() as stack:

            async def take() -> Claim:
                hold = self.services.claims.hold(workflow_id, under=under, afresh=True)
                return await stack.enter_async_context(hold)

            claim = await (self._patience.keep_trying(take) if self._patience else take())
            try:
                yield claim
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # it is the caller that was cancelled, and not the run
                raise RunCancelled.of(workflow_id) from error

    async def cancel(self, workflow_id: str) -> Run:
        """Ask the executor of a run to stop; a run nobody works on is cancelled at once."""
        run = await self.services.runs.get(workflow_id)
        if run.status.is_final:
            raise RunError(f"Run {workflow_id} is {run.status} already; there is nothing to stop.")
        await self.services.runs.request_cancel(workflow_id)
        for _ in range(CANCEL_TRIES):
            try:
                async with self.services.claims.hold(workflow_id) as claim:
                    run = await self.services.runs.get(workflow_id)
                    if not run.status.is_final:
                        await end(self.services, claim, run, RunStatus.CANCELLED)
                break
            except RunBusy:
                run = await self.services.runs.get(workflow_id)
                # Its executor looks for the request as long as it works, and once more at its end.
                if run.status not in (RunStatus.QUEUED, RunStatus.WAITING):
                    break
                await asyncio.sleep(POLL_S)
        return await self.services.runs.get(workflow_id)

    async def get(self, workflow_id: str) -> Run:
        """The record of a run."""
        return await self.services.runs.get(workflow_id)

    async def view(self, workflow_id: str) -> RunView:
        """Where a run stands, read at once and as a whole.

        Raises:
            RunNotFound: There is none (``run_not_found``).
        """
        return await self.services.views.run(workflow_id)

    async def outline(self, workflow_id: str) -> RunView:
        """The same without its result, for those who need not have it.

        Raises:
            RunNotFound: There is none (``run_not_found``).
        """
        return await self.services.views.outline(workflow_id)

    async def list(self, **asked: Unpack[Listing]) -> Sequence[RunView]:
        """Runs of one project, of some or of all, the newest first, without their results."""
        return await self.services.views.list(**asked)

    async def events(self, workflow_id: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run whose ``seq`` is above ``after``, in order."""
        await self.outline(workflow_id)
        return await self.services.runs.events(workflow_id, after=after)

    async def counts(self) -> RunCounts:
        """How many runs there are in each status, and how many events."""
        return await self.services.overview.counts()

    async def audit(self, project: str | None = None) -> Sequence[ChainReport]:
        """The decision chain of a project, or of each project, recomputed."""
        return await self.services.runs.audit(project)

    def watch(self, workflow_id: str, *, after: int = 0) -> AsyncGenerator[Event]:
        """Events from the log after ``after``, then live, until the run ends or waits."""
        return self.watching.follow(workflow_id, after=after)

    async def delete_run(self, workflow_id: str, project: str) -> int:
        """Remove a run of a project with its parts; how many runs that were (``Deleting.run``)."""
        return (await Deleting(self.services).run(workflow_id, project)).runs

    async def delete_project(self, project: str) -> int:
        """Remove a project whole; how many runs that were (see ``Deleting.project``)."""
        return (await Deleting(self.services).project(project)).runs

    async def delete(self, name: str) -> Removed:
        """Remove a run or else a project, for who types a name (see ``Deleting.named``)."""
        return await Deleting(self.services).named(name)


@dataclass(frozen=True)
class _Children:
    """The runs that are a part of another run; their ids begin with its id."""

    runner: Runner
    parent: Run
    claim: Claim

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
        relay = _relay(workflow, speak)
        return await self.runner.execute(child.workflow_id, on_event=relay, under=self.claim)

    async def decide(
        self, workflow: str, answer: str, speak: Speak, *, asked: Sequence[str]
    ) -> Json:
        """Answer the question that it waits with, or go on where it was answered already."""
        child = await self.runner.get(self._id(workflow))
        relay = _relay(workflow, speak)
        if child.status is not RunStatus.WAITING:
            return await self.runner.execute(child.workflow_id, on_event=relay, under=self.claim)
        if child.result is not None and child.result["questions"] != list(asked):
            # A process died between the child's next question and its parent's.
            return child.result
        return await self.runner.decide(child.workflow_id, answer, on_event=relay, under=self.claim)

    async def refused(self, workflow: str, error: MMMError, decision: Decision) -> Json:
        """The result of a part that failed, without a body; its decisions, and this one."""
        child = await self.runner.get(self._id(workflow))
        runs = self.runner.services.runs
        result = Result(
            workflow_id=child.workflow_id,
            status=child.status,
            project=child.project,
            depth=child.depth,
            seed=child.seed,
            decisions=(*await runs.decisions(child.workflow_id), decision),
            artifacts=tuple(await runs.artifacts(child.workflow_id)),
            error=ErrorInfo(code=error.code, message=error.message),
        )
        return result.model_dump(mode="json")

    def _id(self, workflow: str) -> str:
        return f"{self.parent.workflow_id}.{workflow}"


def _relay(workflow: str, speak: Speak) -> OnEvent:
    async def relay(event: Event) -> None:
        await speak(event.progress, f"{workflow}: {event.message}", event.data)

    return relay

"""Runs that are left to workers: queued for good, taken by one of them, given back or ended."""

from __future__ import annotations

from dataclasses import dataclass

from mmm_workflows.db.claims import Claim
from mmm_workflows.errors import MMMError, RunBusy
from mmm_workflows.records import DEFAULT_PROJECT, Depth, Run, RunStatus
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.contracts import DEFAULT_SEED, Request
from mmm_workflows.workflows.execution import end
from mmm_workflows.workflows.refusals import refuse_crashes, refuse_other_graph
from mmm_workflows.workflows.runner import Runner


@dataclass(frozen=True)
class Queue:
    """The runs that workers take, in the run database: what is on it outlives every process."""

    runner: Runner

    async def accept(
        self,
        workflow: str,
        request: Request,
        *,
        workflow_id: str | None = None,
        project: str = DEFAULT_PROJECT,
        seed: int = DEFAULT_SEED,
        depth: Depth = Depth.STANDARD,
        once: bool = False,
    ) -> Run:
        """Submit a run and leave it to the workers; one that they have already stays theirs.

        With ``once``, one that has ended starts nothing anew, not even when it has failed.
        """
        run = await self.runner.submit(
            workflow, request, workflow_id=workflow_id, project=project, seed=seed, depth=depth
        )
        if once and run.status.is_final:
            return run
        try:
            return await self.enqueue(run.workflow_id)
        except RunBusy:
            return await self.runner.get(run.workflow_id)

    async def enqueue(self, workflow_id: str) -> Run:
        """Leave a run to the workers, to go on where it stopped; one that waits or is done stays.

        Raises:
            RunError: It was started by another version of its workflow (``run_graph_changed``), or
                somebody works on it or is about to (``run_busy``).
        """
        run = await self.runner.services.runs.get(workflow_id)
        refuse_other_graph(run, registry.find(run.workflow).load())
        await self.runner.services.claims.enqueue(workflow_id)
        return await self.runner.services.runs.get(workflow_id)

    async def answer(self, workflow_id: str, answer: str) -> Run:
        """Answer the question that a run waits with, and leave it to the workers.

        Raises:
            RunError: The run does not wait for an answer (``run_state``).
        """
        async with self.runner.services.claims.hold(workflow_id) as claim:
            await self.runner.note(claim, workflow_id, answer, on_queue=True)
        return await self.runner.services.runs.get(workflow_id)

    async def take(self) -> Claim | None:
        """The claim on the run that has waited longest; None: there is nothing to do."""
        return await self.runner.services.claims.take_next()

    async def work_on(self, claim: Claim) -> None:
        """Work on a run that was taken from the queue; its record says how that ended.

        Raises:
            MMMError: What the workflow raised.
        """
        services = self.runner.services
        async with services.claims.keep(claim):
            run = await services.runs.get(claim.workflow_id)
            if run.cancel_requested:
                await end(services, claim, run, RunStatus.CANCELLED)
                return
            try:
                refuse_crashes(run, claim.attempts)
                refuse_other_graph(run, registry.find(run.workflow).load())
            except MMMError as error:
                # It would be taken again at once.
                await end(services, claim, run, RunStatus.FAILED, error)
                raise
            await self.runner.work(claim, claim.workflow_id)

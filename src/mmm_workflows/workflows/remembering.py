"""Memory over the runs: what they left behind is brought in when somebody asks.

The run database is the outbox: what a run leaves behind follows from its stored request and result,
so nothing is lost when a store is away or a process dies, and everything can be brought in again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmm_workflows.bootstrap import Services
from mmm_workflows.errors import RunError
from mmm_workflows.mmm.knowledge import Edge, Node
from mmm_workflows.mmm.lineage import describe_path, knowledge_of
from mmm_workflows.records import Run, RunStatus

if TYPE_CHECKING:
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.mmm.recall import Recall, Repair


@dataclass(frozen=True)
class Remembering:
    """Memory of one set of services."""

    services: Services

    async def recall(self, question: str, *, project: str, k: int) -> Recall:
        """The ``k`` passages of a project's runs that may answer."""
        memory = await self.bring_in(project)
        return await memory.recall(question, project=project, k=k)

    async def lineage(self, workflow_id: str) -> tuple[str, ...]:
        """What a run rests on, down to files and pages, one line per step.

        Raises:
            RunError: There is no such run, or nothing is known of it (``run_not_found``).
        """
        run = await self.services.runs.get(workflow_id)
        nodes, edges = await self._graph(run.project)
        start = next(
            (n.node_id for n in nodes if n.kind == "Analysis" and n.workflow_id == workflow_id),
            None,
        )
        if start is None:
            raise RunError(
                f"Nothing is known of run {workflow_id}: only runs that have succeeded leave "
                "something behind.",
                code="run_not_found",
            )
        return tuple(describe_path(nodes, edges, start))

    async def export(self, project: str) -> bytes:
        """The graph of a project as GraphML."""
        from mmm_workflows.db.graph_export import graphml

        nodes, edges = await self._graph(project)
        return graphml(nodes, edges)

    async def repair(self, project: str, *, rebuild: bool) -> Repair:
        """Put right what one store lacks and another has, or make all vectors anew."""
        memory = await self.bring_in(project)
        return await (memory.rebuild(project) if rebuild else memory.repair(project))

    async def forget(self, project: str, workflow_ids: Sequence[str] | None = None) -> None:
        """Remove what some runs left behind from every store, or all of a project at once."""
        if not self.services.has_memory():
            return
        memory = await self.services.open_memory()
        if workflow_ids is None:
            await memory.forget(project)
            return
        for workflow_id in workflow_ids:
            await memory.forget(project, workflow_id=workflow_id)

    async def bring_in(self, project: str) -> Memory:
        """Write what the project's runs left behind and memory does not have yet."""
        memory = await self.services.open_memory()
        known = await memory.workflow_ids(project)
        done = await self.services.runs.list(
            project=project, status=RunStatus.SUCCEEDED, limit=None
        )
        for run in reversed(done):
            if run.workflow_id not in known:
                await _remember(memory, run)
        return memory

    async def _graph(self, project: str) -> tuple[list[Node], list[Edge]]:
        memory = await self.bring_in(project)
        return await memory.everything(project)


async def _remember(memory: Memory, run: Run) -> None:
    if run.result is None:
        return
    left = knowledge_of(run.workflow, run.result, request=run.request, at=run.updated_at)
    await memory.remember(
        list(left.nodes.values()), list(left.edges.values()), list(left.passages.values())
    )

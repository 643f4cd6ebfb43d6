"""Memory over the runs: asked, followed down to its sources, repaired and made to forget.

What a run leaves behind follows from its stored request and result, and the outbox in the run
database says what of it a store has yet to take: nothing is lost when a store is away or a process
dies.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from mmm_workflows.bootstrap import Services
from mmm_workflows.db.outbox import QUEUED, Action
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.chain import Lineage, Link, chain_of_node, graph_ids, marked
from mmm_workflows.mmm.chain_files import claim_link
from mmm_workflows.mmm.knowledge import Edge, Node, NodeKind, Period
from mmm_workflows.mmm.recall import Scope
from mmm_workflows.records import Backlog
from mmm_workflows.workflows.tracing import Tracing, unknown

if TYPE_CHECKING:
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.mmm.recall import Recall, Repair


class Forgotten(BaseModel):
    """What is left of a forgotten project: its name, when, and how many runs it had.

    Attributes:
        forgotten_at: When the last store had done it; None while one is away.
        reason: Why one is away.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    runs: int
    queued_at: datetime
    forgotten_at: datetime | None
    reason: str | None


@dataclass(frozen=True)
class Remembering:
    """Memory of one set of services."""

    services: Services

    async def recall(
        self,
        question: str,
        *,
        project: str,
        k: int,
        at: datetime | None = None,
        about: Period | None = None,
        current: bool = False,
        wait_s: float | None = None,
    ) -> Recall:
        """The ``k`` passages of a project's runs that may answer, and how many writes still wait.

        Args:
            question: In plain words.
            project: Whose runs.
            k: At most so many.
            at: As known at that moment; None for now.
            about: What speaks of some of these days; None for all.
            current: Leave out what was superseded.
            wait_s: How long to wait for what is still to be written; None for all of it.
        """
        memory = await self.bring_in(project, wait_s=wait_s)
        scope = Scope(project=project, at=at, about=about, current=current)
        recall = await memory.recall(question, scope=scope, k=k)
        return recall.model_copy(update={"waiting": (await self.backlog(project)).waiting})

    async def backlog(self, project: str | None = None) -> Backlog:
        """What of a project, or of all, memory has yet to write or to forget."""
        return await self.services.outbox.backlog(project)

    async def lineage(self, asked: str, *, project: str) -> Lineage:
        """The whole chain from a number, a run, a kept file or a node down to cells and pages.

        Args:
            asked: ``RUN#/channels/0/roas/mean`` (a JSON pointer into its result), a run's id, a
                kept file's path or sha256, or a node's id or name.
            project: Where files and nodes are looked for; a run is found wherever it is.

        Raises:
            UserError: There is no such thing (``lineage_unknown``).
        """
        name, _, pointer = asked.partition("#")
        runs, found = self.services.runs, None
        if await runs.exists(name):
            run = await runs.get(name)
            project = run.project
            tracing = Tracing(runs, project, self.services.at_hand)
            found = await (tracing.number(run, pointer) if pointer else tracing.run(run))
        elif not pointer:
            found = await Tracing(runs, project, self.services.at_hand).file(
                name
            ) or await self._node(name, project)
        if found is None:
            raise unknown(asked, project)
        ids = graph_ids(found, project)
        try:
            memory = await self.bring_in(project)
            around = await memory.around(project, sorted(ids))
        except ServiceUnavailable as error:
            return Lineage(asked=asked, project=project, chain=found, graph=error.message)
        return Lineage(asked=asked, project=project, chain=marked(found, ids, *around))

    async def _node(self, name: str, project: str) -> Link | None:
        """What a node of the graph stands for, by its id, its name or a claim's id."""
        nodes, edges = await self._graph(project)
        node = next(
            (n for n in nodes if name in (n.node_id, n.name, n.properties.get("claim_id"))), None
        )
        if node is None:
            return None
        tracing = Tracing(self.services.runs, project, self.services.at_hand)
        if node.kind is NodeKind.CLAIM:
            claims = await tracing.claims([str(node.properties.get("claim_id"))])
            if claims:
                return claim_link(*claims.values())
        if node.kind in (NodeKind.ANALYSIS, NodeKind.SCENARIO):
            return await tracing.run(await self.services.runs.get(node.workflow_id))
        path = node.properties.get("path")
        found = await tracing.file(path) if isinstance(path, str) else None
        return found or chain_of_node(node, nodes, edges)

    async def export(self, project: str) -> bytes:
        """The graph of a project as GraphML."""
        from mmm_workflows.db.graph_export import graphml

        nodes, edges = await self._graph(project)
        return graphml(nodes, edges)

    async def repair(self, project: str, *, rebuild: bool) -> Repair:
        """Make the stores what the project's runs say, or make all vectors anew."""
        return await self.services.drain.repair(project, rebuild=rebuild)

    async def standing(self, workflow_ids: Collection[str]) -> dict[str, str]:
        """Of each run that left something: ``kept``, ``queued``, or ``delayed: ...`` with why."""
        entries = await self.services.outbox.of_runs(workflow_ids)
        return {workflow_id: entry.standing for workflow_id, entry in entries.items()}

    async def forget_project(self, project: str, *, runs: int) -> None:
        """Note that a project with so many runs is to be forgotten as a whole."""
        await self.services.outbox.forget_project(project, runs=runs)

    async def forgotten(self) -> tuple[Forgotten, ...]:
        """The projects that were forgotten as a whole, the first one first."""
        return tuple(
            Forgotten(
                project=entry.project,
                runs=entry.runs,
                queued_at=entry.queued_at,
                forgotten_at=entry.done_at,
                reason=entry.reason,
            )
            for entry in await self.services.outbox.forgotten()
        )

    async def drain(self, project: str | None = None) -> None:
        """Write and forget what waits, of a project or of all; what a store refuses waits on."""
        await self.services.drain.run(project)

    async def still_to_forget(self, project: str) -> str | None:
        """Why something of a project is not forgotten yet; None where all that was to go is gone."""
        waiting = await self.services.outbox.waiting(project)
        left = [entry for entry in waiting if entry.action is Action.FORGET]
        return next((entry.reason for entry in left if entry.reason), QUEUED) if left else None

    async def bring_in(self, project: str, *, wait_s: float | None = None) -> Memory:
        """Memory, with what waits for it of a project, or what of that came within some seconds."""
        if wait_s is None:
            await self.drain(project)
            return await self.services.open_memory()
        memory = await self.services.open_memory()
        await self.services.drain.run_for(project, wait_s)
        return memory

    async def _graph(self, project: str) -> tuple[list[Node], list[Edge]]:
        memory = await self.bring_in(project)
        return await memory.everything(project)

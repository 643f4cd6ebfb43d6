"""What a node may use: the stores, the compute and a voice, injected by LangGraph's Runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from pydantic import BaseModel

from mmm_workflows.db.artifacts import ArtifactStore
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import MMMError, UserError
from mmm_workflows.mmm.model_files import ModelFolder
from mmm_workflows.mmm.recall import Recall
from mmm_workflows.ports import Compute
from mmm_workflows.records import MODEL, Artifact, Decision, Depth, Json, Run, RunStatus
from mmm_workflows.tools.code_executor import CodeExecutor
from mmm_workflows.tools.web import OpenWeb, WebLimits
from mmm_workflows.workflows.contracts import Request
from mmm_workflows.workflows.words import Writer

# What a run learns from earlier ones, it learns from so many: each is read with its result.
EARLIER_RUNS: Final = 100
READ_OF_EARLIER: Final = ("mff_data_path", "model_artifact_path")

logger = logging.getLogger(__name__)


class Speak(Protocol):
    """Emits an event of the present step; ``fraction`` is how much of the step is done."""

    async def __call__(self, fraction: float, message: str, data: Json | None = None) -> None:
        """Write the event to the log and tell the watchers."""
        ...


type AtHand = Callable[[Sequence[str]], Awaitable[None]]
type Draw = Callable[[Sequence[str]], Awaitable[list[str]]]
type OpenExecutor = Callable[[], Awaitable[CodeExecutor]]


class Children(Protocol):
    """Runs another workflow as a part of this run, under an id derived from it."""

    async def run(self, workflow: str, request: Request, speak: Speak) -> Json:
        """Run it, or return the stored result of an equal earlier run."""
        ...

    async def decide(
        self, workflow: str, answer: str, speak: Speak, *, asked: Sequence[str]
    ) -> Json:
        """Answer the questions ``asked``; the result, or the next question that it waits with."""
        ...

    async def refused(self, workflow: str, error: MMMError, decision: Decision) -> Json:
        """The result of a part that ended with an error that its whole can do without."""
        ...


class RecallEarlier(Protocol):
    """Finds what earlier runs of this run's project left behind."""

    async def __call__(self, question: str, *, k: int) -> Recall:
        """The ``k`` passages that may answer, with the ways that could not be used.

        Raises:
            MMMError: Memory cannot be opened.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything a node may reach; one per execution of a run.

    Attributes:
        draw: Makes an SVG picture of each Vega-Lite specification.
        web: Whether a run searches the web that does not say so itself.
        writer: Frames and explains; by rules where no model is set.
        coder: Writes code; by rules, that is not at all, where no model is set.
    """

    workflow_id: str
    project: str
    seed: int
    depth: Depth
    runs: RunStore
    artifacts: ArtifactStore
    compute: Compute
    draw: Draw
    open_executor: OpenExecutor
    web: Literal["off", "on"]
    open_web: OpenWeb
    web_limits: WebLimits
    writer: Writer
    coder: Writer
    children: Children
    recall: RecallEarlier
    at_hand: AtHand
    speak_as: Callable[[str], Speak]

    async def done(self, workflow: str, *, limit: int | None = EARLIER_RUNS) -> list[Run]:
        """The project's runs of a workflow that have succeeded, the newest first.

        Their data and models can be read on this machine, as far as they are still kept.
        """
        found = await self.runs.list(
            project=self.project, workflow=workflow, status=RunStatus.SUCCEEDED, limit=limit
        )
        for path in dict.fromkeys(path for run in found for path in _paths_of(run)):
            try:
                await self.at_hand([path])
            except UserError as error:
                # Damage of an earlier run: who reads it finds nothing there, and says that.
                logger.warning("%s", error.message)
        return found

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Write decisions down once, also when a step runs again after a crash."""
        known = {(d.question, d.choice) for d in await self.runs.decisions(self.workflow_id)}
        fresh = [d for d in decisions if (d.question, d.choice) not in known]
        if fresh:
            await self.runs.add_decisions(self.workflow_id, fresh)

    async def keep(self, kind: str, name: str, content: bytes) -> Artifact:
        """Keep a file as an artifact of this run."""
        artifact = await self.artifacts.put_file(
            self.project, kind, content, workflow_id=self.workflow_id, name=name
        )
        await self.runs.register_artifact(artifact)
        return artifact

    async def keep_folder(self, kind: str, folder: Path) -> Artifact:
        """Keep a folder as an artifact of this run."""
        artifact = await self.artifacts.put_folder(
            self.project, kind, folder, workflow_id=self.workflow_id
        )
        await self.runs.register_artifact(artifact)
        return artifact

    async def register_model(self, model: ModelFolder) -> None:
        """Note that this run uses a model folder, which equal runs share."""
        artifact = await asyncio.to_thread(_as_artifact, model, self.project, self.workflow_id)
        await self.runs.register_artifact(artifact)

    async def keep_json(self, kind: str, value: BaseModel) -> Artifact:
        """Keep a value as a JSON artifact of this run."""
        return await self.keep(kind, f"{kind}.json", value.model_dump_json(indent=2).encode())


def _paths_of(run: Run) -> list[str]:
    said = {**run.request, **(run.result or {})}
    return [str(said[name]) for name in READ_OF_EARLIER if said.get(name)]


async def read_kept(path: str) -> bytes:
    """The content of a file that a step before kept."""
    return await asyncio.to_thread(Path(path).read_bytes)


def _as_artifact(model: ModelFolder, project: str, workflow_id: str) -> Artifact:
    return Artifact(
        project=project,
        artifact_id=model.sha256,
        kind=MODEL,
        path=str(model.path),
        sha256=model.sha256,
        size_bytes=sum(f.stat().st_size for f in model.path.iterdir()),
        workflow_id=workflow_id,
    )


type Emit = Callable[[str, float, str, Json | None], Awaitable[None]]

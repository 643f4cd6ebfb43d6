"""What a node may use: the stores, the compute and a voice, injected by LangGraph's Runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel

from mmm_workflows.db.artifacts import ArtifactStore
from mmm_workflows.db.runs import RunStore
from mmm_workflows.mmm.model_files import ModelFolder
from mmm_workflows.ports import Compute
from mmm_workflows.records import MODEL, Artifact, Decision, Depth, Json
from mmm_workflows.tools.code_executor import CodeExecutor
from mmm_workflows.tools.web import OpenWeb, WebLimits
from mmm_workflows.workflows.contracts import Request
from mmm_workflows.workflows.words import Writer


class Speak(Protocol):
    """Emits an event of the present step; ``fraction`` is how much of the step is done."""

    async def __call__(self, fraction: float, message: str, data: Json | None = None) -> None:
        """Write the event to the log and tell the watchers."""
        ...


type OpenExecutor = Callable[[], Awaitable[CodeExecutor]]


class Children(Protocol):
    """Runs another workflow as a part of this run, under an id derived from it."""

    async def run(self, workflow: str, request: Request, speak: Speak) -> Json:
        """Run it, or return the stored result of an equal earlier run."""
        ...

    async def decide(self, workflow: str, answer: str, speak: Speak) -> Json:
        """Answer the question that it waits with."""
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything a node may reach; one per execution of a run.

    Attributes:
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
    open_executor: OpenExecutor
    web: Literal["off", "on"]
    open_web: OpenWeb
    web_limits: WebLimits
    writer: Writer
    coder: Writer
    children: Children
    speak_as: Callable[[str], Speak]

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

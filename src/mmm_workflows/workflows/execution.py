"""One execution of one run: its graph is invoked, its events are told, its end is written down."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from mmm_workflows.bootstrap import Services
from mmm_workflows.errors import MMMError
from mmm_workflows.llm.chat import ChatModel
from mmm_workflows.records import ErrorInfo, Event, Json, Run, RunStatus
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.context import Children, Context, Speak
from mmm_workflows.workflows.contracts import Result
from mmm_workflows.workflows.graph import Workflow
from mmm_workflows.workflows.words import Writer, usage_in

RECURSION_LIMIT: Final = 50
POLL_S: Final = 0.5

logger = logging.getLogger(__name__)

type OnEvent = Callable[[Event], Awaitable[None] | None]


class Execution:
    """One execution of one run: its voice, its context and its end."""

    def __init__(
        self,
        services: Services,
        run: Run,
        workflow: Workflow[Any],
        children: Children,
        on_event: OnEvent | None,
    ) -> None:
        self._services = services
        self._run = run
        self._workflow = workflow
        self._on_event = on_event
        self._step: str | None = run.step
        self._progress = 0.0
        self._budget = services.languages.budget()
        self._context = Context(
            workflow_id=run.workflow_id,
            project=run.project,
            seed=run.seed,
            depth=run.depth,
            runs=services.runs,
            artifacts=services.artifacts,
            compute=services.compute,
            open_executor=services.open_executor,
            web=services.web,
            open_web=services.open_web,
            web_limits=services.web_limits,
            writer=self._writer(services.languages.reasoning),
            coder=self._writer(services.languages.coding),
            children=children,
            speak_as=self._speak_as,
        )

    async def run_to_end(self, durability: registry.Durability, answer: str | None) -> Json:
        """Invoke the graph until it ends, waits, fails or is cancelled; the record says which."""
        if self._services.languages.names:
            events = await self._services.runs.events(self._run.workflow_id)
            self._budget.charge(usage_in(events))
        await self._emit(RunStatus.RUNNING, f"{self._workflow.name} started")
        work = asyncio.create_task(self._invoke(durability, answer))
        try:
            result = await self._unless_cancelled(work)
        except asyncio.CancelledError:
            await self._emit(RunStatus.CANCELLED, "cancelled")
            raise
        except MMMError as error:
            await self._fail(ErrorInfo(code=error.code, message=error.message))
            raise
        except Exception as error:
            logger.exception("run %s failed on our side", self._run.workflow_id)
            sentence = (
                f"Something went wrong on our side; the log names run {self._run.workflow_id}."
            )
            await self._fail(ErrorInfo(code="internal", message=sentence))
            raise MMMError(sentence) from error
        status = RunStatus(result["status"])
        await self._services.runs.update(self._run.workflow_id, result=result)
        if status is RunStatus.SUCCEEDED:
            self._progress = 1.0
        await self._emit(status, str(status))
        return result

    async def _invoke(self, durability: registry.Durability, answer: str | None) -> Json:
        graph = self._workflow.graph().compile(checkpointer=self._services.checkpointer)
        config: RunnableConfig = {
            "configurable": {"thread_id": thread_id(self._run)},
            "recursion_limit": RECURSION_LIMIT,
        }
        saved = await graph.aget_state(config)
        first = None if saved.values else self._workflow.first_state(self._run.request)
        if not saved.values or (saved.next and (answer is not None or not saved.interrupts)):
            given = first if answer is None else Command(resume=answer)
            await graph.ainvoke(given, config, context=self._context, durability=durability)
            saved = await graph.aget_state(config)
        if saved.interrupts:
            return await self._result(RunStatus.WAITING, saved.interrupts[0].value)
        body = await asyncio.to_thread(_read_json, saved.values["body_path"])
        return await self._result(RunStatus.SUCCEEDED, body)

    async def _result(self, status: RunStatus, body: Json) -> Json:
        runs, workflow_id = self._services.runs, self._run.workflow_id
        result = Result(
            workflow_id=workflow_id,
            status=status,
            project=self._run.project,
            depth=self._run.depth,
            seed=self._run.seed,
            decisions=tuple(await runs.decisions(workflow_id)),
            artifacts=tuple(await runs.artifacts(workflow_id)),
        )
        return {**result.model_dump(mode="json"), **body}

    async def _unless_cancelled(self, work: asyncio.Task[Json]) -> Json:
        try:
            while not (await asyncio.wait({work}, timeout=POLL_S))[0]:
                run = await self._services.runs.get(self._run.workflow_id)
                if run.cancel_requested:
                    work.cancel()
            return await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _writer(self, model: ChatModel | None) -> Writer:
        async def tell(message: str, data: Json) -> None:
            await self._emit(RunStatus.RUNNING, message, data)

        limit = self._services.languages.max_reply_tokens
        return Writer(model, self._budget, tell, max_reply_tokens=limit)

    async def _fail(self, error: ErrorInfo) -> None:
        await self._services.runs.update(self._run.workflow_id, error=error)
        await self._emit(RunStatus.FAILED, error.message)

    def _speak_as(self, step: str) -> Speak:
        begin, end = self._workflow.span(step)

        async def speak(fraction: float, message: str, data: Json | None = None) -> None:
            self._step = step
            self._progress = begin + (end - begin) * min(max(fraction, 0.0), 1.0)
            await self._emit(RunStatus.RUNNING, message, data)

        return speak

    async def _emit(self, status: RunStatus, message: str, data: Json | None = None) -> None:
        runs, workflow_id = self._services.runs, self._run.workflow_id
        await runs.update(workflow_id, status=status, step=self._step, progress=self._progress)
        event = await runs.append_event(
            workflow_id,
            status=status,
            step=self._step,
            progress=self._progress,
            message=message,
            data=data,
        )
        await self._services.progress.publish(event)
        if self._on_event is not None:
            told = self._on_event(event)
            if inspect.isawaitable(told):
                await told


def thread_id(run: Run) -> str:
    """LangGraph's name for a run: never shown, and another one for another graph."""
    return f"{run.workflow}:{run.graph_version}:{run.workflow_id}"


def _read_json(path: str) -> Json:
    body: Json = json.loads(Path(path).read_bytes())
    return body

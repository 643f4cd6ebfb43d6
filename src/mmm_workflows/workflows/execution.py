"""One execution of one run: its graph is invoked, its events are told, its end is written down."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, StateSnapshot
from structlog.contextvars import bound_contextvars

from mmm_workflows.bootstrap import Services
from mmm_workflows.db.checkpoints import delete_thread
from mmm_workflows.db.claims import Claim
from mmm_workflows.db.patience import Patience
from mmm_workflows.errors import (
    MMMError,
    RunBusy,
    RunCancelled,
    RunLost,
    RunNotFound,
    ServiceLost,
)
from mmm_workflows.llm.chat import ChatModel
from mmm_workflows.records import ErrorInfo, Event, Json, Run, RunStatus
from mmm_workflows.traces import span
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.context import Children, Context, RecallEarlier, Speak
from mmm_workflows.workflows.contracts import Result
from mmm_workflows.workflows.graph import Workflow
from mmm_workflows.workflows.words import Writer, usage_in

# The workflow whose parts are runs of their own.
PIPELINE: Final = "pipeline"
PARTS: Final = ("research", "eda", "modeling", "whatif")
RECURSION_LIMIT: Final = 50
POLL_S: Final = 0.5

logger = logging.getLogger(__name__)

type OnEvent = Callable[[Event], Awaitable[None] | None]


class Execution:
    """One execution of one run: its voice, its context and its end."""

    def __init__(
        self,
        services: Services,
        claim: Claim,
        run: Run,
        workflow: Workflow[Any],
        children: Children,
        recall: RecallEarlier,
        on_event: OnEvent | None,
        patience: Patience,
    ) -> None:
        self._services = services
        self._patience = patience
        self._delays_told = len(patience.delays)
        self._claim = claim
        self._runs = services.runs.under(claim.token)
        self._run = run
        self._workflow = workflow
        self._on_event = on_event
        self._step: str | None = run.step
        self._asked: str | None = None
        self._progress = 0.0
        self._budget = services.languages.budget()
        self._context = Context(
            workflow_id=run.workflow_id,
            project=run.project,
            seed=run.seed,
            depth=run.depth,
            runs=self._runs,
            artifacts=services.artifacts,
            compute=services.compute,
            draw=services.pictures.draw,
            open_executor=services.open_executor,
            web=services.web,
            open_web=services.open_web,
            web_limits=services.web_limits,
            writer=self._writer(services.languages.reasoning),
            coder=self._writer(services.languages.coding),
            children=children,
            recall=recall,
            at_hand=services.at_hand,
            speak_as=self._speak_as,
        )

    async def run_to_end(self, durability: registry.Durability) -> Json:
        """Invoke the graph until it ends, waits, fails or is cancelled; the record says which.

        Raises:
            CancelledError: Somebody asked for the run, or a part of it, to be cancelled, or the
                caller itself is told to stop.
            MMMError: What the workflow raised.
        """
        # Every line of the log that is written on the way says whose it is.
        whose = {"workflow_id": self._run.workflow_id, "project": self._run.project}
        with bound_contextvars(**whose), span(f"run {self._run.workflow}", **whose):
            try:
                return await self._run_to_end(durability)
            except (asyncio.CancelledError, RunLost, RunNotFound):
                await self._leave_nothing_of_a_deleted_run()
                raise

    async def _run_to_end(self, durability: registry.Durability) -> Json:
        if self._services.languages.names:
            events = await self._services.runs.events(self._run.workflow_id)
            self._budget.charge(usage_in(events))
        await self._emit(RunStatus.RUNNING, f"{self._workflow.name} started")
        work = asyncio.create_task(self._invoke(durability))
        try:
            result = await self._unless_cancelled(work)
        except asyncio.CancelledError:
            await self._stop()
            raise
        except RunCancelled as part:
            await self._stop()
            raise asyncio.CancelledError(part.message) from part
        except RunLost:
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
        await self._runs.update(
            self._run.workflow_id, result=result, asked=self._asked, answer=None
        )
        try:
            if status is RunStatus.SUCCEEDED:
                self._progress = 1.0
                await self._tell_of_memory()
        finally:
            # Whatever becomes of its memory, and whoever stops waiting for that: the run has ended.
            await self._emit(status, str(status))
        if status is RunStatus.WAITING:
            await self._cancel_if_asked()
        return result

    async def _leave_nothing_of_a_deleted_run(self) -> None:
        """Remove what was saved after another, who had taken the run over, deleted it.

        Records refuse a lost claim; LangGraph's checkpoints know of none.
        """
        try:
            if not await self._services.runs.exists(self._run.workflow_id):
                await delete_thread(self._services.checkpointer, thread_id(self._run))
        except Exception:
            # What ended the run is what its caller hears of.
            logger.exception("a checkpoint of run %s may be left", self._run.workflow_id)

    async def _tell_of_memory(self) -> None:
        """Say why what the run left behind could not be kept yet, where that is so."""
        run = self._run
        reason = await self._services.drain.settle(run.workflow_id, run.project)
        if reason is not None:
            await self._emit(RunStatus.RUNNING, f"memory delayed: {reason}")

    async def _cancel_if_asked(self) -> None:
        """Heed a request that came too late to stop the work and too early to find it ended."""
        services, workflow_id = self._services, self._run.workflow_id
        if not (await services.runs.get(workflow_id)).cancel_requested:
            return
        with contextlib.suppress(RunBusy):
            async with services.claims.hold(workflow_id) as claim:
                run = await services.runs.get(workflow_id)
                if run.status is RunStatus.WAITING:
                    await end(services, claim, run, RunStatus.CANCELLED)

    async def _stop(self) -> None:
        """Write down how a stopped execution leaves its run; one that was lost is another's."""
        self._patience.stop()
        try:
            if self._claim.is_put_back:
                await self._emit(RunStatus.QUEUED, "put back: the process that worked on it stops")
            elif not self._claim.is_lost:
                await self._emit(RunStatus.CANCELLED, "cancelled")
        except ServiceLost as error:
            logger.warning(
                "run %s was stopped, which could not be written: %s",
                self._run.workflow_id,
                error.message,
            )

    async def _invoke(self, durability: registry.Durability) -> Json:
        await self._bring_what_is_read()
        graph = self._workflow.graph().compile(checkpointer=self._services.checkpointer)
        config: RunnableConfig = {
            "configurable": {"thread_id": thread_id(self._run)},
            "recursion_limit": RECURSION_LIMIT,
        }
        saved = await graph.aget_state(config)
        # `next` leaves out a step whose writes were kept before a kill, and not yet the checkpoint
        # after it; `tasks` has it. Within the first step there may be neither: that is no end.
        is_begun = bool(saved.values and (saved.tasks or saved.values.get("body_path")))
        first = None if is_begun else self._workflow.first_state(self._run.request)
        answer = await self._answer(saved)
        if not is_begun or (saved.tasks and (answer is not None or not saved.interrupts)):
            given = first if answer is None else Command(resume=answer)
            await graph.ainvoke(given, config, context=self._context, durability=durability)
            saved = await graph.aget_state(config)
        if saved.interrupts:
            self._asked = saved.interrupts[0].id
            return await self._result(RunStatus.WAITING, saved.interrupts[0].value)
        body = await asyncio.to_thread(_read_json, saved.values["body_path"])
        return await self._result(RunStatus.SUCCEEDED, body)

    async def _bring_what_is_read(self) -> None:
        """What the request names, and what this run left on another machine."""
        kept = await self._runs.artifacts(self._run.workflow_id)
        await self._services.at_hand([*_texts(self._run.request), *(a.path for a in kept)])

    async def _answer(self, saved: StateSnapshot) -> str | None:
        """The answer to the open question; one that the checkpoint has taken in is not for it."""
        read = partial(self._services.claims.answer, self._run.workflow_id)
        found = await self._patience.keep_trying(read)
        if found is None or not saved.interrupts:
            return None
        return found.text if found.asked in (None, saved.interrupts[0].id) else None

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
        # Once: what it ends on its way, as a fit, gets the time that it takes.
        is_ending = False
        try:
            while not (await asyncio.wait({work}, timeout=POLL_S))[0]:
                run = await self._services.runs.get(self._run.workflow_id)
                if run.cancel_requested and not is_ending:
                    is_ending = work.cancel()
                await self._tell_delay()
            return await work
        except asyncio.CancelledError:
            # LangGraph ends once its last checkpoint is written: who is told to stop while the
            # database is away does not wait for that.
            self._patience.stop()
            raise
        finally:
            if not is_ending:
                work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _writer(self, model: ChatModel | None) -> Writer:
        async def tell(message: str, data: Json) -> None:
            await self._emit(RunStatus.RUNNING, message, data)

        limit = self._services.languages.max_reply_tokens
        return Writer(model, self._budget, tell, max_reply_tokens=limit)

    async def _fail(self, error: ErrorInfo) -> None:
        await self._runs.update(self._run.workflow_id, error=error)
        await self._emit(RunStatus.FAILED, error.message)

    def _speak_as(self, step: str) -> Speak:
        begin, end = self._workflow.span(step)

        async def speak(fraction: float, message: str, data: Json | None = None) -> None:
            self._step = step
            self._progress = begin + (end - begin) * min(max(fraction, 0.0), 1.0)
            await self._emit(RunStatus.RUNNING, message, data)

        return speak

    async def _emit(self, status: RunStatus, message: str, data: Json | None = None) -> None:
        await self._tell_delay()
        await self._append(status, message, data)

    async def _tell_delay(self) -> None:
        for delay in self._patience.delays[self._delays_told :]:
            self._delays_told += 1
            said = f"records were delayed for {delay:.1f} s: their database was away"
            await self._append(RunStatus.RUNNING, said, {"delayed_s": round(delay, 1)})

    async def _append(self, status: RunStatus, message: str, data: Json | None) -> None:
        event = await self._runs.append_event(
            self._run.workflow_id,
            status=status,
            step=self._step,
            progress=self._progress,
            message=message,
            data=data,
        )
        if self._run.workflow_id == self._claim.workflow_id:
            self._claim.is_over = status is not RunStatus.RUNNING
        await self._services.progress.publish(event)
        if self._on_event is not None:
            told = self._on_event(event)
            if inspect.isawaitable(told):
                await told


async def end(
    services: Services, claim: Claim, run: Run, status: RunStatus, error: MMMError | None = None
) -> None:
    """Write the end of a run down that is not executed: it is cancelled, or refused.

    What is a part of it and was left in the middle ends with it, and first.
    """
    for part in await parts_of(services, run):
        if part.status.is_final:
            continue
        # Of this name there may be a run that somebody started by itself.
        with contextlib.suppress(RunBusy):
            async with services.claims.hold(part.workflow_id, under=claim):
                await _tell_end(services, claim, part, status, error)
    await _tell_end(services, claim, run, status, error)
    claim.is_over = True


async def parts_of(services: Services, run: Run) -> Sequence[Run]:
    """The runs that are parts of a run: a pipeline has some, no other workflow has.

    A run that was started by itself under the name of a part, with another seed or depth, is none.
    """
    if run.workflow != PIPELINE:
        return ()
    named = await services.runs.parts(run.workflow_id, run.project)
    alike = [r for r in named if (r.seed, r.depth) == (run.seed, run.depth)]
    return [r for r in alike if r.workflow in PARTS]


async def _tell_end(
    services: Services, claim: Claim, run: Run, status: RunStatus, error: MMMError | None
) -> None:
    runs = services.runs.under(claim.token)
    if error is not None:
        told = ErrorInfo(code=error.code, message=error.message)
        await runs.update(run.workflow_id, error=told)
    event = await runs.append_event(
        run.workflow_id,
        status=status,
        step=run.step,
        progress=run.progress,
        message=str(status) if error is None else error.message,
    )
    await services.progress.publish(event)


def thread_id(run: Run) -> str:
    """LangGraph's name for a run: never shown, and another one for another graph."""
    return f"{run.workflow}:{run.graph_version}:{run.workflow_id}"


def _read_json(path: str) -> Json:
    body: Json = json.loads(Path(path).read_bytes())
    return body


def _texts(request: Json) -> list[str]:
    """The texts of a request, one by one or in lists; some of them are paths."""
    values = [each for v in request.values() for each in (v if isinstance(v, list) else [v])]
    return [value for value in values if isinstance(value, str)]

"""Takes rows out of the outbox: what runs left behind is written to the stores, or leaves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final

from mmm_workflows.allocator import give_back
from mmm_workflows.db.graphrag import Holdings, Memory
from mmm_workflows.db.outbox import Action, Entry, Outbox
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import MMMError, RunError, ServiceUnavailable
from mmm_workflows.mmm.lineage import Knowledge, knowledge_of
from mmm_workflows.mmm.recall import Repair, Way, WayUse
from mmm_workflows.records import Run, RunStatus

# How long another process that takes rows is waited for.
TURN_S: Final = 10.0
# How long the end of a run waits for the stores; they go on behind it.
SETTLE_S: Final = 5.0

logger = logging.getLogger(__name__)


class Drain:
    """The outbox of one process; what it began goes on when the caller leaves, until ``aclose``.

    Args:
        outbox: The rows.
        runs: What they point at.
        open_memory: Opens the stores at its first use, and again those that were not to be had.
        is_open: Whether they are open here.
        has_memory: Whether a store may hold anything.
    """

    def __init__(
        self,
        outbox: Outbox,
        runs: RunStore,
        *,
        open_memory: Callable[[], Awaitable[Memory]],
        is_open: Callable[[], bool],
        has_memory: Callable[[], bool],
    ) -> None:
        self._outbox = outbox
        self._runs = runs
        self._open_memory = open_memory
        self._is_open = is_open
        self._has_memory = has_memory
        self._alone = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._behind_asking: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False

    async def run(self, project: str | None = None) -> None:
        """Take the rows of a project, or all of them.

        A store that is away keeps its rows waiting; so does another process that takes them now.

        Raises:
            ServiceUnavailable: The run database cannot be used.
        """
        if await self._outbox.waiting(project):
            await self._behind(self._take(project))

    async def run_for(self, project: str, wait_s: float) -> None:
        """As ``run``, but whoever asks goes on after so many seconds, and the writing behind it.

        Another process that writes is waited for no longer either: what waits is left to it. A
        task that was begun for one who waits less is followed by one of its own.

        Raises:
            ServiceUnavailable: The run database cannot be used.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + wait_s
        is_last = False
        while not is_last:
            left_s = max(0.0, until - clock())
            task = self._behind_asking.get(project)
            if task is None or task.done():
                if not await self._outbox.waiting(project):
                    return
                is_last = True
                task = self._begin(self._take(project, turn_s=min(left_s, TURN_S)))
                task.add_done_callback(partial(_failure, f"project {project}"))
                self._behind_asking[project] = task
            await asyncio.wait({task}, timeout=left_s)
            if not task.done():
                return
            task.result()
            is_last |= clock() >= until

    async def settle(self, workflow_id: str, project: str) -> str | None:
        """Why what a run left behind is not kept; None where it is, or waits to be asked for.

        Where memory is not open it is not opened for this: that takes a second of CPU
        (docs/decisions/0013-memory-outbox.md).
        """
        if not self._is_open():
            return None
        task = self._begin(self._take(project))
        await asyncio.wait({task}, timeout=SETTLE_S)
        if not task.done():
            task.add_done_callback(partial(_failure, f"run {workflow_id}"))
            return f"the stores have not answered within {SETTLE_S:g} s"
        reason = _failure(f"run {workflow_id}", task)
        if reason is not None:
            return reason
        try:
            entry = (await self._outbox.of_runs([workflow_id])).get(workflow_id)
        except ServiceUnavailable as error:
            # The run has ended well, whatever becomes of this: what waits is taken later.
            return error.message
        if entry is None or entry.done_at is not None:
            return None
        return entry.reason or "another process is writing to memory"

    async def repair(self, project: str, *, rebuild: bool) -> Repair:
        """Make text, vectors and graph of a project what its runs say, or all vectors anew.

        Raises:
            ServiceUnavailable: The run database cannot be used, or another process is writing.
        """
        return await self._behind(self._repair(project, rebuild=rebuild))

    async def aclose(self) -> None:
        """Let the row that is being taken end, and begin no other."""
        self._is_closing = True
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _behind[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a task that outlives its caller: a store may be in the middle of a write."""
        task = self._begin(work)
        await asyncio.wait({task})
        return task.result()

    async def _take(self, project: str | None, *, turn_s: float = TURN_S) -> None:
        async with self._alone, self._outbox.turn(wait_s=turn_s) as is_ours:
            waiting = await self._outbox.waiting(project)
            if not is_ours or not waiting:
                return
            if await self._can_hold_something(waiting):
                await self._all(await self._open_memory(), project)
                # What vectors were made in.
                await asyncio.to_thread(give_back)
                return
            for entry in waiting:
                await self._outbox.finish(entry)

    async def _can_hold_something(self, waiting: Iterable[Entry]) -> bool:
        """Stores that were never opened have nothing to forget."""
        if self._has_memory() or any(entry.action is Action.REMEMBER for entry in waiting):
            return True
        return await self._outbox.is_anything_kept()

    async def _all(self, memory: Memory, project: str | None) -> None:
        """Each row once; those that come meanwhile too, for their writer may be waiting for us."""
        seen, away, stuck = set[int](), dict[Way, str](), set[str]()
        while True:
            rows = [e for e in await self._outbox.waiting(project) if e.position not in seen]
            if not rows:
                return
            for entry in rows:
                seen.add(entry.position)
                if self._is_closing:
                    return
                if entry.project not in stuck:
                    await self._one(memory, entry, away, stuck)

    async def _one(
        self, memory: Memory, entry: Entry, away: dict[Way, str], stuck: set[str]
    ) -> None:
        """Take a row; a store that fails is left alone by the rows after it, in their order."""
        ways = tuple(way for way in entry.missing if way not in away)
        uses: tuple[WayUse, ...] | None = ()
        try:
            # At the first try also without a store: a run may have left nothing.
            if ways or entry.reason is None:
                uses = await self._done(memory, entry, ways)
        except ServiceUnavailable:
            raise
        except MMMError as error:
            logger.warning("row %s of the outbox: %s", entry.position, error.message)
            await self._outbox.delay(entry, entry.missing, error.message)
            if entry.action is Action.FORGET:
                # What came later must not be forgotten instead.
                stuck.add(entry.project)
            return
        away.update((use.way, use.reason) for use in uses or () if use.reason is not None)
        missing = tuple(way for way in entry.missing if way in away)
        if uses is None or not missing:
            await self._outbox.finish(entry)
            return
        reason = "; ".join(f"{way}: {away[way]}" for way in missing)
        if (missing, reason) != (entry.missing, entry.reason):
            await self._outbox.delay(entry, missing, reason)

    async def _done(
        self, memory: Memory, entry: Entry, ways: tuple[Way, ...]
    ) -> tuple[WayUse, ...] | None:
        """Which stores took a row; None where there is nothing to take."""
        if entry.action is Action.FORGET:
            gone = await memory.forget(entry.project, workflow_id=entry.workflow_id, ways=ways)
            left_by = tuple(use.way for use in gone if use.ran)
            return (*gone, *await self._given_back(memory, entry, left_by))
        try:
            run = await self._runs.get(entry.workflow_id or "")
        except RunError:
            # Deleted since the row was read, which took the row along.
            return None
        left = _left_behind(run, entry)
        return None if left is None else await _remembered(memory, left, ways)

    async def _given_back(
        self, memory: Memory, entry: Entry, ways: tuple[Way, ...]
    ) -> tuple[WayUse, ...]:
        """Write again what other runs left behind as well; which of the stores took it.

        What two runs say alike is kept once, as the first one's, and went with it.
        """
        if entry.workflow_id is None or not ways or await self._is_left_to_a_later(entry, ways):
            return ()
        held = await memory.holdings(entry.project)
        runs = await self._runs.list(project=entry.project, limit=None)
        _, uses = await self._linked(memory, held, runs, among=ways)
        if Way.GRAPH in ways and not held.has_graph:
            uses.append(WayUse(way=Way.GRAPH, reason="it went away while a run was forgotten"))
        if Way.VECTORS in ways:
            uses.append(await memory.index(entry.project))
        return tuple(uses)

    async def _is_left_to_a_later(self, entry: Entry, ways: tuple[Way, ...]) -> bool:
        """Whether another run of the project is to be forgotten after this one, in these stores."""
        return any(
            later.action is Action.FORGET
            and later.workflow_id is not None
            and later.position > entry.position
            and set(ways) <= set(later.missing)
            for later in await self._outbox.waiting(entry.project)
        )

    async def _repair(self, project: str, *, rebuild: bool) -> Repair:
        async with self._alone, self._outbox.turn(wait_s=TURN_S) as is_ours:
            if not is_ours:
                raise ServiceUnavailable(
                    "Another process has been writing to memory for "
                    f"{TURN_S:g} s. Try again when it is done."
                )
            memory = await self._open_memory()
            await self._all(memory, project)
            linked, forgotten = await self._agree_with_runs(memory, project)
            done = await (memory.rebuild(project) if rebuild else memory.repair(project))
            await self._all(memory, project)
        return done.model_copy(update={"linked": linked, "forgotten": forgotten})

    async def _agree_with_runs(self, memory: Memory, project: str) -> tuple[int, int]:
        """Write again what runs left behind and a store lacks, forget what has no run."""
        # Before the runs are read: what is kept by then has a run, or had one.
        held = await memory.holdings(project)
        runs = await self._runs.list(project=project, limit=None)
        strangers = held.workflow_ids - {run.workflow_id for run in runs}
        for workflow_id in sorted(strangers):
            await memory.forget(project, workflow_id=workflow_id)
        linked, _ = await self._linked(memory, held, runs, among=(Way.KEYWORDS, Way.GRAPH))
        return linked, len(strangers)

    async def _linked(
        self, memory: Memory, held: Holdings, runs: Sequence[Run], *, among: Collection[Way]
    ) -> tuple[int, list[WayUse]]:
        """Of how many runs text or graph lacked something, and which of them took it now."""
        entries = await self._outbox.of_runs({run.workflow_id for run in runs})
        linked, uses = 0, list[WayUse]()
        for run in reversed(runs):
            if run.status is not RunStatus.SUCCEEDED:
                continue
            try:
                left = _left_behind(run, entries.get(run.workflow_id))
            except MMMError as error:
                # Its row in the outbox says so as well.
                logger.warning("%s", error.message)
                continue
            if left is None:
                continue
            lost_text = not left.passages.keys() <= held.passages
            lost_links = not (left.nodes.keys() <= held.nodes and left.edges.keys() <= held.edges)
            ways = [Way.KEYWORDS] if lost_text else []
            ways += [Way.GRAPH] if lost_links and held.has_graph else []
            ways = [way for way in ways if way in among]
            uses += await _remembered(memory, left, tuple(ways))
            linked += bool(ways)
        return linked, uses


def _failure(whose: str, task: asyncio.Task[None]) -> str | None:
    """Why what a run or a project left behind was not taken, told to the log; None where it was."""
    error = None if task.cancelled() else task.exception()
    if error is None:
        return None
    if isinstance(error, MMMError):
        logger.warning("what %s left behind waits: %s", whose, error.message)
        return error.message
    logger.error("what %s left behind was not taken", whose, exc_info=error)
    return "the log names the cause"


def _left_behind(run: Run, entry: Entry | None) -> Knowledge | None:
    """What a run left behind; None where that is nothing."""
    if run.result is None:
        return None
    at = run.updated_at if entry is None else entry.queued_at
    try:
        left = knowledge_of(run.workflow, run.result, request=run.request, at=at)
    except (KeyError, TypeError, ValueError) as error:
        raise MMMError(
            f"The result of run {run.workflow_id} cannot be read by this version "
            f"({type(error).__name__}: {error}), so it is not remembered. Run it again, or use "
            "the version of mmm-workflows that wrote it.",
            code="store_schema",
        ) from error
    return left if left.nodes else None


async def _remembered(memory: Memory, left: Knowledge, ways: tuple[Way, ...]) -> tuple[WayUse, ...]:
    return await memory.remember(
        list(left.nodes.values()),
        list(left.edges.values()),
        list(left.passages.values()),
        ways=ways,
    )

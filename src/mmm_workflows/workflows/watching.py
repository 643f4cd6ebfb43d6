"""One reader of the event log per run that is watched in this process, however many watch it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from mmm_workflows.db.overview import Overview
from mmm_workflows.db.runs import RunStore
from mmm_workflows.ports import Follower, ProgressChannel
from mmm_workflows.records import Event, RunStatus

# How soon an event of another process is seen, and how often the database is asked for all runs.
POLL_S: Final = 0.1
POLLS_PER_S: Final = 100
# A run's status is written before the event that tells it; some changes of status have none.
UNTOLD_S: Final = 2.0
EVENTS_KEPT: Final = 1000


class Watching:
    """The events of runs, for any number of watchers; opens nothing while nobody watches."""

    def __init__(self, runs: RunStore, overview: Overview, progress: ProgressChannel) -> None:
        self._runs = runs
        self._overview = overview
        self._progress = progress
        self._tails: dict[str, _Tail] = {}

    @property
    def watched(self) -> int:
        """How many runs are watched."""
        return len(self._tails)

    async def follow(self, workflow_id: str, *, after: int = 0) -> AsyncGenerator[Event]:
        """Events from the log after ``after``, then live, until the run ends or waits.

        Raises:
            RunError: There is no such run, or no more (``run_not_found``).
        """
        tail = self._join(workflow_id, after)
        try:
            # What was read before this watcher came may be of before the run was resumed.
            reading = await tail.reading(tail.ask())
            while True:
                for event in await tail.events(after):
                    after = event.seq
                    yield event
                if reading.has_ended:
                    return
                reading = await tail.reading(reading.number + 1)
        finally:
            await self._leave(tail)

    def _join(self, workflow_id: str, after: int) -> _Tail:
        tail = self._tails.get(workflow_id)
        if tail is None or tail.task.done():
            tail = _Tail(
                workflow_id, after, self._runs, self._overview,
                self._progress.follow(workflow_id), lambda: pause_s(self.watched),
            )  # fmt: skip
            self._tails[workflow_id] = tail
        tail.watchers += 1
        return tail

    async def _leave(self, tail: _Tail) -> None:
        tail.watchers -= 1
        if tail.watchers:
            return
        if self._tails.get(tail.workflow_id) is tail:
            del self._tails[tail.workflow_id]
        tail.task.cancel()
        await asyncio.gather(tail.task, return_exceptions=True)


def pause_s(watched: int) -> float:
    """Seconds between two looks at one run while so many are watched."""
    return max(POLL_S, watched / POLLS_PER_S)


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What the log held at one moment."""

    number: int
    has_ended: bool


class _Tail:
    """The end of one run's log, read by one task; ended by the last watcher that leaves."""

    def __init__(
        self,
        workflow_id: str,
        after: int,
        runs: RunStore,
        overview: Overview,
        live: Follower,
        pause_s: Callable[[], float],
    ) -> None:
        self.workflow_id = workflow_id
        self.watchers = 0
        self._runs = runs
        self._overview = overview
        self._pause_s = pause_s
        self._before, self._kept = after, list[Event]()
        self._begun = 0
        self._last = _Reading(number=0, has_ended=False)
        self._untold: tuple[RunStatus, float] | None = None
        self._asked = asyncio.Event()
        self._turn = asyncio.Event()
        self.task = asyncio.create_task(self._read(live), name=f"watch {workflow_id}")
        # A task that failed has watchers to tell.
        self.task.add_done_callback(lambda _: self._wake())

    def ask(self) -> int:
        """Ask for a reading that begins from now on; its number."""
        self._asked.set()
        return self._begun + 1

    async def reading(self, number: int) -> _Reading:
        """The latest reading, once it is this one or a later one.

        Raises:
            RunError: There is no such run (``run_not_found``).
        """
        while self._last.number < number:
            if self.task.done():
                self.task.result()
            await self._turn.wait()
        return self._last

    async def events(self, after: int) -> Sequence[Event]:
        """What was read of the log behind ``after``; from the database where it is kept no more."""
        if after < self._before:
            return await self._runs.events(self.workflow_id, after=after)
        return self._kept[after - self._before :]

    @property
    def _seq(self) -> int:
        return self._before + len(self._kept)

    async def _read(self, live: Follower) -> None:
        async with aclosing(live):
            news: asyncio.Future[Event | None] = asyncio.ensure_future(anext(live, None))
            try:
                while True:
                    self._asked.clear()
                    await self._look()
                    news = await self._until_news(live, news)
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)

    async def _look(self) -> None:
        self._begun += 1
        standing = await self._overview.standing(self.workflow_id)
        if not self._kept:
            # The first watcher may ask from beyond the log, where nothing for others would be kept.
            self._before = min(self._before, standing.last_seq)
        if standing.last_seq > self._seq:
            self._keep(await self._runs.events(self.workflow_id, after=self._seq))
        has_ended = standing.status.is_final or standing.status is RunStatus.WAITING
        if has_ended and standing.told is not standing.status:
            has_ended = self._is_long_untold(standing.status)
        else:
            self._untold = None
        self._last = _Reading(number=self._begun, has_ended=has_ended)
        self._wake()

    def _is_long_untold(self, status: RunStatus) -> bool:
        now = time.monotonic()
        if self._untold is None or self._untold[0] is not status:
            self._untold = (status, now)
        return now - self._untold[1] >= UNTOLD_S

    def _keep(self, events: Sequence[Event]) -> None:
        self._kept.extend(events)
        if len(self._kept) > 2 * EVENTS_KEPT:
            self._before += len(self._kept) - EVENTS_KEPT
            del self._kept[:-EVENTS_KEPT]

    async def _until_news(
        self, live: Follower, news: asyncio.Future[Event | None]
    ) -> asyncio.Future[Event | None]:
        """Wait until there may be something to read; what is awaited next."""
        asked = asyncio.create_task(self._asked.wait())
        try:
            # The log is the truth; the channel only says when to look again.
            either: set[asyncio.Future[Any]] = {news, asked}
            await asyncio.wait(either, timeout=self._pause_s(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if not news.done():
            return news
        # A channel that ended would be ready at once, for ever.
        if news.result() is None:
            return asyncio.get_running_loop().create_future()
        return asyncio.ensure_future(anext(live, None))

    def _wake(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()

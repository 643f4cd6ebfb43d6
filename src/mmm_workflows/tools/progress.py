"""Events from the one who runs to those who watch, within one process and event loop."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakSet

from mmm_workflows.records import Event

QUEUE_LENGTH: Final = 256


class LocalProgress:
    """Hands each event to every follower of its run; never waits for one."""

    def __init__(self, queue_length: int = QUEUE_LENGTH) -> None:
        self._queue_length = queue_length
        # Weak: a follower that nobody holds any more is gone, closed or not.
        self._followers: dict[str, WeakSet[Follower]] = {}

    async def publish(self, event: Event) -> None:
        """Tell the followers of the event's run; the last event of a run ends them."""
        for follower in tuple(self._followers.get(event.workflow_id, ())):
            follower.take(event)
            if follower.is_closed:
                self._leave(follower)

    def follow(self, workflow_id: str) -> Follower:
        """Events published from this call on, until the run ends or ``aclose`` is called."""
        self._followers = {name: held for name, held in self._followers.items() if len(held)}
        follower = Follower(self, workflow_id, self._queue_length)
        self._followers.setdefault(workflow_id, WeakSet()).add(follower)
        return follower

    @property
    def followed(self) -> int:
        """How many runs have a follower."""
        return sum(1 for followers in self._followers.values() if len(followers))

    def _leave(self, follower: Follower) -> None:
        followers = self._followers.get(follower.workflow_id)
        if followers is not None:
            followers.discard(follower)
            if not followers:
                del self._followers[follower.workflow_id]


class Follower:
    """An async iterator of a run's events; ``is_dropped`` when it read too slowly.

    A dropped follower still gives what it holds, then ends; the rest stands in the event log.
    """

    def __init__(self, channel: LocalProgress, workflow_id: str, queue_length: int) -> None:
        self.workflow_id = workflow_id
        self.is_dropped = False
        self.is_closed = False
        self._channel = channel
        self._queue_length = queue_length
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Event:
        if self.is_closed and self._queue.empty():
            raise StopAsyncIteration
        event = await self._queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def take(self, event: Event) -> None:
        """Queue an event without waiting; a full queue or a final event closes it."""
        if self.is_closed:
            return
        if self._queue.qsize() >= self._queue_length:
            self.is_dropped = True
            self._close()
            return
        self._queue.put_nowait(event)
        if event.status.is_final:
            self._close()

    async def aclose(self) -> None:
        """Stop following; a reader that waits is released."""
        if not self.is_closed:
            self._close()
        self._channel._leave(self)

    def _close(self) -> None:
        self.is_closed = True
        self._queue.put_nowait(None)

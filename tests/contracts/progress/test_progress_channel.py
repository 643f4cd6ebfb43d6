"""What every progress channel must do; one entry of the fixture per adapter.

Over Redis one process tells and another one listens, or both are the same.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from services.redis_state import redis_url

from mmm_workflows.ports import ProgressChannel
from mmm_workflows.records import Event, RunStatus
from mmm_workflows.tools.progress import LocalProgress
from mmm_workflows.tools.redis_progress import RedisProgress, open_redis_progress

LENGTH = 8


@dataclass(frozen=True)
class Channel:
    """Where it is told and where it is followed."""

    teller: ProgressChannel
    listener: LocalProgress | RedisProgress

    async def publish(self, told: Event) -> None:
        """Tell it, and wait until it has come across."""
        witness = self.listener.follow(told.workflow_id)
        await asyncio.wait_for(self.teller.publish(told), 1)
        assert (await asyncio.wait_for(anext(witness), 60)).seq == told.seq
        await witness.aclose()

    def follow(self, workflow_id: str):
        return self.listener.follow(workflow_id)


@pytest.fixture(
    params=[
        "local",
        pytest.param("redis, one process", marks=pytest.mark.services),
        pytest.param("redis, two processes", marks=pytest.mark.services),
    ]
)
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Channel]:
    async with AsyncExitStack() as stack:

        async def opened() -> LocalProgress | RedisProgress:
            if request.param == "local":
                return LocalProgress(queue_length=LENGTH)
            at = open_redis_progress(redis_url(), queue_length=LENGTH)
            return await stack.enter_async_context(at)

        listener = await opened()
        is_apart = request.param == "redis, two processes"
        yield Channel(teller=await opened() if is_apart else listener, listener=listener)


def event(seq: int, workflow_id: str = "a", status: RunStatus = RunStatus.RUNNING) -> Event:
    return Event(workflow_id=workflow_id, seq=seq, status=status, progress=0, message=str(seq))


async def seqs(follower) -> list[int]:
    return [e.seq async for e in follower]


async def test_every_follower_gets_the_events_of_its_run_in_order(channel: Channel) -> None:
    readers = [channel.follow("a"), channel.follow("a"), channel.follow("b")]
    for seq in range(1, 4):
        await channel.publish(event(seq))
        await channel.publish(event(seq * 10, "b"))
    await channel.publish(event(4, status=RunStatus.SUCCEEDED))
    await channel.publish(event(40, "b", RunStatus.FAILED))
    assert [await seqs(reader) for reader in readers] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [10, 20, 30, 40],
    ]


async def test_a_follower_gets_nothing_from_before_it_came(channel: Channel) -> None:
    await channel.publish(event(1))
    reader = channel.follow("a")
    await channel.publish(event(2, status=RunStatus.CANCELLED))
    assert await seqs(reader) == [2]


async def test_a_waiting_run_does_not_end_the_reading(channel: Channel) -> None:
    reader = channel.follow("a")
    await channel.publish(event(1, status=RunStatus.WAITING))
    await channel.publish(event(2))
    await channel.publish(event(3, status=RunStatus.SUCCEEDED))
    assert await seqs(reader) == [1, 2, 3]


async def test_a_slow_reader_is_dropped_and_the_publisher_never_waits(
    channel: Channel,
) -> None:
    slow, quick = channel.follow("a"), channel.follow("a")
    got = []
    for seq in range(1, 101):
        await channel.publish(event(seq))
        got.append((await anext(quick)).seq)
    assert got == list(range(1, 101))
    assert slow.is_dropped
    assert not quick.is_dropped
    # What it holds is a beginning without a gap: the rest can be read from the log.
    assert await asyncio.wait_for(seqs(slow), 1) == list(range(1, 9))


async def test_a_reader_that_waits_is_released_when_it_is_closed(channel: Channel) -> None:
    reader = channel.follow("a")
    waiting = asyncio.create_task(seqs(reader))
    await asyncio.sleep(0)
    await reader.aclose()
    await reader.aclose()
    assert await asyncio.wait_for(waiting, 1) == []


async def test_a_cancelled_read_loses_no_event(channel: Channel) -> None:
    reader = channel.follow("a")
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await channel.publish(event(1, status=RunStatus.SUCCEEDED))
    assert await seqs(reader) == [1]


async def test_nothing_is_kept_for_readers_that_left(channel: Channel) -> None:
    closed, forgotten, ended = (channel.follow(name) for name in ("a", "b", "c"))
    assert channel.listener.followed == 3
    await closed.aclose()
    await channel.publish(event(1, "c", RunStatus.SUCCEEDED))
    assert await seqs(ended) == [1]
    del forgotten
    gc.collect()
    assert channel.listener.followed == 0

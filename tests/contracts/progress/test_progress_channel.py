"""What every progress channel must do; one entry of the fixture per adapter."""

import asyncio
import gc

import pytest

from mmm_workflows.records import Event, RunStatus
from mmm_workflows.tools.progress import LocalProgress


@pytest.fixture(params=["local"])
def channel(request: pytest.FixtureRequest) -> LocalProgress:
    return {"local": lambda: LocalProgress(queue_length=8)}[request.param]()


def event(seq: int, workflow_id: str = "a", status: RunStatus = RunStatus.RUNNING) -> Event:
    return Event(workflow_id=workflow_id, seq=seq, status=status, progress=0, message=str(seq))


async def seqs(follower) -> list[int]:
    return [e.seq async for e in follower]


async def test_every_follower_gets_the_events_of_its_run_in_order(channel: LocalProgress) -> None:
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


async def test_a_follower_gets_nothing_from_before_it_came(channel: LocalProgress) -> None:
    await channel.publish(event(1))
    reader = channel.follow("a")
    await channel.publish(event(2, status=RunStatus.CANCELLED))
    assert await seqs(reader) == [2]


async def test_a_waiting_run_does_not_end_the_reading(channel: LocalProgress) -> None:
    reader = channel.follow("a")
    await channel.publish(event(1, status=RunStatus.WAITING))
    await channel.publish(event(2))
    await channel.publish(event(3, status=RunStatus.SUCCEEDED))
    assert await seqs(reader) == [1, 2, 3]


async def test_a_slow_reader_is_dropped_and_the_publisher_never_waits(
    channel: LocalProgress,
) -> None:
    slow, quick = channel.follow("a"), channel.follow("a")
    got = []
    for seq in range(1, 101):
        await asyncio.wait_for(channel.publish(event(seq)), 1)
        got.append((await anext(quick)).seq)
    assert got == list(range(1, 101))
    assert slow.is_dropped
    assert not quick.is_dropped
    # What it holds is a beginning without a gap: the rest can be read from the log.
    assert await asyncio.wait_for(seqs(slow), 1) == list(range(1, 9))


async def test_a_reader_that_waits_is_released_when_it_is_closed(channel: LocalProgress) -> None:
    reader = channel.follow("a")
    waiting = asyncio.create_task(seqs(reader))
    await asyncio.sleep(0)
    await reader.aclose()
    await reader.aclose()
    assert await asyncio.wait_for(waiting, 1) == []


async def test_a_cancelled_read_loses_no_event(channel: LocalProgress) -> None:
    reader = channel.follow("a")
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await channel.publish(event(1, status=RunStatus.SUCCEEDED))
    assert await seqs(reader) == [1]


async def test_nothing_is_kept_for_readers_that_left(channel: LocalProgress) -> None:
    closed, forgotten, ended = (channel.follow(name) for name in ("a", "b", "c"))
    assert channel.followed == 3
    await closed.aclose()
    await channel.publish(event(1, "c", RunStatus.SUCCEEDED))
    assert await seqs(ended) == [1]
    del forgotten
    gc.collect()
    assert channel.followed == 0

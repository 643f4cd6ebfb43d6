"""A child process is ended with all that it started: TERM, a second, KILL."""

from __future__ import annotations

import asyncio
import os

import pytest

from mmm_workflows.tools.fit_child import end_group

DEAF = "trap '' TERM; "
GOES_AT_TERM = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    "script",
    [
        GOES_AT_TERM,
        f"{DEAF} echo ready; while :; do sleep 1; done",
        f"({DEAF} while :; do sleep 1; done) & {GOES_AT_TERM}",
        f"({DEAF} while :; do sleep 1; done) & echo ready",
    ],
    ids=["goes", "is deaf", "leaves a deaf child", "is gone already and leaves a deaf child"],
)
async def test_nothing_of_the_group_outlives_its_end(script: str) -> None:
    child = await asyncio.create_subprocess_exec(
        "bash", "-c", script, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    if script.endswith("echo ready"):
        # Not by wait(): that also waits for the pipe, which the one that is left holds open.
        while child.returncode is None:
            await asyncio.sleep(0.01)
        os.killpg(child.pid, 0)
    await asyncio.wait_for(end_group(child), 60)
    await is_gone(child)


async def test_a_second_cancellation_does_not_spare_the_group() -> None:
    child = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{DEAF} echo ready; while :; do sleep 1; done",
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    await child.stdout.readline()
    ending = asyncio.create_task(end_group(child))
    await asyncio.sleep(0.1)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    await is_gone(child)


async def is_gone(child: asyncio.subprocess.Process) -> None:
    assert child.returncode is not None
    for _ in range(3000):
        # A grandchild that was killed is buried by another process, in its own time.
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.02)
    pytest.fail("somebody is left")

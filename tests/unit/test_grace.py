"""A child that is told to end has its time for that, however often its caller is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from mmm_workflows.tools import fit_child

SLOW_TO_GO = "trap 'for i in 1 2 3 4; do sleep 0.2; done; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


async def a_child(script: str) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        "bash", "-c", script, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    return child


async def test_who_ends_a_group_is_not_hurried_by_being_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_child, "GRACE_S", 120.0)
    monkeypatch.setattr(fit_child, "LOOKS", 2400)
    child = await a_child(SLOW_TO_GO)
    ending = asyncio.create_task(fit_child.end_group(child))
    for _ in range(3):
        await asyncio.sleep(0.1)
        ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(ending, 120)
    assert child.returncode == 7, "it was killed before its time was over"


def test_a_loop_that_ends_meanwhile_kills_the_group_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_child, "GRACE_S", 3600.0)

    async def leave_it() -> asyncio.subprocess.Process:
        child = await a_child(DEAF)
        ending = asyncio.create_task(fit_child.end_group(child))
        await asyncio.sleep(0.1)
        assert not ending.done()
        return child

    assert asyncio.run(leave_it()).returncode == -9

"""One outage is told once, however many stores of the server it was noticed by."""

from __future__ import annotations

import asyncio

import pytest

from mmm_workflows.db import patience as module
from mmm_workflows.db.patience import Patience
from mmm_workflows.errors import ServiceLost


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)


async def test_a_call_that_began_before_another_was_answered_opens_no_second_outage() -> None:
    patience = Patience(60, workflow_id="r")
    is_back, is_noticed, answered = (asyncio.Event() for _ in range(3))
    tries = 0

    async def soon() -> str:
        if not is_back.is_set():
            is_noticed.set()
            raise ServiceLost("away")
        return "soon"

    async def late() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:  # as a pool that is waited for while the server returns
            await answered.wait()
            raise ServiceLost("away")
        return "late"

    calls = [asyncio.create_task(patience.keep_trying(call)) for call in (soon, late)]
    await is_noticed.wait()
    is_back.set()
    assert await calls[0] == "soon"
    answered.set()
    assert await calls[1] == "late"
    assert (tries, len(patience.delays)) == (2, 1)


async def test_two_outages_are_told_twice() -> None:
    patience = Patience(60, workflow_id="r")
    for _ in range(2):
        ends = iter([ServiceLost("away"), None])

        async def call(ends: object = ends) -> None:
            if (end := next(ends)) is not None:  # type: ignore[call-overload]
                raise end

        await patience.keep_trying(call)
    assert len(patience.delays) == 2


async def test_a_call_that_fails_for_too_long_ends_though_another_is_answered() -> None:
    patience = Patience(0.2, workflow_id="r")

    async def answered() -> None:
        return None

    async def lost() -> None:
        await patience.keep_trying(answered)
        raise ServiceLost("away")

    with pytest.raises(ServiceLost, match="resume r"):
        async with asyncio.timeout(60):
            await patience.keep_trying(lost)

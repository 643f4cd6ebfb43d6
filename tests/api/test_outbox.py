"""The service takes what another process left in the outbox."""

from __future__ import annotations

import asyncio

from contracts.outbox.values import succeed

from mmm_workflows.api.outbox import draining
from mmm_workflows.config import Settings
from mmm_workflows.workflows.runner import open_runner


async def test_what_waits_is_taken_while_the_service_runs(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await succeed(runner, "before")
        async with draining(runner, every_s=0.05):
            await succeed(runner, "meanwhile")
            async with asyncio.timeout(60):
                while (await runner.services.outbox.backlog()).waiting:
                    await asyncio.sleep(0.05)
        assert await runner.memory.standing(["before", "meanwhile"]) == {
            "before": "kept", "meanwhile": "kept",
        }  # fmt: skip


async def test_a_service_without_anything_to_remember_opens_no_store(settings: Settings) -> None:
    async with open_runner(settings) as runner, draining(runner, every_s=0.01):
        await asyncio.sleep(0.2)
        assert not runner.services.has_memory()

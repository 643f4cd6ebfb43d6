"""Memory over REST: what it is asked for is what it is asked of."""

from __future__ import annotations

import httpx
from contracts.outbox.values import succeed

from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.workflows.runner import open_runner


async def test_memory_is_asked_as_of_a_moment_about_days_and_for_what_is_current(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        await succeed(runner, "r")
        await runner.memory.drain()
    app = create_app(settings)
    asked = {"question": "television", "project": "p"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):

        async def told(**more: str) -> httpx.Response:
            return await client.get("/memory/search", params={**asked, **more})

        found = (await told()).json()
        assert found["waiting"] == 0
        assert {f["passage"]["workflow_id"] for f in found["found"]} == {"r"}
        assert {f["superseded"] for f in found["found"]} == {None}
        early = (await told(at="2024-01-01T00:00:00Z")).json()
        assert (early["found"], early["scope"]["at"]) == ([], "2024-01-01T00:00:00Z")
        about = (await told(first_day="2024-01-01", current="true")).json()["scope"]
        assert about["current"] and about["about"] == {"first": "2024-01-01", "last": "9999-12-31"}
        backwards = await told(first_day="2024-02-01", last_day="2024-01-31")
        assert (backwards.status_code, backwards.json()["code"]) == (422, "request_invalid")
        assert (await told(at="2024-01-01T00:00:00")).status_code == 422
        assert (await told(at="9999-12-31T23:59:59-14:00")).status_code == 422

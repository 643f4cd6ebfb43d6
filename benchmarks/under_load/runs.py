"""Runs that keep the service busy, started and followed over REST and WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import aiohttp
from under_load.service import REPOSITORY, Service

SALES: Final = REPOSITORY / "data" / "sales.csv"
RUN_WITHIN_S: Final = 1800
ENDED: Final = ("succeeded", "failed", "cancelled")


@dataclass
class Watched:
    """What one watcher got."""

    seqs: list[int] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    code: int | None = None


async def ask(service: Service, path: str) -> dict[str, Any]:
    """The JSON of a GET that must be answered."""
    answer = await service.caller.ask(service.caller.get(path))
    if answer.status != 200:
        raise SystemExit(f"{path} was answered with {answer.status}: {answer.body[:500]!r}")
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def start(service: Service, workflow: str, **body: object) -> str:
    """Start a run; its workflow_id."""
    answer = await service.caller.ask(service.caller.post(f"/{workflow}/start", body))
    if answer.status != 202:
        raise SystemExit(f"{workflow} was not started: {answer.body[:500]!r}")
    return str(json.loads(answer.body)["workflow_id"])


async def start_fit(service: Service, *, depth: str = "quick") -> str:
    """Start a pipeline with a fit on the shipped data."""
    form = aiohttp.FormData()
    form.add_field("file", SALES.read_bytes(), filename="sales.csv")
    async with (
        aiohttp.ClientSession(service.address) as session,
        session.post("/upload", data=form) as answer,
    ):
        path = (await answer.json())["path"]
    return await start(
        service, "pipeline", depth=depth, data_sources=[path], query="Build MMM for CPG brand",
        user_query="What if we increase TV spend by 20%?", target_variable="Sales",
        media_channels=["TV_Spend", "Digital_Spend"],
    )  # fmt: skip


async def until_sampling(service: Service, workflow_id: str) -> None:
    """Wait until the fit of a run draws."""
    until = time.monotonic() + RUN_WITHIN_S
    while time.monotonic() < until:
        events = (await ask(service, f"/workflow/{workflow_id}/events"))["events"]
        if any(sum((event["data"] or {}).get("draws_done", [])) for event in events):
            return
        if events and events[-1]["status"] in ENDED:
            raise SystemExit(f"run {workflow_id} ended before its fit: {events[-1]['message']}")
        await asyncio.sleep(0.5)
    raise SystemExit(f"run {workflow_id} did not come to its fit within {RUN_WITHIN_S} s")


async def watch(session: aiohttp.ClientSession, workflow_id: str) -> Watched:
    """Follow a run to its end, noting how long after its making each event arrived."""
    seen = Watched()
    async with session.ws_connect(f"/ws/{workflow_id}") as opened:
        async for message in opened:
            arrived = time.time()
            told = json.loads(message.data)
            seen.seqs.append(told["seq"])
            made = datetime.fromisoformat(told["data"]["at"]).timestamp()
            seen.late_ms.append((arrived - made) * 1000)
        seen.code = opened.close_code
    return seen


async def watch_all(service: Service, workflow_id: str, number: int) -> list[Watched]:
    """So many watchers on one run, until it ends."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(service.address, connector=connector) as session:
        return await asyncio.gather(*(watch(session, workflow_id) for _ in range(number)))

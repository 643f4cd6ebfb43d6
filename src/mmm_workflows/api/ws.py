"""Events of a run over a WebSocket: those of the log first, then live, each once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect

from mmm_workflows.api.deps import Shared
from mmm_workflows.errors import RunError
from mmm_workflows.records import Event, Json, RunStatus

router = APIRouter()
RUN_ENDED: Final = 1000
RUN_UNKNOWN: Final = 4404


@router.websocket("/ws/{workflow_id}")
async def follow(
    websocket: WebSocket, workflow_id: str, door: Shared, after: Annotated[int, Query(ge=0)] = 0
) -> None:
    """Send the events after ``after`` until the run ends or waits, or the client leaves."""
    await websocket.accept()
    try:
        await door.runner.get(workflow_id)
    except RunError as error:
        await websocket.send_json(_message("error", 0, {
            "status": RunStatus.FAILED, "progress": 0.0, "step": None,
            "message": error.message, "code": error.code,
        }))  # fmt: skip
        await websocket.close(RUN_UNKNOWN, error.code)
        return
    sender = asyncio.create_task(_send(websocket, door, workflow_id, after))
    leaver = asyncio.create_task(_until_left(websocket))
    try:
        await asyncio.wait({sender, leaver}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # A client that left must not keep its subscription until the next event.
        sender.cancel()
        leaver.cancel()
        await asyncio.gather(sender, leaver, return_exceptions=True)


async def _send(websocket: WebSocket, door: Shared, workflow_id: str, after: int) -> None:
    async with aclosing(door.runner.watch(workflow_id, after=after)) as events:
        async for event in events:
            await websocket.send_json(_shown(event))
    await websocket.close(RUN_ENDED)


async def _until_left(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        return


def _shown(event: Event) -> Json:
    data = event.model_dump(mode="json", include={"status", "progress", "step", "message", "at"})
    return _message("event", event.seq, {**data, "details": event.data})


def _message(kind: str, seq: int, data: Json) -> Json:
    return {"type": kind, "seq": seq, "data": data}

"""Events of a run over a WebSocket: those of the log first, then live, each once."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import OrderedDict
from contextlib import aclosing, suppress
from typing import Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.guard import PROTOCOL
from mmm_workflows.api.schemas import RUN_ID, After
from mmm_workflows.errors import MMMError, RunError, RunNotFound, ServiceUnavailable
from mmm_workflows.records import Event, Json, RunStatus

router = APIRouter()
RUN_ENDED: Final = 1000
OUR_FAULT: Final = 1011
# The records cannot be read: come back with `?after=` the last seq.
TRY_AGAIN: Final = 1013
RUN_UNKNOWN: Final = 4404
# Who reads slower than this makes room, and comes back with `?after=` the last seq that it read.
READER_TOO_SLOW: Final = 4408
SLOW_S: Final = 10.0
# More than are made while the slowest of many watchers is sent one.
TEXTS_KEPT: Final = 64

logger = logging.getLogger(__name__)


class _ReaderTooSlow(Exception):
    """A message was not taken within ``SLOW_S``."""


@router.websocket("/ws/{workflow_id}")
async def follow(websocket: WebSocket, workflow_id: str, door: Shared, after: After = 0) -> None:
    """Send the events after ``after`` until the run ends or waits, or the client leaves.

    Closes with 1000 at the end of the run, 1011 where something went wrong on our side, 1013 while
    the records cannot be read, 4404 where there is no such run, and 4408 where one message was not
    taken within 10 s.
    """
    offered = websocket.scope.get("subprotocols", ())
    await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
    try:
        if re.fullmatch(RUN_ID, workflow_id) is None:
            raise RunNotFound.of(workflow_id)
        await door.run(workflow_id)
    except (RunError, ServiceUnavailable) as error:
        await _refuse(websocket, error)
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
    failed = None if sender.cancelled() else sender.exception()
    # One that has just left is told nothing.
    if failed is not None and not isinstance(failed, WebSocketDisconnect):
        await _fail(websocket, workflow_id, failed)


async def _send(websocket: WebSocket, door: Shared, workflow_id: str, after: int) -> None:
    texts: Texts = websocket.app.state.texts
    try:
        async with aclosing(door.runner.watch(workflow_id, after=after)) as events:
            async for event in events:
                await _hand(websocket, texts.of(event))
    except _ReaderTooSlow:
        await websocket.close(READER_TOO_SLOW, "reader_too_slow")
    except (RunError, ServiceUnavailable) as error:
        await _refuse(websocket, error)
    else:
        await websocket.close(RUN_ENDED)


async def _hand(websocket: WebSocket, text: str) -> None:
    try:
        async with asyncio.timeout(SLOW_S):
            await websocket.send_text(text)
    except TimeoutError as error:
        raise _ReaderTooSlow from error


async def _fail(websocket: WebSocket, workflow_id: str, error: BaseException) -> None:
    """Log what neither the run nor its watcher is to blame for, and leave with a code."""
    logger.error("a watcher of run %s was dropped on our side", workflow_id, exc_info=error)
    code = error.code if isinstance(error, MMMError) else "internal"
    with suppress(WebSocketDisconnect):
        await websocket.close(OUR_FAULT, code)


async def _refuse(websocket: WebSocket, error: MMMError) -> None:
    """Leave with a code that tells whether to come back; of the run itself nothing is said then."""
    if isinstance(error, ServiceUnavailable):
        await websocket.close(TRY_AGAIN, error.code)
        return
    await websocket.send_json(_message("error", 0, {
        "status": RunStatus.FAILED, "progress": 0.0, "step": None,
        "message": error.message, "code": error.code,
    }))  # fmt: skip
    await websocket.close(RUN_UNKNOWN, error.code)


async def _until_left(websocket: WebSocket) -> None:
    # Nothing is expected of a watcher: what it sends, text or bytes, is not read.
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


class Texts:
    """The latest events as they are sent: all watchers of a run are handed the same values."""

    def __init__(self) -> None:
        # By identity, each with its event: while that is held, its id is no other's.
        self._kept: OrderedDict[int, tuple[Event, str]] = OrderedDict()

    def of(self, event: Event) -> str:
        """The message of an event, as JSON."""
        found = self._kept.get(id(event))
        if found is None:
            text = json.dumps(_shown(event), separators=(",", ":"), ensure_ascii=False)
            found = self._kept[id(event)] = (event, text)
            if len(self._kept) > TEXTS_KEPT:
                self._kept.popitem(last=False)
        return found[1]


def _shown(event: Event) -> Json:
    data = event.model_dump(mode="json", include={"status", "progress", "step", "message", "at"})
    return _message("event", event.seq, {**data, "details": event.data})


def _message(kind: str, seq: int, data: Json) -> Json:
    return {"type": kind, "seq": seq, "data": data}

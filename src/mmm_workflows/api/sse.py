"""Events of a run as server-sent events: those of the log first, then live, each once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from fastapi import Response
from starlette.responses import StreamingResponse

from mmm_workflows.errors import RunError, ServiceUnavailable
from mmm_workflows.records import Event, RunStatus, RunView

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

MEDIA_TYPE: Final = "text/event-stream"
# Proxies cut a connection on which nothing comes; a comment is not seen by the page.
SILENCE_S: Final = 15.0
# Tells a browser's EventSource to ask no more; it would come back after every end.
NO_MORE: Final = 204


async def stream(runner: Runner, run: RunView, *, after: int) -> Response:
    """The events after ``after`` until the run ends or waits; 204 where none is to come."""
    has_ended = run.status.is_final or run.status is RunStatus.WAITING
    if has_ended and not await runner.events(run.workflow_id, after=after):
        return Response(status_code=NO_MORE)
    return StreamingResponse(
        _written(runner, run.workflow_id, after),
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _written(runner: Runner, workflow_id: str, after: int) -> AsyncIterator[str]:
    async with aclosing(runner.watch(workflow_id, after=after)) as events:
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                await asyncio.wait({coming}, timeout=SILENCE_S)
                if not coming.done():
                    yield ": still there\n\n"
                    continue
                try:
                    event = coming.result()
                except ServiceUnavailable:
                    # An EventSource comes back by itself, with the last id that it read.
                    yield ": the records cannot be read\n\n"
                    return
                except RunError:
                    yield ": the run was deleted\n\n"
                    return
                if event is None:
                    return
                yield _message(event)
                coming = asyncio.ensure_future(anext(events, None))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _message(event: Event) -> str:
    data = json.dumps(event.model_dump(mode="json"), ensure_ascii=True, allow_nan=False)
    return f"id: {event.seq}\nevent: event\ndata: {data}\n\n"

"""What the service counts of itself, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from mmm_workflows.api.deps import Shared
from mmm_workflows.api.measures import Measures

router = APIRouter(tags=["service"])


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, door: Shared) -> Response:
    """Requests, sockets, runs, events and memory's outbox in Prometheus's text format; for keys of all projects."""
    door.enter_all()
    measures: Measures = request.app.state.measures
    if measures.are_stale:
        measures.take_counts(await door.runner.counts(), await door.runner.memory.backlog())
    return Response(measures.text(), headers={"content-type": CONTENT_TYPE_LATEST})

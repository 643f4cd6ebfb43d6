"""A run as it is shown, in bytes: the stored text of its result is handed on as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
from fastapi import Response

from mmm_workflows.api.schemas import Links
from mmm_workflows.records import Json, RunView

# As pydantic writes a moment in UTC.
OPTIONS: Final = orjson.OPT_UTC_Z


class JsonBytes(Response):
    """JSON that was written already."""

    media_type = "application/json"


def as_json(view: RunView) -> bytes:
    """What ``RunShown`` says of a run, field by field."""
    return orjson.dumps(_shown(view), option=OPTIONS)


def page_as_json(views: Sequence[RunView], *, more: str | None) -> bytes:
    """What ``Runs`` says of a page of runs, and where the page after it is."""
    return orjson.dumps({"runs": [_shown(view) for view in views], "next": more}, option=OPTIONS)


def _shown(view: RunView) -> Json:
    return {
        "workflow_id": view.workflow_id,
        "workflow": view.workflow,
        "project": view.project,
        "status": view.status,
        "step": view.step,
        "progress": view.progress,
        "depth": view.depth,
        "seed": view.seed,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
        "result": _stored(view.result),
        "error": _stored(view.error),
        "memory": view.memory,
        "links": vars(Links.of(view.workflow_id)),
    }


def _stored(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)

"""The workflows by name: what they take and where they are built; loads neither of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mmm_workflows.errors import UserError
from mmm_workflows.workflows.contracts import (
    AskRequest,
    EdaRequest,
    ModelingRequest,
    PipelineRequest,
    Request,
    ResearchRequest,
    TrackRequest,
    WhatifRequest,
)

if TYPE_CHECKING:
    from mmm_workflows.workflows.graph import Workflow

type Durability = Literal["sync", "async"]


@dataclass(frozen=True)
class Entry:
    """One workflow: its request type, the dotted path of its builder and its durability."""

    name: str
    purpose: str
    request: type[Request]
    builder: str
    durability: Durability = "async"

    def load(self) -> Workflow[Any]:
        """Import the builder and call it."""
        module, _, function = self.builder.partition(":")
        build: Callable[[], Workflow[Any]] = getattr(importlib.import_module(module), function)
        return build()


_HERE = "mmm_workflows.workflows"
WORKFLOWS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("research", "A plan for the data", ResearchRequest, f"{_HERE}.research_agent:build"),
        Entry("eda", "Files to trusted MFF", EdaRequest, f"{_HERE}.eda_agent:build"),
        Entry(
            "modeling",
            "MFF to a fitted model",
            ModelingRequest,
            f"{_HERE}.modeling_agent:build",
            durability="sync",
        ),
        Entry("whatif", "A question to a plan", WhatifRequest, f"{_HERE}.whatif_agent:build"),
        Entry("track", "Forecasts to their scores", TrackRequest, f"{_HERE}.track_agent:build"),
        Entry("ask", "A question to the data", AskRequest, f"{_HERE}.ask_agent:build"),
        Entry("pipeline", "All four", PipelineRequest, f"{_HERE}.pipeline:build"),
    )
}


def find(name: str) -> Entry:
    """The workflow of this name.

    Raises:
        UserError: There is none (``request_invalid``); the names there are stand in it.
    """
    if name not in WORKFLOWS:
        raise UserError(f"There is no workflow {name!r}. There are {', '.join(WORKFLOWS)}.")
    return WORKFLOWS[name]

"""The workflows of MMM Workflows; creating one opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmm_workflows.config import Settings
    from mmm_workflows.workflows.front import (
        AskWorkflow,
        EdaWorkflow,
        ModelingWorkflow,
        ResearchWorkflow,
        TrackWorkflow,
        WhatifWorkflow,
    )


async def create_research_workflow(settings: Settings | None = None) -> ResearchWorkflow:
    """The workflow from a question to a research plan."""
    from mmm_workflows.workflows.front import ResearchWorkflow

    return ResearchWorkflow(settings)


async def create_eda_workflow(settings: Settings | None = None) -> EdaWorkflow:
    """The workflow from files to trusted MFF."""
    from mmm_workflows.workflows.front import EdaWorkflow

    return EdaWorkflow(settings)


async def create_modeling_workflow(settings: Settings | None = None) -> ModelingWorkflow:
    """The workflow from MFF to a fitted model."""
    from mmm_workflows.workflows.front import ModelingWorkflow

    return ModelingWorkflow(settings)


async def create_whatif_workflow(settings: Settings | None = None) -> WhatifWorkflow:
    """The workflow from a question in plain words to an optimised budget."""
    from mmm_workflows.workflows.front import WhatifWorkflow

    return WhatifWorkflow(settings)


async def create_track_workflow(settings: Settings | None = None) -> TrackWorkflow:
    """The workflow from what really came to the scores of forecasts and plans."""
    from mmm_workflows.workflows.front import TrackWorkflow

    return TrackWorkflow(settings)


async def create_ask_workflow(settings: Settings | None = None) -> AskWorkflow:
    """The workflow from a question to the answer of a program that ran on the data."""
    from mmm_workflows.workflows.front import AskWorkflow

    return AskWorkflow(settings)

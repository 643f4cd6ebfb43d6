"""All four workflows as one durable run; each part is a run of its own that is not repeated."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import PipelineState
from mmm_workflows.workflows.steps import pipeline


def build() -> Workflow[PipelineState]:
    """Research, EDA, Modeling, What-If, and one result."""
    return Workflow(
        name="pipeline",
        state=PipelineState,
        first_state=pipeline.first_state,
        steps=(
            Step("research", "Research", pipeline.research, weight=1),
            Step("eda", "Data", pipeline.eda, weight=8),
            Step("modeling", "Model", pipeline.modeling, weight=80),
            Step(
                "whatif", "What-if", pipeline.whatif, weight=10, repeat_while=lambda s: s.is_waiting
            ),
            Step("finalize", "Finalize", pipeline.finalize, weight=1),
        ),
    )

"""Research: from a question to a plan for the data."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import ResearchState
from mmm_workflows.workflows.steps import research


def build() -> Workflow[ResearchState]:
    """The five phases of Research."""
    return Workflow(
        name="research",
        state=ResearchState,
        first_state=research.first_state,
        steps=(
            Step("initialize", "Initialize analysis", research.initialize),
            Step("web_search", "Conduct web search", research.web_search),
            Step("generate_plan", "Generate research plan", research.generate_plan),
            Step("collect_feedback", "Collect user feedback", research.collect_feedback),
            Step("finalize", "Finalize", research.finalize),
        ),
    )

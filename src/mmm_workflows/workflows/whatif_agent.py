"""What-If: from a question in plain words to an exact scenario and a budget."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import WhatifState
from mmm_workflows.workflows.steps import whatif


def build() -> Workflow[WhatifState]:
    """The five phases of What-If."""
    return Workflow(
        name="whatif",
        state=WhatifState,
        first_state=whatif.first_state,
        steps=(
            Step("load_model", "Load model artifacts", whatif.load_model),
            Step("parse_query", "Parse scenario queries", whatif.parse_query),
            Step("run_scenarios", "Run scenario analysis", whatif.run_scenarios),
            Step(
                "suggest_allocation",
                "Generate optimization suggestions",
                whatif.suggest_allocation,
            ),
            Step("summarise", "Create summary", whatif.summarise),
        ),
    )

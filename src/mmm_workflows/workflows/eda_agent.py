"""EDA: from files to trusted MFF."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import EdaState
from mmm_workflows.workflows.steps import eda


def build() -> Workflow[EdaState]:
    """The five phases of EDA."""
    return Workflow(
        name="eda",
        state=EdaState,
        first_state=eda.first_state,
        steps=(
            Step("load_data", "Load and merge data", eda.load_data),
            Step("quality_checks", "Run quality checks", eda.quality_checks),
            Step("analyse", "Generate EDA analysis", eda.analyse, weight=4),
            Step("transform_to_mff", "Transform to MFF format", eda.transform_to_mff),
            Step("finalize", "Finalize with recommendations", eda.finalize),
        ),
    )

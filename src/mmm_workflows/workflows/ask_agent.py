"""Ask: from a question to the answer of a program that ran on the data, with the program beside it."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import AskState
from mmm_workflows.workflows.steps import ask


def build() -> Workflow[AskState]:
    """The four phases of asking the data."""
    return Workflow(
        name="ask",
        state=AskState,
        first_state=ask.first_state,
        steps=(
            Step("load_data", "Load the data", ask.load_data),
            Step("write_code", "Write the program", ask.write_code, weight=2),
            Step("run_code", "Run it in the sandbox", ask.run_code, weight=2),
            Step("answer", "Read its answer", ask.answer),
        ),
    )

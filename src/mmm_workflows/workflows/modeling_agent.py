"""Modeling: from MFF to a fitted Bayesian MMM."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import ModelingState
from mmm_workflows.workflows.steps import modeling


def build() -> Workflow[ModelingState]:
    """The five phases of Modeling."""
    return Workflow(
        name="modeling",
        state=ModelingState,
        first_state=modeling.first_state,
        steps=(
            Step("initialize", "Initialize and configure", modeling.initialize),
            Step("generate_config", "Generate model configuration", modeling.generate_config),
            Step("fit", "Fit Bayesian MMM", modeling.fit, weight=40),
            Step("run_diagnostics", "Run diagnostics", modeling.run_diagnostics),
            Step("interpret_results", "Interpret results", modeling.interpret_results),
        ),
    )

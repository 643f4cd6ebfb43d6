"""Updates that LangGraph would drop or let through are refused."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mmm_workflows.workflows import registry
from mmm_workflows.workflows.contracts import ResearchRequest
from mmm_workflows.workflows.graph import check_update
from mmm_workflows.workflows.research_agent import build
from mmm_workflows.workflows.state import ResearchState

STATE = ResearchState(request=ResearchRequest(query="?"))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(KeyError, match="plan_paht"):
        check_update(STATE, {"plan_paht": "x"}, "step")


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="plan_path"):
        check_update(STATE, {"plan_path": 3}, "step")


def test_spans_of_the_steps_cover_the_run_without_a_gap() -> None:
    workflow = build()
    spans = [workflow.span(step.name) for step in workflow.steps]
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(1)
    for before, after in pairwise(spans):
        assert before[1] == pytest.approx(after[0])


def test_the_graph_version_changes_with_the_steps_and_the_state() -> None:
    workflow = build()
    fewer = type(workflow)(
        name=workflow.name,
        state=workflow.state,
        steps=workflow.steps[1:],
        first_state=workflow.first_state,
    )
    assert fewer.graph_version != workflow.graph_version
    assert build().graph_version == workflow.graph_version


def test_modeling_waits_for_its_checkpoints_and_no_other_workflow_does() -> None:
    waits = {name for name, entry in registry.WORKFLOWS.items() if entry.durability == "sync"}
    assert waits == {"modeling"}

"""Research plans by rules."""

from __future__ import annotations

import pytest

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.plan import read_plan
from mmm_workflows.mmm.planning import find_category, propose_plan, revise_plan


@pytest.mark.parametrize(
    ("question", "category"),
    [
        ("Build MMM for CPG brand with 2 years of weekly data", "consumer packaged goods"),
        ("Build MMM for beverage brand", "consumer packaged goods"),
        ("How do ads work for our online shop in Germany?", "e-commerce"),
        ("insurance leads", "financial services"),
        ("What should we spend?", "general"),
        ("an application form", "general"),
    ],
)
def test_the_category_is_read_from_whole_words(question: str, category: str) -> None:
    assert find_category(question).name == category


def test_the_plan_of_the_readme_names_target_channels_controls_and_history() -> None:
    plan = propose_plan("Build MMM for CPG brand with 2 years of weekly data").plan
    assert plan.target_variable == "Sales"
    assert plan.period == "2 years of weekly"
    assert {"TV", "Digital"} <= {c.name for c in plan.channels}
    assert {"Price", "Promotion"} <= {c.name for c in plan.controls}
    assert {h.sign for h in plan.hypotheses if h.cause == "Price"} == {"negative"}
    assert {r.granularity for r in plan.data_requirements} == {"weekly"}


def test_channels_and_target_of_the_question_win_over_the_category() -> None:
    plan = propose_plan("How do TV and search drive conversions of our snack brand in France?").plan
    assert [c.name for c in plan.channels] == ["TV", "Search"]
    assert plan.target_variable == "Conversions"
    assert plan.geography == "France"


def test_what_the_data_names_wins_over_the_question() -> None:
    proposed = propose_plan(
        "How does TV drive sales?", target="Revenue", channels=["tv_S", "ooh_S"]
    )
    assert proposed.plan.target_variable == "Revenue"
    assert [c.name for c in proposed.plan.channels] == ["tv_S", "ooh_S"]
    assert all(d.reason for d in proposed.decisions)


def test_us_as_a_pronoun_is_no_country() -> None:
    assert propose_plan("tell us about sales").plan.geography is None
    assert propose_plan("sales in the US").plan.geography == "US"


def test_a_review_replaces_the_channels_it_names() -> None:
    plan = propose_plan("Build MMM for beverage brand").plan
    revised = revise_plan(plan, "revenue by TV and search")
    assert revised is not None
    assert revised.target_variable == "Revenue"
    assert [c.name for c in revised.channels] == ["TV", "Search"]
    assert revised.objective == plan.objective


@pytest.mark.parametrize("feedback", ["no TV", "without radio", "hm", "sales or revenue by TV"])
def test_a_review_that_cannot_be_read_is_not_guessed(feedback: str) -> None:
    assert revise_plan(propose_plan("Build MMM for beverage brand").plan, feedback) is None


def test_a_partial_plan_is_read() -> None:
    plan = read_plan({"channels": [{"name": "TV", "set_by": "agency"}]})
    assert plan.channels[0].set_by == "agency"
    assert plan.target_variable is None


def test_an_unknown_field_of_a_plan_is_named() -> None:
    with pytest.raises(SpecError, match=r"chanels.*Known fields are objective") as caught:
        read_plan({"chanels": []})
    assert caught.value.code == "plan_invalid"

"""Research plans by rules."""

from __future__ import annotations

import pytest

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.plan import PlannedPrior, read_plan
from mmm_workflows.mmm.planning import (
    KnownData,
    ProposedPlan,
    add_evidence,
    describe_plan,
    find_category,
    propose_plan,
    revise_plan,
)
from mmm_workflows.records import Decision


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
    revised = revise_plan(plan, "revenue by TV and search", question=plan.objective or "")
    assert revised is not None
    assert revised.target_variable == "Revenue"
    assert [c.name for c in revised.channels] == ["TV", "Search"]
    assert revised.objective == plan.objective


@pytest.mark.parametrize("feedback", ["no TV", "without radio", "hm", "sales or revenue by TV"])
def test_a_review_that_cannot_be_read_is_not_guessed(feedback: str) -> None:
    plan = propose_plan("Build MMM for beverage brand").plan
    assert revise_plan(plan, feedback, question="Build MMM for beverage brand") is None


def test_a_review_reads_the_category_from_the_question_whatever_a_model_made_of_the_objective() -> (
    None
):
    question = "Build MMM for beverage brand in Germany"
    plan = propose_plan(question).plan
    worded = plan.model_copy(update={"objective": "Learn what each channel brings."})
    said = "sales by TV and OOH"
    assert revise_plan(worded, said, question=question) == revise_plan(
        plan, said, question=question
    )


def test_a_partial_plan_is_read() -> None:
    plan = read_plan({"channels": [{"name": "TV", "set_by": "agency"}]})
    assert plan.channels[0].set_by == "agency"
    assert plan.target_variable is None


def test_an_unknown_field_of_a_plan_is_named() -> None:
    with pytest.raises(SpecError, match=r"chanels.*Known fields are objective") as caught:
        read_plan({"chanels": []})
    assert caught.value.code == "plan_invalid"


def test_a_plan_has_expectations_seasons_holidays_and_risks_that_are_defaults() -> None:
    plan = propose_plan("How do TV and search drive sales of our snack brand in Germany?").plan
    by_name = {c.name: c for c in plan.channels}
    assert by_name["Search"].set_by == "demand"
    assert by_name["TV"].adstock is not None and by_name["TV"].adstock.basis == "default"
    assert by_name["Search"].saturation is not None
    assert by_name["Search"].saturation.onset == "early"
    assert plan.seasonality is not None and plan.seasonality.peaks == ("July", "December")
    assert "German Unity Day" in {h.name for h in plan.holidays}
    kinds = {r.kind for r in plan.risks}
    assert {"demand_driven_channel", "mediated_channel", "budgets_move_together",
            "one_national_series", "promotions_with_media"} <= kinds  # fmt: skip
    assert not {"unknown_country", "short_history"} & kinds
    assert all(r.what and r.why and r.action for r in plan.risks)
    assert read_plan(plan.model_dump(mode="json")) == plan


def test_columns_that_media_moves_are_planned_as_what_not_to_control_for() -> None:
    known = KnownData(
        target="Revenue", channels=["TV_Spend"], controls=["Price", "Website_Visits"],
        years=1.2, geographies=12,
    )  # fmt: skip
    plan = propose_plan("How does media work?", known=known).plan
    assert {c.name: c.role for c in plan.controls} == {
        "Price": "confounder",
        "Website_Visits": "mediator",
    }
    kinds = {r.kind for r in plan.risks}
    assert {"post_treatment_variable", "short_history", "unknown_country"} <= kinds
    assert "one_national_series" not in kinds


def test_earlier_plans_fill_what_the_question_and_the_data_leave_open() -> None:
    older = propose_plan("revenue by TV and radio in France").plan
    newer = propose_plan("How does radio drive leads?").plan
    proposed = propose_plan("What should we do next?", earlier=[newer, older])
    assert proposed.plan.target_variable == "Leads"
    assert [c.name for c in proposed.plan.channels] == ["Radio"]
    assert proposed.plan.geography == "France"
    assert any("earlier run" in d.reason for d in proposed.decisions)
    asked = propose_plan("How does TV drive bookings in Spain?", earlier=[newer, older])
    said = asked.plan
    assert (said.target_variable, said.geography) == ("Bookings", "Spain")
    assert [c.name for c in said.channels] == ["TV"]
    places = [_place(p) for p in (proposed, asked, propose_plan("How does TV drive bookings?"))]
    assert [p.choice for p in places] == ["France", "Spain", "none named"]
    assert "another one" in places[0].reason, "the way out is not said"
    assert places[1].reason == "the question names it"
    assert "France" in places[1].options, "what it would have been is not shown"


def _place(proposed: ProposedPlan) -> Decision:
    question = "Which country or region is the plan for?"
    return next(d for d in proposed.decisions if d.question == question)


def test_evidence_is_added_by_its_claims_and_a_review_keeps_it() -> None:
    plan = propose_plan("How do TV and search drive sales?").plan
    prior = PlannedPrior(
        channel="TV", quantity="roas", median=2, spread=0.5, claims=("C-00000001",), why="cited"
    )
    with_evidence = add_evidence(plan, ["C-00000001", "C-00000002"], [prior])
    assert with_evidence.evidence == ("C-00000001", "C-00000002")
    revised = revise_plan(
        with_evidence, "sales by radio and search", question="How do TV and search drive sales?"
    )
    assert revised is not None
    assert revised.evidence == with_evidence.evidence
    assert revised.priors == ()
    for wrong in (prior.model_copy(update={"channel": "OOH"}),
                  prior.model_copy(update={"claims": ("C-9",)})):  # fmt: skip
        with pytest.raises(ValueError, match="rests on what the plan does not have"):
            add_evidence(plan, ["C-00000001"], [wrong])


def test_the_description_says_whether_there_is_evidence() -> None:
    plan = propose_plan("How does TV drive sales?").plan
    assert describe_plan(plan, "general").startswith("No web search was made")
    assert describe_plan(plan, "general", searched=True).startswith("No evidence found")
    with_evidence = add_evidence(plan, ["C-00000001"])
    assert "1 cited claims" in describe_plan(with_evidence, "general", searched=True)

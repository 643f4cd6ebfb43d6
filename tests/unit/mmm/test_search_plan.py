"""The questions that Research asks the web."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_workflows.mmm.search_plan import (
    PlannedQuery,
    QuestionKind,
    SearchBudget,
    SearchPlan,
    plan_searches,
)


def test_the_queries_are_typed_bounded_and_the_same_each_time() -> None:
    plan = plan_searches(["TV", "Search"], category="e-commerce", country="Germany")
    assert plan == plan_searches(["TV", "Search"], category="e-commerce", country="Germany")
    assert plan.queries[0].text == "TV advertising ROAS benchmark e-commerce Germany"
    assert {q.kind for q in plan.queries} == set(QuestionKind)
    assert len(plan.queries) == 8
    assert all(q.why for q in plan.queries)


@pytest.mark.parametrize("queries", [0, 1, 3])
def test_the_budget_cuts_the_least_useful_queries(queries: int) -> None:
    whole = plan_searches(["TV", "Search"], category="retail")
    cut = plan_searches(["TV", "Search"], category="retail", budget=SearchBudget(queries=queries))
    assert cut.queries == whole.queries[:queries]


def test_names_of_columns_do_not_leave_the_machine() -> None:
    secret = ["ACME_ProjectX_TV_Spend", "Facebook_Q3_Launch_Spend", "Zebra_Spend"]
    for query in plan_searches(secret, category="general", country="Atlantis").queries:
        words = query.text.lower()
        assert not any(
            w in words for w in ("acme", "projectx", "q3", "zebra", "atlantis", "general")
        )


def test_a_plan_of_unknown_channels_still_asks_about_advertising() -> None:
    plan = plan_searches(["Zebra_Spend"], category="retail")
    assert plan.queries[0].text == "advertising ROAS benchmark retail"


@pytest.mark.parametrize(
    "text",
    [
        "ROAS site:evil.example.com",
        "see https://evil.example.com",
        "a@b.example.com",
        "ignore previous instructions",
        "<b>ROAS</b>",
        "word " * 17,
        "x" * 121,
        "a\u202eb c",
        "ab",
    ],
)
def test_a_query_of_a_model_that_is_not_plain_words_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        PlannedQuery(kind=QuestionKind.RETURN, text=text)


def test_a_model_may_fill_the_shape_but_ask_nothing_twice() -> None:
    one = {"kind": "return", "text": "TV  ROAS snacks"}
    assert SearchPlan.model_validate({"queries": [one]}).queries[0].text == "TV ROAS snacks"
    with pytest.raises(ValidationError, match="asked twice"):
        SearchPlan.model_validate({"queries": [one, {**one, "text": "tv roas snacks"}]})
    with pytest.raises(ValidationError):
        SearchPlan.model_validate({"queries": [{**one, "kind": "gossip"}]})

"""Figures that a text may refer to: one per reference, each where its pointer leads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.earlier_answers import Answer, ModelUsed
from mmm_workflows.mmm.facts import quality_facts, whatif_facts
from mmm_workflows.mmm.narrative import Facts, faults
from mmm_workflows.mmm.optimize import default_bounds, optimize
from mmm_workflows.mmm.quality import DataVerdict, QualityReport
from mmm_workflows.mmm.questions import QueryKind
from mmm_workflows.mmm.remembered import Remembered, compare_with, find_patterns
from mmm_workflows.mmm.results import FitVerdict
from mmm_workflows.mmm.scenario import Change, ChangeKind, run_scenario
from mmm_workflows.mmm.sensitivity import sensitivity
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.windows import make_reference, next_periods
from mmm_workflows.records import Finding, Severity, now

# Names that would break a pointer, a pattern or a reference if they were taken as they are.
NAMES = ("total", "delta", "a/b~c", "Paid (all) [x]", "Ютуб")


def at(result: Any, pointer: str) -> Any:
    """What a JSON pointer leads to."""
    value = result
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@pytest.mark.parametrize("is_money", [True, False])
def test_every_figure_of_an_answer_has_a_reference_of_its_own_and_stands_where_it_says(
    draws: Draws, is_money: bool
) -> None:
    draws = replace(draws, channels=NAMES, target_is_money=is_money)
    reference = make_reference(draws, next_periods(draws, 6))
    total = float(reference.totals.sum())
    found = optimize(draws, reference, total, default_bounds(draws, reference, total))
    change = Change(channel="a/b~c", kind=ChangeKind.MULTIPLY, amount=1.1)
    plan = run_scenario(draws, reference, [change], name="Your scenario")
    table = sensitivity(draws, reference)
    facts = whatif_facts([plan], found, table)
    assert len(facts.by_reference) == len(facts.facts)
    body = {
        "scenario_results": [plan.model_dump(mode="json")],
        "optimization_results": found.model_dump(mode="json"),
        "sensitivity_analysis": table.model_dump(mode="json"),
    }
    for fact in facts.facts:
        assert at(body, fact.field) is not None, fact
        if fact.subject is not None:
            said = f"has {fact.words[0]} [[{fact.reference}]]."
            assert faults([f"{fact.subject} {said}"], facts) == (), said
            other = next(name for name in NAMES if name != fact.subject)
            assert faults([f"{other} {said}"], facts)


def test_figures_of_earlier_answers_may_be_cited_as_earlier_ones_where_they_compare(
    draws: Draws,
) -> None:
    reference = make_reference(draws, next_periods(draws, 6))
    total = float(reference.totals.sum())
    model = ModelUsed(
        name="m", sha256="a", mff_sha256="b", fitted_at=now(), target="Revenue",
        fit_verdict=FitVerdict.PASS,
    )  # fmt: skip
    best = Answer(
        workflow_id="w", answered_at=now(), question="?", kind=QueryKind.OPTIMIZE, model=model,
        found=optimize(draws, reference, total, default_bounds(draws, reference, total)),
    )  # fmt: skip
    newer = model.model_copy(update={"sha256": "c"})
    other = best.model_copy(update={"model": newer, "workflow_id": "w2"})
    remembered = Remembered(
        looked_at=2,
        alike=2,
        similar=(compare_with(best, other, found_by="plan"),),
        patterns=find_patterns(best, (best, other)),
    )
    table = sensitivity(draws, reference)
    facts = whatif_facts([], best.found, table, remembered=remembered)
    assert len(facts.by_reference) == len(facts.facts)
    body = {"remembered": remembered.model_dump(mode="json")}
    earlier = [f for f in facts.facts if f.field.startswith("/remembered")]
    assert {f.reference for f in earlier} >= {"earlier.0.delta", "earlier.gains.TV_Spend"}
    for fact in earlier:
        assert at(body, fact.field) is not None, fact
        name = "" if fact.subject is None else f"{fact.subject} "
        assert faults([f"{name}has an earlier figure of [[{fact.reference}]]."], facts) == ()
        assert faults([f"{name}now has a figure of [[{fact.reference}]]."], facts)
    apart = compare_with(
        best, other.model_copy(update={"model": newer.model_copy(update={"target": "Leads"})}),
        found_by="plan",
    )  # fmt: skip
    remembered = remembered.model_copy(update={"similar": (apart,)})
    known = whatif_facts([], best.found, table, remembered=remembered).by_reference
    assert "earlier.0.delta" not in known


def quality() -> Facts:
    finding = Finding(code="x", severity=Severity.WARNING, message="m")
    report = QualityReport(
        findings=(finding,), data_verdict=DataVerdict.REVIEW, periods=9, frequency=Frequency.WEEKLY
    )
    return quality_facts(report, ("TV",))


def test_the_number_of_one_severity_is_not_passed_off_as_that_of_another() -> None:
    assert faults(["There are [[findings.warning]] warnings and [[findings.error]] errors."],
                  quality()) == ()  # fmt: skip
    for wrong in (
        "There are [[findings.error]] findings that are a warning.",
        "There are [[findings.error]] warnings and [[findings.warning]] errors.",
        "There are [[findings.warning]] findings.",
    ):
        assert faults([wrong], quality()), wrong

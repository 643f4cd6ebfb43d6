"""Sentences about a plan: what is gained, lost and saved is called so."""

from __future__ import annotations

from datetime import date

import pytest

from mmm_workflows.mmm.results import Estimate, Window
from mmm_workflows.mmm.scenario import Outcome, ScenarioResult
from mmm_workflows.mmm.whatif_advice import summarise_scenarios


def estimate(mean: float) -> Estimate:
    return Estimate(
        mean=mean, median=mean, hdi_low=mean - 10, hdi_high=mean + 10, hdi_prob=0.94, unit="EUR"
    )


@pytest.mark.parametrize(
    ("spent", "gained", "said"),
    [
        (50.0, 40.0, "the probability that its revenue is worth more than it costs is 75 %"),
        (50.0, -40.0, "the probability that its revenue is worth more than it costs is 75 %"),
        (-50.0, -40.0, "that what it saves is worth more than the revenue it loses is 75 %"),
        (-50.0, 40.0, "that it is better, with the revenue it brings and what it saves, is 75 %"),
    ],
)
def test_the_probability_says_what_is_held_against_what(
    spent: float, gained: float, said: str
) -> None:
    plan = ScenarioResult(
        name="Plan",
        window=Window(start=date(2026, 1, 5), end=date(2026, 3, 30)),
        unit="EUR",
        reference_plan="what was spent",
        totals={"TV": 100.0 + spent},
        reference_totals={"TV": 100.0},
        outcome=Outcome(
            reference=estimate(100.0),
            scenario=estimate(100.0 + gained),
            delta=estimate(gained),
            probability_better=0.75,
            reasons={"value": "revenue: no margin was given"},
        ),
        warnings=(),
    )
    (sentence,) = summarise_scenarios([plan])
    assert said in sentence

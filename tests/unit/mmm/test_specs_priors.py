"""A plan's priors are taken as decisions that name their claims, or it is said why not."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from mmm_workflows.mmm.cited_priors import WEEKS_PER_PERIOD, retention_prior
from mmm_workflows.mmm.dataset import Dataset, Role, Sidecar, Variable, long_table
from mmm_workflows.mmm.plan import PlannedPrior, ResearchPlan
from mmm_workflows.mmm.spec import ChannelSpec, Frequency, ModelSpec
from mmm_workflows.mmm.spec_builder import SpecProposal, propose_spec
from mmm_workflows.records import Decision, Finding, Severity, Who

STEP = {Frequency.DAILY: "D", Frequency.WEEKLY: "7D", Frequency.MONTHLY: "MS"}
WHY = "two studies of other brands, discounted for another country"


def make_dataset(
    *,
    target_unit: str = "EUR",
    tv_unit: str = "EUR",
    frequency: Frequency = Frequency.WEEKLY,
    **columns: np.ndarray,
) -> Dataset:
    """Sales, TV and Search over 104 periods; a unit that is no currency is counted."""
    random = np.random.default_rng(5)
    dates = pd.date_range("2022-01-03", periods=104, freq=STEP[frequency], name="Period")
    if frequency is Frequency.MONTHLY:
        dates = pd.date_range("2014-01-01", periods=104, freq="MS", name="Period")
    wide = pd.DataFrame(
        {
            "Sales": random.normal(1e5, 5e3, 104),
            "TV_Spend": random.gamma(4, 2e3, 104),
            "Search_Spend": random.gamma(4, 5e2, 104),
            **columns,
        },
        index=dates,
    )
    units = {"Sales": target_unit, "TV_Spend": tv_unit}
    variables = tuple(
        Variable(
            name=name,
            role=Role.TARGET if name == "Sales" else Role.CHANNEL,
            unit=units.get(name, "EUR"),
            is_money=units.get(name, "EUR") in {"EUR", "USD", "money"},
            source="made",
        )
        for name in wide
    )
    return Dataset(long_table(wide), Sidecar(frequency=frequency, variables=variables, sources=()))


def planned(**changes: object) -> PlannedPrior:
    """A ROAS of TV, accepted."""
    values: dict[str, object] = {
        "channel": "tv", "quantity": "roas", "median": 1.5, "spread": 0.4,
        "claims": ("c-17", "c-23"), "why": WHY, "accepted": True,
    }  # fmt: skip
    return PlannedPrior.model_validate(values | changes)


def propose(
    *priors: PlannedPrior, dataset: Dataset | None = None, **wishes: object
) -> SpecProposal:
    return propose_spec(dataset or make_dataset(), ResearchPlan(priors=priors), wishes)


def cited(proposal: SpecProposal) -> list[Decision]:
    return [d for d in proposal.decisions if d.choice == "the cited prior"]


def said(proposal: SpecProposal) -> list[Finding]:
    return [f for f in proposal.findings if f.code.startswith("plan_prior")]


def test_an_accepted_roas_is_taken_and_the_decision_names_its_claims() -> None:
    proposal = propose(planned())
    tv, search = proposal.spec.channels
    assert tv.return_prior is not None
    assert (tv.return_prior.median, tv.return_prior.spread) == (1.5, 0.4)
    assert tv.return_prior.claims == ("c-17", "c-23")
    (decision,) = cited(proposal)
    for part in ("c-17", "c-23", "1.5", "0.4", "log scale", WHY):
        assert part in decision.evidence, decision.evidence
    assert "TV_Spend" in decision.question
    assert "EUR per EUR" in decision.reason
    assert decision.who is Who.PERSON
    assert said(proposal) == []
    plain = propose().spec
    assert search == plain.channels[1], "the other channel keeps its prior"
    assert tv.model_copy(update={"return_prior": None}) == plain.channels[0]
    assert proposal.spec.digest() != plain.digest()


def test_a_prior_that_was_not_accepted_is_information_and_changes_nothing() -> None:
    proposal = propose(planned(accepted=False))
    (finding,) = said(proposal)
    assert finding.code == "plan_prior_not_accepted"
    assert finding.severity is Severity.INFO
    assert "proposed, not used: accept it to use it" in finding.message
    assert "c-17" in finding.message
    assert proposal.spec == propose().spec
    assert cited(proposal) == []


@pytest.mark.parametrize(
    ("prior", "data", "code", "words"),
    [
        ({"channel": "Podcast"}, {}, "plan_prior_without_data", "no channel of the data"),
        ({}, {"TV_Spend": np.zeros(104)}, "plan_prior_without_data", "no spend in any period"),
        (
            {"quantity": "elasticity"}, {"TV_Spend": np.zeros(104)},
            "plan_prior_without_data", "no spend in any period",
        ),
        ({}, {"tv_cost": np.ones(104)}, "plan_prior_without_data", "TV_Spend, tv_cost match"),
        ({}, {"target_unit": "orders"}, "plan_prior_unusable", "no value per unit is known"),
        ({}, {"tv_unit": "GRP"}, "plan_prior_unusable", "GRP, which is no money"),
        ({}, {"tv_unit": "USD"}, "plan_prior_unusable", "Sales is in EUR and TV_Spend in USD"),
        (
            {"quantity": "elasticity", "median": 0.1}, {"Sales": 50.0 - np.arange(104)},
            "plan_prior_unusable", "adds up to nothing",
        ),
        (
            {"quantity": "carry_over", "median": 1.4}, {},
            "plan_prior_unusable", "must be below 1",
        ),
        (
            {"quantity": "carry_over", "median": 0.5, "spread": 3.0}, {},
            "plan_prior_unusable", "less than knowing nothing",
        ),
    ],
)  # fmt: skip
def test_an_accepted_prior_that_has_no_place_is_a_finding_that_says_why(
    prior: dict[str, object], data: dict[str, object], code: str, words: str
) -> None:
    dataset = make_dataset(**data)  # type: ignore[arg-type]
    proposal = propose(planned(**prior), dataset=dataset)
    (finding,) = said(proposal)
    assert finding.code == code
    assert finding.severity is Severity.WARNING
    assert words in finding.message
    assert "not used" in finding.message and "c-17" in finding.message
    assert proposal.spec == propose(dataset=dataset).spec
    assert cited(proposal) == []


def test_a_currency_that_the_data_does_not_name_is_taken_for_the_targets() -> None:
    proposal = propose(planned(), dataset=make_dataset(tv_unit="money"))
    assert proposal.spec.channels[0].return_prior is not None


@pytest.mark.parametrize("target_unit", ["EUR", "orders"])
def test_an_elasticity_is_the_share_of_the_target_over_the_share_of_spend(
    target_unit: str,
) -> None:
    """5 % of the target per 100 % of the spend; no money is needed for that."""
    dataset = make_dataset(target_unit=target_unit)
    proposal = propose(planned(quantity="elasticity", median=0.05, spread=0.3), dataset=dataset)
    frame = dataset.national()
    prior = proposal.spec.channels[0].return_prior
    assert prior is not None
    brought = prior.median * frame["TV_Spend"].sum()
    assert brought == pytest.approx(0.05 * frame["Sales"].sum())
    assert (prior.quantity, prior.spread) == ("elasticity", 0.3)
    (decision,) = cited(proposal)
    assert "0.05" in decision.evidence
    assert f"{target_unit} per EUR" in decision.reason


@pytest.mark.parametrize("frequency", list(Frequency))
def test_carry_over_is_taken_in_the_datas_periods(frequency: Frequency) -> None:
    proposal = propose(
        planned(quantity="carry_over", median=0.6, spread=0.3),
        dataset=make_dataset(frequency=frequency),
    )
    tv, search = proposal.spec.channels
    draws = np.random.default_rng(1).beta(*tv.alpha_prior, 40_000)
    kept = {"daily": 0.6 ** (1 / 7), "weekly": 0.6, "monthly": 0.6 ** (52 / 12)}[frequency]
    assert np.median(draws) == pytest.approx(kept, rel=0.03)
    assert tv.carry_over_claims == ("c-17", "c-23")
    assert tv.return_prior is None
    assert search == ChannelSpec(name=search.name, effect_scale=search.effect_scale)
    (decision,) = cited(proposal)
    assert "carry-over" in decision.question
    assert "0.6" in decision.evidence and "logit scale" in decision.evidence


@settings(max_examples=150, deadline=None)
@given(
    median=st.floats(0.02, 0.97),
    spread=st.floats(0.05, 1.0),
    frequency=st.sampled_from(list(Frequency)),
)
def test_the_beta_has_the_median_and_logit_spread_of_the_retained_share(
    median: float, spread: float, frequency: Frequency
) -> None:
    prior = planned(quantity="carry_over", median=median, spread=spread)
    a, b = retention_prior(prior, frequency)
    levels = (np.arange(20_001) + 0.5) / 20_001
    weekly = special.logit(median) + spread * special.ndtri(levels)
    kept = WEEKS_PER_PERIOD[frequency] * special.log_expit(weekly)
    logit = kept - np.log(-np.expm1(kept))
    # The variance of a Beta's logit is known in closed form.
    width = np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
    assert width == pytest.approx(logit.std(), rel=0.01)
    assert special.betainc(a, b, np.exp(np.median(kept))) == pytest.approx(0.5, abs=0.005)


def test_retention_needs_the_geometric_carry_over() -> None:
    proposal = propose(planned(quantity="carry_over", median=0.5), adstock="delayed")
    (finding,) = said(proposal)
    assert finding.code == "plan_prior_unusable"
    assert "delayed" in finding.message


def test_a_channel_takes_a_return_and_a_carry_over() -> None:
    proposal = propose(planned(), planned(quantity="carry_over", median=0.5, claims=("c-40",)))
    tv = proposal.spec.channels[0]
    assert tv.return_prior is not None
    assert tv.carry_over_claims == ("c-40",)
    assert len(cited(proposal)) == 2
    assert said(proposal) == []


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_priors_on_one_return_the_narrower_is_taken_and_the_other_said(order: int) -> None:
    """An elasticity and a ROAS are about the same thing."""
    wide = planned(spread=0.6, claims=("c-wide",))
    narrow = planned(quantity="elasticity", median=0.1, spread=0.2, claims=("c-narrow",))
    proposal = propose(*[wide, narrow][::order])
    prior = proposal.spec.channels[0].return_prior
    assert prior is not None
    assert prior.claims == ("c-narrow",)
    (finding,) = said(proposal)
    assert finding.code == "plan_prior_doubled"
    assert "c-wide" in finding.message and "c-narrow" in finding.message
    assert len(cited(proposal)) == 1


def test_the_spec_keeps_the_claims_and_an_older_spec_is_still_read() -> None:
    spec = propose(planned(), planned(quantity="carry_over", median=0.5)).spec
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    stored = json.loads(propose().spec.model_dump_json())
    for channel in stored["channels"]:
        assert channel.pop("return_prior") is None
        assert channel.pop("carry_over_claims") == []
    assert ModelSpec.model_validate(stored) == propose().spec


def test_the_same_plan_gives_the_same_spec_each_time() -> None:
    """Modeling proposes in three of its steps and must see one model."""
    priors = (planned(), planned(quantity="carry_over", median=0.5))
    assert propose(*priors).spec.digest() == propose(*priors).spec.digest()

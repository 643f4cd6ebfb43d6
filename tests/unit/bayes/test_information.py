"""How much of a return is said to come from the data, and how it is put in a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from mmm_workflows.bayes.information import cited_scale, data_share, information, own_scale
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.interpretation import interpret
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import (
    Amount,
    ChannelResult,
    Check,
    Diagnostics,
    FitVerdict,
    GoodnessOfFit,
    Information,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.spec import (
    Adstock,
    ChannelSpec,
    Frequency,
    ModelSpec,
    ReturnPrior,
    Saturation,
)
from mmm_workflows.records import Depth

type Floats = NDArray[np.float64]

NORMAL = special.ndtri((np.arange(4000) + 0.5) / 4000)


def posterior(prior_sd: float, data_sd: float, *, middle: float, seen: float) -> Floats:
    """Returns whose logs are the conjugate posterior of a normal prior and a normal datum."""
    precision = 1 / prior_sd**2 + 1 / data_sd**2
    mean = (middle / prior_sd**2 + seen / data_sd**2) / precision
    return np.exp(mean + NORMAL / np.sqrt(precision))


@settings(max_examples=100)
@given(
    prior_sd=st.floats(0.02, 3), data_sd=st.floats(0.02, 3), middle=st.floats(-3, 3),
    seen=st.floats(-3, 3),
)  # fmt: skip
def test_with_a_conjugate_normal_the_share_is_that_of_the_precisions(
    prior_sd: float, data_sd: float, middle: float, seen: float
) -> None:
    returns = posterior(prior_sd, data_sd, middle=middle, seen=seen)
    share = data_share(cited_scale(returns, np.exp(middle), prior_sd))
    expected = (1 / data_sd**2) / (1 / data_sd**2 + 1 / prior_sd**2)
    assert share == pytest.approx(expected, abs=0.002)


def test_the_wider_the_prior_the_more_comes_from_the_data() -> None:
    shares = [
        data_share(cited_scale(posterior(sd, 0.3, middle=0.0, seen=1.0), 1.0, sd))
        for sd in (0.03, 0.1, 0.3, 1.0, 3.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.02
    assert shares[2] == pytest.approx(0.5, abs=0.01)
    assert shares[-1] > 0.98


def test_a_posterior_that_is_the_prior_owes_nothing_to_the_data() -> None:
    random = np.random.default_rng(3)
    sizes = np.exp(random.normal(0, 0.5, 500))
    returns = random.choice(sizes, 20_000) * np.abs(random.standard_normal(20_000))
    scaled = own_scale(returns, sizes)
    assert scaled.mean() == pytest.approx(0, abs=0.03)
    assert scaled.std() == pytest.approx(1, abs=0.03)
    assert data_share(scaled) < 0.05
    assert data_share(np.random.default_rng(1).normal(0, 1.4, 500)) == 0.0, "wider is nothing"


@pytest.mark.parametrize("middle", [1e-3, 0.05, 1.0, 4.0])
def test_narrow_news_counts_wherever_it_falls_even_next_to_nothing(middle: float) -> None:
    """A channel that surely does next to nothing was learnt from the data too."""
    sizes = np.full(500, 1.0)
    returns = middle * np.exp(0.05 * NORMAL)
    assert data_share(own_scale(returns, sizes)) > 0.9


def test_returns_far_beyond_the_prior_are_still_told() -> None:
    scaled = own_scale(np.array([1e-320, 1e-30, 1.0, 8.0, 200.0]), np.full(500, 1.0))
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled) >= 0).all()
    # 8 sd of a HalfNormal: both tails of the normal, seen as one.
    assert scaled[3] == pytest.approx(-special.ndtri(2 * special.ndtr(-8.0)))


PERIODS = 60


def make_draws(**changes: object) -> Draws:
    """One channel whose coefficient the data knows well, in money."""
    random = np.random.default_rng(6)
    values: dict[str, object] = {
        "channels": ("TV",), "dates": np.arange(PERIODS).astype("datetime64[D]"),
        "spend": random.gamma(3, 1e3, (PERIODS, 1)), "channel_scale": np.array([9e3]),
        "target_scale": 1e6, "alpha": random.beta(2, 3, (800, 1)), "theta": None,
        "lam": random.gamma(4, 0.5, (800, 1)), "beta": np.abs(random.normal(0.02, 1e-3, (800, 1))),
        "adstock": Adstock.GEOMETRIC, "saturation": Saturation.LOGISTIC, "l_max": 8,
        "frequency": Frequency.WEEKLY, "target": "Sales", "target_unit": "EUR",
        "target_is_money": True, "spend_unit": "EUR",
    }  # fmt: skip
    return Draws(**(values | changes))  # type: ignore[arg-type]


def make_spec(**channel: object) -> ModelSpec:
    tv = ChannelSpec.model_validate({"name": "TV", "effect_scale": 0.3} | channel)
    return ModelSpec(
        target="Sales", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=Frequency.WEEKLY, start=date(2024, 1, 1), end=date(2024, 3, 1), channels=(tv,),
    )  # fmt: skip


def test_the_prior_is_told_as_the_return_that_it_means() -> None:
    cited = ReturnPrior(quantity="roas", median=2.0, spread=0.3, claims=("c-1", "c-2"))
    (learnt,) = information(make_draws(), make_spec(return_prior=cited), seed=1)
    assert learnt.prior.unit == "EUR per EUR"
    assert learnt.prior.median == pytest.approx(2.0, rel=0.03)
    assert np.log(learnt.prior.hdi_high / learnt.prior.hdi_low) > 0.3
    assert learnt.sources == ("c-1", "c-2")
    assert learnt.data_share + learnt.prior_share == 1


def test_the_rules_prior_is_told_as_the_return_that_its_coefficient_means() -> None:
    draws = make_draws()
    (learnt,) = information(draws, make_spec(carry_over_claims=("c-9",)), seed=1)
    random = np.random.default_rng(9)
    weights = adstock_weights(Adstock.GEOMETRIC, random.beta(2, 3, 5000), 8)
    scaled = np.broadcast_to(draws.spend[:, 0] / 9e3, (5000, PERIODS))
    lam = random.gamma(4, 0.5, (5000, 1))
    shape = saturate(Saturation.LOGISTIC, carry_over(scaled, weights), lam, 1.0)
    returns = 0.3 * np.abs(random.standard_normal(5000)) * 1e6 * shape.sum(1) / draws.spend.sum()
    assert learnt.prior.median == pytest.approx(np.median(returns), rel=0.1)
    assert learnt.sources == ()
    assert learnt.carry_over_sources == ("c-9",)
    assert learnt.data_share > 0.5


def test_a_counted_targets_prior_is_told_as_a_contribution() -> None:
    draws = make_draws(target_unit="orders", target_is_money=False)
    cited = ReturnPrior(quantity="elasticity", median=0.5, spread=0.3, claims=("c-1",))
    (learnt,) = information(draws, make_spec(return_prior=cited), seed=1)
    assert learnt.prior.unit == "orders"
    assert learnt.prior.median == pytest.approx(0.5 * draws.spend.sum(), rel=0.03)


def test_a_prior_on_one_channel_changes_nothing_that_is_said_of_another() -> None:
    one = make_draws()
    two = replace(
        one, channels=("TV", "Radio"),
        spend=np.hstack([one.spend, one.spend]), channel_scale=np.array([9e3, 9e3]),
        alpha=np.hstack([one.alpha] * 2), lam=np.hstack([one.lam] * 2),
        beta=np.hstack([one.beta] * 2),
    )  # fmt: skip
    plain = make_spec()
    radio = plain.channels[0].model_copy(update={"name": "Radio"})
    cited = ReturnPrior(quantity="roas", median=2.0, spread=0.3, claims=("c-1",))
    own = plain.model_copy(update={"channels": (plain.channels[0], radio)})
    with_claim = plain.model_copy(
        update={"channels": (plain.channels[0].model_copy(update={"return_prior": cited}), radio)}
    )
    first, second = information(two, own, seed=1), information(two, with_claim, seed=1)
    assert first[1] == second[1]
    assert first[0] != second[0]


def make_results(learnt: Information | None, *, checks: tuple[Check, ...] = ()) -> ModelResults:
    """A passed fit with one channel of a ROAS around 2."""
    estimate = summarise(np.linspace(1.8, 2.2, 50), "EUR per EUR")
    euros = summarise(np.linspace(1.8e5, 2.2e5, 50), "EUR")
    share = summarise(np.linspace(0.1, 0.2, 50), "share")
    channel = ChannelResult(
        channel="TV", spend=Amount(value=1e5, unit="EUR"), contribution=euros, share=share,
        roas=estimate, roi=None, cost_per_contribution=None, mroas=None, information=learnt,
        verdict=None, reasons={},
    )  # fmt: skip
    return ModelResults(
        target="Sales", unit="EUR", spend_unit="EUR",
        window=Window(start=date(2024, 1, 1), end=date(2024, 12, 30)), depth=Depth.STANDARD,
        seed=1,
        diagnostics=Diagnostics(
            rhat_max=1.0, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=1000,
            chains=4, checks=checks, not_run=(),
        ),
        fit_verdict=FitVerdict.PASS, channels=(channel,), drivers=(), baseline=euros,
        fit=GoodnessOfFit(r2=share, mape=0.05, coverage=0.94, holdout=None, reasons={}),
    )  # fmt: skip


def learnt(data: float, **changes: object) -> Information:
    prior = summarise(np.linspace(1.0, 3.0, 50), "EUR per EUR")
    values = {"prior": prior, "data_share": data, "prior_share": 1 - data} | changes
    return Information.model_validate(values)


def sentence(given: Information | None) -> str:
    return next(said for said in interpret(make_results(given)) if said.startswith("TV:"))


def test_a_cited_channel_says_its_shares_and_names_its_claims() -> None:
    said = sentence(learnt(0.75, sources=("c-1", "c-2")))
    assert "75 % of that comes from the data and 25 % from the prior of claims c-1, c-2" in said
    assert "2 [1" in said, "what the prior says stands beside it"
    assert "decides" not in said


@pytest.mark.parametrize("sources", [("c-1",), ()])
def test_a_channel_whose_prior_dominates_says_so(sources: tuple[str, ...]) -> None:
    said = sentence(learnt(0.1, sources=sources))
    assert "90 % from the prior of " + ("claim c-1" if sources else "the rules") in said
    assert "The prior decides it" in said


def test_a_channel_without_a_claim_that_the_data_speaks_about_says_no_more() -> None:
    assert sentence(learnt(0.9)) == sentence(None)
    assert "claim c-9" in sentence(learnt(0.9, carry_over_sources=("c-9",)))


def test_what_a_channel_says_itself_is_not_a_warning_too() -> None:
    check = Check(
        name="prior to posterior: TV", value=0.95, threshold=0.8, verdict=FitVerdict.WARN,
        message="TV: the posterior is 95 % as wide as the prior.",
    )  # fmt: skip
    assert check.message in interpret(make_results(None, checks=(check,)))
    assert check.message not in interpret(make_results(learnt(0.1), checks=(check,)))


def test_results_without_information_are_still_read() -> None:
    stored = make_results(None).model_dump(mode="json")
    for channel in stored["channels"]:
        del channel["information"]
    assert ModelResults.model_validate(stored) == make_results(None)

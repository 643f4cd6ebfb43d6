"""A cited prior in the built model: exactly what was asked, and nothing else is touched."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from mmm_workflows.mmm.dataset import Dataset, Role, Sidecar, Variable, long_table
from mmm_workflows.mmm.interpretation import interpret
from mmm_workflows.mmm.plan import PlannedPrior, ResearchPlan
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import ChannelResult, FitVerdict
from mmm_workflows.mmm.spec import (
    Adstock,
    ChannelSpec,
    Frequency,
    ModelSpec,
    ReturnPrior,
    Saturation,
)
from mmm_workflows.mmm.spec_builder import propose_spec
from mmm_workflows.records import Depth

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmm_workflows.bayes.inputs import Inputs

pytestmark = [
    pytest.mark.slow,
    # PyMC and its friends import each other by deprecated names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SAMPLE = Path(__file__).parents[3] / "data" / "sales.csv"
MONEY = Variable(name="Revenue", role=Role.TARGET, unit="EUR", is_money=True, source="made")
TV, SEARCH, RADIO = "TV", "Search", "Radio/Audio"
FORMS = list(product(Adstock, Saturation))

type Floats = NDArray[np.float64]


def sample_dataset() -> Dataset:
    """The data that is shipped."""
    wide = pd.read_csv(SAMPLE, parse_dates=["Date"]).set_index("Date").astype(float)
    variables = tuple(
        Variable(
            name=name, unit="EUR", is_money=True, source="sales.csv",
            role=Role.TARGET if name == "Sales" else Role.CHANNEL,
        )
        for name in wide
    )  # fmt: skip
    sidecar = Sidecar(frequency=Frequency.WEEKLY, variables=variables, sources=())
    return Dataset(long_table(wide.rename_axis("Period")), sidecar)


def built(inputs: Inputs, spec: ModelSpec) -> Any:
    from mmm_workflows.bayes.build import build

    return build(inputs, spec).model


def fed(dataset: Dataset, spec: ModelSpec) -> Inputs:
    from mmm_workflows.bayes.inputs import make_inputs

    return make_inputs(dataset, spec)


def log_density(model: Any, names: list[str]) -> Callable[[dict[str, Floats]], float]:
    """The log of these terms at named values of the parameters, each on its own scale."""
    logp = model.compile_logp(
        vars=[model[name] for name in names], jacobian=False, mode="FAST_COMPILE"
    )
    start = model.initial_point()

    def at(values: dict[str, Floats]) -> float:
        point = dict(start)
        for name, value in values.items():
            odds = name == "adstock_alpha"
            key = f"{name}_logodds__" if odds else f"{name}_log__"
            point[key] = np.log(value / (1 - value)) if odds else np.log(value)
        return float(logp(point))

    return at


def implied(
    inputs: Inputs, spec: ModelSpec, channel: int, *, shapes: int = 12
) -> tuple[Floats, Floats, Floats]:
    """The prior of a channel's return by numerical integration of the built model's own terms.

    Returns:
        Logs of returns with their probabilities, and each drawn shape's share of them all.
    """
    from mmm_workflows.bayes.build import CITED_RETURN, size_name

    random = np.random.default_rng(2)
    density = log_density(built(inputs, spec), [size_name(spec), CITED_RETURN])
    count = len(spec.channels)
    priors = spec.channels[channel]
    scaled = inputs.spend[:, channel] / inputs.spend[:, channel].max()
    logs, mass = [], []
    for _ in range(shapes):
        alpha = random.beta(*priors.alpha_prior)
        lam = random.gamma(priors.lam_prior[0], 1 / priors.lam_prior[1])
        theta = abs(random.normal(0, spec.l_max / 4))
        weights = adstock_weights(spec.adstock, alpha, spec.l_max, theta)
        shape = saturate(spec.saturation, carry_over(scaled, weights), lam, 1.0).sum()
        per_size = inputs.target.max() * shape / inputs.spend[:, channel].sum()
        cited = priors.return_prior
        assert cited is not None
        middle = np.log(cited.median / per_size)
        sizes = np.exp(middle + np.linspace(-6, 6, 61) * cited.spread)
        values = {"adstock_alpha": np.full(count, 0.4), "saturation_lam": np.full(count, 1.0)}
        values["adstock_alpha"][channel], values["saturation_lam"][channel] = alpha, lam
        if spec.adstock is Adstock.DELAYED:
            values["adstock_theta"] = np.full(count, 1.0)
            values["adstock_theta"][channel] = theta
        rows = []
        for size in sizes:
            values[size_name(spec)] = np.full(count, 0.1)
            values[size_name(spec)][channel] = size
            rows.append(density(values))
        # The density is one of the coefficient; d size = size d log size.
        logs.append(np.log(sizes * per_size))
        mass.append(np.exp(np.array(rows)) * sizes * np.gradient(np.log(sizes)))
    weight = np.array(mass)
    share = weight.sum(axis=1) / weight.sum()
    return np.concatenate(logs), weight.ravel() / weight.sum(), share


@pytest.mark.parametrize(("adstock", "saturation"), FORMS)
def test_on_the_sample_the_prior_of_a_return_is_what_was_asked(
    adstock: Adstock, saturation: Saturation
) -> None:
    """Far within the 10 % of the median and 20 % of the spread that a reader may count on."""
    prior = PlannedPrior(
        channel="TV", quantity="roas", median=1.7, spread=0.1, claims=("c",), why="w",
        accepted=True,
    )  # fmt: skip
    elastic = prior.model_copy(
        update={"channel": "Digital", "quantity": "elasticity", "median": 0.04, "spread": 0.5}
    )
    dataset = sample_dataset()
    plan = ResearchPlan(priors=(prior, elastic))
    spec = propose_spec(dataset, plan, {"adstock": adstock, "saturation": saturation}).spec
    inputs = fed(dataset, spec)
    returned = 0.04 * inputs.target.sum() / inputs.spend[:, 1].sum()
    for channel, (asked, spread) in enumerate(((1.7, 0.1), (returned, 0.5))):
        logs, mass, share = implied(inputs, spec, channel)
        order = np.argsort(logs)
        median = np.exp(np.interp(0.5, np.cumsum(mass[order]), logs[order]))
        mean = (mass * logs).sum()
        sd = math.sqrt((mass * (logs - mean) ** 2).sum())
        assert median == pytest.approx(asked, rel=0.02)
        assert sd == pytest.approx(spread, rel=0.01)
        # Every shape has the weight that it was drawn with: its own priors are untouched.
        assert share == pytest.approx(1 / share.size, rel=1e-3)


def three_channels(**priors: ReturnPrior) -> tuple[ChannelSpec, ...]:
    """The channels of the made data; priors by name, ``Radio`` for the one with a slash."""
    return tuple(
        ChannelSpec(name=name, effect_scale=0.1, return_prior=priors.get(name.split("/")[0]))
        for name in (TV, SEARCH, RADIO)
    )


def roas(median: float, spread: float) -> ReturnPrior:
    return ReturnPrior(quantity="roas", median=median, spread=spread, claims=("claim-7", "claim-9"))


@pytest.fixture(scope="module")
def made_inputs(made_spec: Any) -> Callable[..., tuple[Inputs, ModelSpec]]:
    """What a fit of the made data would be fed, without fitting it."""

    def make(**priors: ReturnPrior) -> tuple[Inputs, ModelSpec]:
        dataset, spec = made_spec(channels=three_channels(**priors))
        return fed(dataset, spec), spec

    return make


def test_the_other_channels_keep_their_half_normal_exactly(made_inputs: Any) -> None:
    from mmm_workflows.bayes.build import CITED_RETURN

    inputs, spec = made_inputs(Search=roas(3.0, 0.2))
    density = log_density(built(inputs, spec), ["saturation_beta", CITED_RETURN])
    sizes = np.array([0.001, 0.03, 0.1, 0.4])
    for other in (0, 2):
        found = []
        for size in sizes:
            beta = np.full(3, 0.05)
            beta[other] = size
            found.append(density({"saturation_beta": beta}))
        expected = stats.halfnorm(scale=0.1).logpdf(sizes)
        assert np.diff(found) == pytest.approx(np.diff(expected), abs=1e-9)


def test_without_a_cited_prior_the_model_has_no_further_term(made_inputs: Any) -> None:
    from mmm_workflows.bayes.build import CITED_RETURN

    assert CITED_RETURN not in built(*made_inputs()).named_vars
    assert CITED_RETURN in built(*made_inputs(TV=roas(2.0, 0.3))).named_vars


def test_a_channel_that_spent_nothing_yet_keeps_its_own_prior(made_inputs: Any) -> None:
    """The fit of the holdout may end before a channel was launched."""
    from mmm_workflows.bayes.build import CITED_RETURN

    inputs, spec = made_inputs(Search=roas(3.0, 0.2), TV=roas(1.0, 0.2))
    spend = inputs.spend.copy()
    spend[:, 1] = 0.0
    model = built(replace(inputs, spend=spend), spec)
    density = log_density(model, ["saturation_beta", CITED_RETURN])
    found = [density({"saturation_beta": np.array([0.05, b, 0.05])}) for b in (0.01, 0.2)]
    assert np.diff(found) == pytest.approx(np.diff(stats.halfnorm(scale=0.1).logpdf([0.01, 0.2])))
    spend[:, 0] = 0.0
    assert CITED_RETURN not in built(replace(inputs, spend=spend), spec).named_vars


@pytest.fixture(scope="module")
def plain(make_fit: Any) -> Any:
    """The fit without a claim."""
    return make_fit(MONEY, depth=Depth.STANDARD, channels=three_channels())


@pytest.fixture(scope="module")
def tight(make_fit: Any) -> Any:
    """Claims that Search returns 8, very sure, where the data says 3."""
    return make_fit(MONEY, depth=Depth.STANDARD, channels=three_channels(Search=roas(8.0, 0.05)))


def channel(fit: Any, name: str) -> ChannelResult:
    return next(c for c in fit.folder.results().channels if c.channel == name)


def test_a_tight_claim_moves_its_channel_and_hardly_any_other(plain: Any, tight: Any) -> None:
    assert channel(plain, SEARCH).roas.median < 4.5
    assert channel(tight, SEARCH).roas.median == pytest.approx(8.0, rel=0.15)
    for name in (TV, RADIO):
        before, after = channel(plain, name), channel(tight, name)
        assert before.roas.hdi_low < after.roas.median < before.roas.hdi_high
        assert after.information.prior == before.information.prior
        assert after.information.sources == ()


def test_the_result_says_what_the_claims_decided(plain: Any, tight: Any) -> None:
    found, before = channel(tight, SEARCH).information, channel(plain, SEARCH).information
    assert found.sources == ("claim-7", "claim-9")
    assert found.prior.median == pytest.approx(8.0, rel=0.02)
    assert found.data_share < 0.3 < 0.8 < before.data_share
    assert found.data_share + found.prior_share == pytest.approx(1)
    checks = {c.name: c for c in tight.folder.results().diagnostics.checks}
    check = checks[f"prior to posterior: {SEARCH}"]
    assert check.value == pytest.approx(math.sqrt(found.prior_share))
    assert check.verdict is FitVerdict.WARN
    assert "claim-7, claim-9" in check.message
    # 200 draws are too few to pass; what would be said of it is asked here.
    passed = tight.folder.results().model_copy(update={"fit_verdict": FitVerdict.PASS})
    said = next(s for s in interpret(passed) if s.startswith(SEARCH))
    assert "claims claim-7, claim-9" in said
    assert "The prior decides it" in said


def test_the_folder_tells_the_claims_and_the_library_reads_it(tight: Any) -> None:
    assert tight.folder.spec().channels[1].return_prior == roas(8.0, 0.05)
    loaded = tight.mmm.incrementality.contribution_over_spend(frequency="all_time")
    loaded = loaded.median(("chain", "draw"))
    for name, column in zip((TV, SEARCH, RADIO), tight.inputs.channel_columns, strict=True):
        theirs = float(loaded.sel(channel=column))
        assert channel(tight, name).roas.median == pytest.approx(theirs, rel=1e-6)
    assert tight.folder.results().diagnostics.divergences == 0


def test_strong_data_under_a_weak_claim_is_the_datas(make_fit: Any, plain: Any) -> None:
    weak = make_fit(MONEY, depth=Depth.STANDARD, channels=three_channels(Search=roas(8.0, 2.0)))
    found = channel(weak, SEARCH)
    assert found.information.data_share > 0.95
    assert found.roas.median == pytest.approx(channel(plain, SEARCH).roas.median, rel=0.15)


def test_a_channel_that_never_varies_under_a_tight_claim_is_the_claims(make_fit: Any) -> None:
    flat = make_fit(
        MONEY, depth=Depth.STANDARD, flat=RADIO, channels=three_channels(Radio=roas(2.0, 0.1))
    )
    found = channel(flat, RADIO)
    assert found.information.data_share < 0.2
    assert found.information.prior_decides
    assert found.roas.median == pytest.approx(2.0, rel=0.05)

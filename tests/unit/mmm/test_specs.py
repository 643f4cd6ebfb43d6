"""The written choice of a model: scaled to the data, each choice recorded, wishes read or refused."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.dataset import Dataset, Role, Sidecar, SourceFile, Variable, long_table
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.spec import Frequency, Likelihood, ModelSpec
from mmm_workflows.mmm.spec_builder import SpecProposal, propose_spec

WEEKS = 104


def make_dataset(
    *,
    money: float = 1.0,
    is_money: bool = True,
    weeks: int = WEEKS,
    frequency: Frequency = Frequency.WEEKLY,
    **columns: np.ndarray,
) -> Dataset:
    """Revenue, TV and Search in units of ``money``, and Price; ``columns`` replaces any of them."""
    random = np.random.default_rng(2)
    step = 1 if frequency is Frequency.DAILY else 7
    wide = pd.DataFrame(
        {
            "Revenue": money * random.normal(1e5, 5e3, weeks),
            "TV_Spend": money * random.gamma(4, 2e3, weeks),
            "Search_Spend": money * random.gamma(4, 5e2, weeks),
            "Price": random.normal(10, 2, weeks),
            **columns,
        },
        index=pd.DatetimeIndex(
            [date(2023, 1, 2) + timedelta(days=step * k) for k in range(weeks)], name="Period"
        ),
    )
    roles = {"Revenue": Role.TARGET, "Price": Role.CONTROL}
    variables = tuple(
        Variable(
            name=name,
            role=roles.get(name, Role.CHANNEL),
            unit="EUR" if is_money or name != "Revenue" else "orders",
            is_money=name != "Price" and (is_money or name != "Revenue"),
            additivity="mean" if name == "Price" else "sum",
            source="data.csv",
        )
        for name in wide
    )
    sources = (SourceFile(name="data.csv", sha256="0" * 64),)
    sidecar = Sidecar(frequency=frequency, variables=variables, sources=sources)
    return Dataset(long_table(wide), sidecar)


def _spec(dataset: Dataset | None = None, **wishes: object) -> ModelSpec:
    return propose_spec(dataset or make_dataset(), ResearchPlan(), wishes).spec


def _proposal(plan: dict[str, object]) -> SpecProposal:
    return propose_spec(make_dataset(), ResearchPlan.model_validate(plan), None)


def test_the_currency_changes_no_prior() -> None:
    euros, cents = _spec(make_dataset()), _spec(make_dataset(money=100))
    for one, other in zip(euros.channels, cents.channels, strict=True):
        assert other.effect_scale == pytest.approx(one.effect_scale)
    assert euros.channels[0].effect_scale > euros.channels[1].effect_scale, "TV spends more"


def test_a_control_is_standardised_whatever_its_unit() -> None:
    dataset = make_dataset()
    (price,) = _spec(dataset).controls
    values = dataset.national()["Price"]
    assert price.centre == pytest.approx(values.mean())
    assert price.scale == pytest.approx(values.std(ddof=0))
    (scaled,) = _spec(make_dataset(Price=1e6 * values.to_numpy())).controls
    assert scaled.scale == pytest.approx(1e6 * price.scale)
    assert scaled.prior_sd == price.prior_sd


def test_a_target_that_is_counted_shares_the_media_prior_by_spend() -> None:
    spec = _spec(make_dataset(is_money=False))
    tv, search = spec.channels
    assert not spec.target_is_money
    assert 0 < search.effect_scale < tv.effect_scale < 2


@pytest.mark.parametrize(("weeks", "season", "hinges"), [(40, 0, 0), (77, 0, 1), (104, 3, 2)])
def test_trend_and_season_follow_the_length_of_the_data(
    weeks: int, season: int, hinges: int
) -> None:
    proposal = propose_spec(make_dataset(weeks=weeks), ResearchPlan(), None)
    assert proposal.spec.yearly_seasonality == season
    assert proposal.spec.trend_knots == hinges
    asked = [d.question for d in proposal.decisions]
    assert any("trend" in q for q in asked)
    assert any("year" in q for q in asked)


def test_only_daily_data_gets_levels_per_weekday() -> None:
    assert _spec(make_dataset(frequency=Frequency.DAILY)).weekday_levels is True
    assert (
        _spec(make_dataset(frequency=Frequency.DAILY), weekday_levels=False).weekday_levels is False
    )
    assert _spec().weekday_levels is False
    with pytest.raises(SpecError, match="daily"):
        _spec(weekday_levels=True)


def test_an_outlier_makes_the_scatter_heavy_tailed() -> None:
    revenue = make_dataset().national()["Revenue"].to_numpy().copy()
    assert _spec().likelihood is Likelihood.NORMAL
    revenue[50] *= 5
    assert _spec(make_dataset(Revenue=revenue)).likelihood is Likelihood.STUDENT_T


def test_a_wish_wins_over_the_rules() -> None:
    spec = _spec(
        l_max=4, trend_knots=0, yearly_seasonality=1, likelihood="student_t", adstock="delayed",
        saturation="michaelis_menten", controls={"Price": "log"},
    )  # fmt: skip
    assert (spec.l_max, spec.trend_knots, spec.yearly_seasonality) == (4, 0, 1)
    assert (spec.adstock, spec.saturation) == ("delayed", "michaelis_menten")
    assert spec.controls[0].transform == "log"


@pytest.mark.parametrize(
    ("wish", "code", "words"),
    [
        ({"adstok": "delayed"}, "spec_invalid", ("adstok", "Did you mean 'adstock'?")),
        ({"adstock": "weibull"}, "spec_invalid", ("adstock", "geometric", "delayed")),
        ({"l_max": 0}, "spec_invalid", ("l_max",)),
        ({"controls": {"Prize": "log"}}, "spec_variable_unknown", ("'Prize'", "'Price'")),
        ({"controls": {"Price": "exp"}}, "spec_invalid", ("controls.Price", "log")),
    ],
)
def test_a_wish_that_cannot_be_read_is_refused(
    wish: dict[str, object], code: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError) as caught:
        _spec(**wish)
    assert caught.value.code == code
    for word in words:
        assert word in caught.value.message, caught.value.message


def test_a_log_of_what_is_not_positive_names_its_period() -> None:
    price = make_dataset().national()["Price"].to_numpy().copy()
    price[3] = 0
    with pytest.raises(SpecError, match="2023-01-23"):
        _spec(make_dataset(Price=price), controls={"Price": "log"})


def test_a_plans_name_is_matched_and_the_match_is_a_decision() -> None:
    proposal = _proposal({"channels": [{"name": "tv", "set_by": "marketing"}]})
    (matched,) = [d for d in proposal.decisions if "'tv'" in d.question]
    assert matched.choice == "TV_Spend"
    # The MFF's roles win: Search is modelled though the plan leaves it out.
    assert [c.name for c in proposal.spec.channels] == ["TV_Spend", "Search_Spend"]


def test_a_plans_channel_without_data_is_a_finding() -> None:
    proposal = _proposal({"channels": [{"name": "Podcast", "set_by": "marketing"}]})
    (found,) = [f for f in proposal.findings if f.code == "plan_channel_without_data"]
    assert found.variable == "Podcast"
    assert len(proposal.spec.channels) == 2


def test_a_channel_without_spend_is_left_out_and_said_and_none_at_all_is_refused() -> None:
    nothing = np.zeros(WEEKS)
    proposal = propose_spec(make_dataset(Search_Spend=nothing), ResearchPlan(), None)
    assert [c.name for c in proposal.spec.channels] == ["TV_Spend"]
    assert [f.variable for f in proposal.findings if f.code == "channel_without_spend"] == [
        "Search_Spend"
    ]
    with pytest.raises(SpecError) as caught:
        _spec(make_dataset(Search_Spend=nothing, TV_Spend=nothing))
    assert caught.value.code == "spec_no_channel"


def test_a_margin_needs_money() -> None:
    with pytest.raises(SpecError, match="orders"):
        propose_spec(make_dataset(is_money=False), ResearchPlan(), None, margin=0.3)


def test_equal_specs_have_equal_digests_and_others_not() -> None:
    assert _spec().digest() == _spec().digest()
    digests = {_spec().digest(), _spec(l_max=3).digest(), _spec(trend_knots=0).digest()}
    assert len(digests) == 3

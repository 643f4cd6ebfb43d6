"""A new model starts from the one that worked; a wish, the plan and the data come before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from test_specs import make_dataset

from mmm_workflows.mmm.cited_priors import return_prior
from mmm_workflows.mmm.dataset import Dataset, Role
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits, earlier_fits
from mmm_workflows.mmm.plan import PlannedPrior, ResearchPlan
from mmm_workflows.mmm.results import FitVerdict, Window
from mmm_workflows.mmm.spec import ControlTransform, Frequency, ModelSpec, SamplerSpec
from mmm_workflows.mmm.spec_builder import SpecProposal, propose_spec
from mmm_workflows.mmm.spec_start import CARRIED, propose_from
from mmm_workflows.records import Depth, Run, RunStatus

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
WISHES: dict[str, Any] = {
    "adstock": "delayed",
    "l_max": 5,
    "saturation": "michaelis_menten",
    "trend_knots": 0,
    "yearly_seasonality": 2,
    "likelihood": "student_t",
    "controls": {"Price": "log"},
}
PRIOR = PlannedPrior(
    channel="TV_Spend", quantity="roas", median=1.5, spread=0.5, claims=("C-1",), why="w",
    accepted=True,
)  # fmt: skip
KEPT = PRIOR.model_copy(update={"quantity": "carry_over", "median": 0.5, "claims": ("C-2",)})


def earlier(
    spec: ModelSpec, verdict: FitVerdict = FitVerdict.PASS, name: str = "x", day: int = 0
) -> EarlierFit:
    return EarlierFit(
        workflow_id=name, ended_at=NOON + timedelta(days=day), seed=1, depth=Depth.STANDARD,
        spec=spec, fit_verdict=verdict, window=Window(start=spec.start, end=spec.end), channels=(),
        model_path=f"models/{name}", mff_path="a.csv",
    )  # fmt: skip


def spec_of(dataset: Dataset | None = None, *priors: PlannedPrior, **wishes: Any) -> ModelSpec:
    plan = ResearchPlan(priors=priors)
    return propose_spec(dataset or make_dataset(), plan, wishes).spec


def start(
    spec: ModelSpec | None, dataset: Dataset | None = None, *priors: PlannedPrior, **wishes: Any
) -> SpecProposal:
    fits = () if spec is None else (earlier(spec),)
    return propose_from(
        EarlierFits(fits=fits), dataset or make_dataset(), ResearchPlan(priors=priors), wishes
    )


@pytest.mark.parametrize("frequency", list(Frequency)[:2])
@pytest.mark.parametrize(
    ("wishes", "priors"),
    # A cited carry-over has no place under the delayed one of the wishes.
    [({}, ()), ({}, (PRIOR,)), ({}, (KEPT,)), (WISHES, ()), (WISHES, (PRIOR,))],
)
def test_on_equal_data_the_choices_of_before_give_the_spec_of_before(
    frequency: Frequency, wishes: dict[str, Any], priors: tuple[PlannedPrior, ...]
) -> None:
    dataset = make_dataset(frequency=frequency)
    before = spec_of(dataset, *priors, **wishes)
    assert start(before, dataset).spec.digest() == before.digest()


def test_without_an_earlier_fit_the_rules_choose() -> None:
    assert start(None).spec == spec_of()


def test_each_choice_that_is_carried_says_from_where_and_how_to_get_out_of_it() -> None:
    proposal = start(spec_of(**WISHES))
    asked = {d.question: d for d in proposal.decisions}
    # The weekday levels are of daily data alone.
    for carried in (c for c in CARRIED if c.field != "weekday_levels"):
        decision = asked[carried.question]
        assert "run x of 2025-03-01, which passed at depth standard" in decision.reason
        assert f"feature_transformations.{carried.field}" in decision.reason
        assert "start_from rules" in decision.reason
    assert asked["How many periods may media carry over?"].evidence.endswith("choose 8")
    kept = {f.code for f in proposal.findings}
    assert kept == {"earlier_choice_kept"}


def test_a_wish_wins_over_what_worked() -> None:
    proposal = start(spec_of(**WISHES), l_max=7, controls={"Price": "sqrt"})
    assert proposal.spec.l_max == 7
    assert proposal.spec.controls[0].transform is ControlTransform.SQRT
    assert proposal.spec.trend_knots == 0
    assert "How many periods may media carry over?" not in {d.question for d in proposal.decisions}


def test_what_is_bound_to_the_data_is_computed_anew() -> None:
    before = spec_of(**WISHES)
    prices = make_dataset(weeks=120).national()["Price"].to_numpy() + 5
    dataset = make_dataset(weeks=120, Price=prices)
    now = start(before, dataset).spec
    assert (now.start, now.end) == (before.start, dataset.national().index[-1].date())
    assert now.channels[0].effect_scale != before.channels[0].effect_scale
    assert now.controls[0].centre == pytest.approx(np.log(prices).mean())
    assert now.channels == spec_of(dataset, **WISHES).channels


def test_a_new_channel_gets_the_priors_of_the_rules_and_one_that_is_gone_goes() -> None:
    before = spec_of(make_dataset(Radio_Spend=np.full(104, 9.0)), PRIOR)
    dataset = make_dataset(Mail_Spend=np.full(104, 7.0))
    now = {c.name: c for c in start(before, dataset).spec.channels}
    assert set(now) == {"TV_Spend", "Search_Spend", "Mail_Spend"}
    assert now["Mail_Spend"] == {c.name: c for c in spec_of(dataset).channels}["Mail_Spend"]
    assert now["TV_Spend"].return_prior is not None


def test_the_sampler_that_worked_is_kept() -> None:
    sampler = SamplerSpec(draws=2000, target_accept=0.99)
    proposal = start(spec_of().model_copy(update={"sampler": sampler}))
    assert proposal.spec.sampler == sampler
    assert any("target accept 0.99" in d.choice for d in proposal.decisions)


def test_a_season_is_chosen_anew_once_the_history_is_long_enough_for_it() -> None:
    short = spec_of(make_dataset(weeks=60))
    assert short.yearly_seasonality == 0
    proposal = start(short, make_dataset(weeks=104))
    assert proposal.spec.yearly_seasonality == 3
    assert any(f.code == "earlier_choice_left" for f in proposal.findings)


def test_a_shorter_history_does_not_bear_the_bends_of_a_longer_one() -> None:
    long = spec_of(make_dataset(weeks=160))
    assert long.trend_knots == 3
    assert start(long, make_dataset(weeks=104)).spec.trend_knots == 2


def test_a_transform_that_the_new_values_do_not_have_is_left() -> None:
    before = spec_of(**WISHES)
    price = make_dataset().national()["Price"].to_numpy().copy()
    price[3] = 0.0
    proposal = start(before, make_dataset(Price=price))
    assert proposal.spec.controls[0].transform is ControlTransform.NONE
    assert [f.variable for f in proposal.findings if f.code == "earlier_choice_left"] == ["Price"]


def test_a_control_that_is_none_any_more_takes_its_transform_along() -> None:
    before, dataset = spec_of(**WISHES), make_dataset()
    roles = {"Price": Role.UNUSED}
    variables = tuple(
        v.model_copy(update={"role": roles.get(v.name, v.role)}) for v in dataset.sidecar.variables
    )
    sidecar = dataset.sidecar.model_copy(update={"variables": variables})
    assert start(before, Dataset(dataset.frame, sidecar)).spec.controls == ()


def test_a_prior_that_the_plan_proposes_anew_must_be_accepted_anew() -> None:
    before = spec_of(None, PRIOR)
    proposed = PRIOR.model_copy(update={"accepted": False})
    silent, asked = start(before), start(before, None, proposed)
    assert silent.spec.channels[0].return_prior == before.channels[0].return_prior
    assert asked.spec.channels[0].return_prior is None
    assert "earlier_prior_left" in {f.code for f in asked.findings}
    other = PRIOR.model_copy(update={"median": 2.5, "claims": ("C-9",)})
    taken = start(before, None, other).spec.channels[0].return_prior
    assert taken == return_prior(other, "roas", target_sum=1.0, spend_sum=1.0)


def test_an_elasticity_is_not_carried_over_to_other_sums() -> None:
    before = spec_of(None, PRIOR.model_copy(update={"quantity": "elasticity", "median": 0.1}))
    proposal = start(before)
    assert proposal.spec.channels[0].return_prior is None
    assert "earlier_prior_left" in {f.code for f in proposal.findings}


@pytest.mark.parametrize(
    ("verdicts", "started"),
    [
        (["pass", "pass"], "1"),
        (["pass", "warn"], "0"),
        (["warn", "fail"], "0"),
        (["warn", "warn"], "1"),
        (["fail"], None),
        ([], None),
    ],
)
def test_the_start_is_the_newest_that_passed_else_warned_and_never_one_that_failed(
    verdicts: list[str], started: str | None
) -> None:
    fits = [
        earlier(spec_of(), FitVerdict(verdict), str(day), day)
        for day, verdict in enumerate(verdicts)
    ]
    worked = EarlierFits(fits=tuple(reversed(fits))).worked
    assert (worked and worked.workflow_id) == started


def run(spec: ModelSpec, name: str = "r", **result: Any) -> Run:
    fit = earlier(spec)
    stored = {
        "model_spec": spec.model_dump(mode="json"), "fit_verdict": "pass", "channels": [],
        "window": fit.window.model_dump(mode="json"), "model_artifact_path": "models/m", **result,
    }  # fmt: skip
    return Run(
        workflow_id=name, workflow="modeling", status=RunStatus.SUCCEEDED, seed=1,
        graph_version="1", request={"mff_data_path": "a.csv"}, result=stored,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"target": "Orders"},
        {"target_unit": "USD"},
        {"spend_unit": "USD"},
        {"frequency": Frequency.DAILY},
        {"channels": (spec_of().channels[0].model_copy(update={"name": "Radio"}),)},
    ],
)
def test_a_fit_of_another_series_is_not_an_earlier_one(changed: dict[str, Any]) -> None:
    dataset, spec = make_dataset(), spec_of()
    assert len(earlier_fits([run(spec)], dataset).fits) == 1
    assert earlier_fits([run(spec.model_copy(update=changed))], dataset).fits == ()


def test_a_run_that_cannot_be_read_is_named_not_taken() -> None:
    found = earlier_fits([run(spec_of(), "old", model_spec={"schema_version": 0})], make_dataset())
    assert found == EarlierFits(unreadable=("old",))
    proposal = propose_from(found, make_dataset(), ResearchPlan(), None)
    assert proposal.spec == spec_of()
    (finding,) = proposal.findings
    assert finding.code == "earlier_run_unreadable" and "old" in finding.message

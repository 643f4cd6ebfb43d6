"""Track on draws made by hand, where what came is made by one of them: no fit, no PyMC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_folders import make_model_folder

from mmm_workflows.cli.show import show_result
from mmm_workflows.config import Settings
from mmm_workflows.errors import DatasetError, MMMError, ModelFileError
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.chain import FileState, LinkKind
from mmm_workflows.mmm.dataset import read_mff, write_mff
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.forecast import forecast
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.model_files import (
    BASELINE,
    MANIFEST,
    SPEC,
    open_model,
    write_manifest,
)
from mmm_workflows.mmm.results import (
    Diagnostics,
    FitVerdict,
    GoodnessOfFit,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.spec import Adstock, ChannelSpec, ControlSpec, Frequency, ModelSpec
from mmm_workflows.mmm.spec import Saturation as Curve
from mmm_workflows.mmm.track_record import TrackRecord, record_facts
from mmm_workflows.records import MODEL, Artifact, Decision, Depth, Run, RunStatus
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

CHANNELS = ("TV_Spend", "Search_Spend")
WEEKS, LATER = 104, 16
DATES = pd.date_range("2023-01-02", periods=WEEKS + LATER, freq="7D")
LAST, NEXT = date(2024, 12, 23), date(2024, 12, 30)
COUNT = 300


@dataclass(frozen=True)
class Made:
    """A model folder, its MFF, and the file of its owner 16 weeks later."""

    folder: Path
    model: Path
    mff: Path
    table: pd.DataFrame

    def actuals(self, table: pd.DataFrame | None = None, *, weeks: int = LATER) -> str:
        """The newer version of the file, so many weeks after the model's last one."""
        whole = self.table if table is None else table
        path = self.folder / f"newer_{weeks}.csv"
        whole.iloc[: WEEKS + weeks].to_csv(path, index=False)
        return str(path)


def make_draws(spend: np.ndarray) -> Draws:
    random = np.random.default_rng(2)
    return Draws(
        channels=CHANNELS, dates=DATES[:WEEKS].to_numpy().astype("datetime64[D]"), spend=spend,
        channel_scale=spend.max(axis=0), target_scale=1e6,
        alpha=random.beta(40, 60, (COUNT, 2)), theta=None, lam=random.gamma(80, 0.025, (COUNT, 2)),
        beta=random.normal(0.15, 0.01, (COUNT, 2)), adstock=Adstock.GEOMETRIC,
        saturation=Curve.LOGISTIC, l_max=8, frequency=Frequency.WEEKLY, target="Revenue",
        target_unit="EUR", target_is_money=True, spend_unit="EUR",
    )  # fmt: skip


def make_spec() -> ModelSpec:
    return ModelSpec(
        target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=Frequency.WEEKLY, start=date(2023, 1, 2), end=LAST,
        channels=tuple(ChannelSpec(name=n, effect_scale=0.3) for n in CHANNELS),
        controls=(ControlSpec(name="Price", centre=10, scale=2),), yearly_seasonality=1,
    )  # fmt: skip


def make_results(verdict: FitVerdict) -> ModelResults:
    diagnostics = Diagnostics(
        rhat_max=1.0, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=100, chains=4,
        checks=(), not_run=(),
    )  # fmt: skip
    fit = GoodnessOfFit(
        r2=summarise(np.full(9, 0.8), "share"), mape=0.04, coverage=0.94, holdout=None,
        reasons={"holdout": "not run"},
    )  # fmt: skip
    return ModelResults(
        target="Revenue", unit="EUR", spend_unit="EUR",
        window=Window(start=date(2023, 1, 2), end=LAST), depth=Depth.STANDARD, seed=42,
        diagnostics=diagnostics, fit_verdict=verdict, channels=(), drivers=(),
        baseline=summarise(np.full(9, 7e7), "EUR"), fit=fit,
    )  # fmt: skip


def make_table() -> tuple[pd.DataFrame, Draws, Baseline]:
    """Spend and price of all weeks; the target after the data is made by the first draw."""
    random = np.random.default_rng(1)
    table = pd.DataFrame({"Date": DATES})
    for name, level in zip(CHANNELS, (3e4, 1e4), strict=True):
        table[name] = random.gamma(4.0, level / 4, WEEKS + LATER).round(2)
    table["Price"] = random.normal(10, 2, WEEKS + LATER).round(2)
    draws = make_draws(table[list(CHANNELS)].to_numpy()[:WEEKS])
    target = random.normal(7e5, 4e4, WEEKS).round(2)
    baseline = Baseline(
        intercept=random.normal(0.55, 0.004, COUNT),
        drivers=random.normal([-0.03, 0.01], 0.002, (COUNT, 2)),
        waves=random.normal(0.02, 0.002, (COUNT, 2)),
        sigma=np.abs(random.normal(0.03, 0.002, COUNT)), nu=None, target=target,
        controls=table[["Price"]].to_numpy()[:WEEKS],
    )  # fmt: skip
    later = table.set_index("Date").iloc[WEEKS:]
    seen = forecast(make_spec(), draws, baseline, later, seed=3)
    table["Revenue"] = np.concatenate([target, seen.observed[0].round(2)])
    return table, draws, baseline


def write_model(
    folder: Path, name: str, draws: Draws, baseline: Baseline, mff: Path, *,
    verdict: FitVerdict = FitVerdict.PASS,
) -> Path:  # fmt: skip
    made = make_model_folder(
        folder / name, make_spec(), make_results(verdict), draws, baseline=baseline, key=name,
        mff_sha256=read_mff(mff).sidecar.mff_sha256,
    )  # fmt: skip
    return made.path


@pytest.fixture
def made(tmp_path: Path) -> Made:
    table, draws, baseline = make_table()
    path = tmp_path / "sales.csv"
    table.iloc[:WEEKS].to_csv(path, index=False)
    read = load_files([path], date_column=None, geography_column=None)
    wishes = Wishes(target="Revenue", channels=CHANNELS, controls=["Price"], currency="EUR")
    mff = write_mff(make_dataset(read, choose_roles(read, wishes))[0], tmp_path / "mff", "sales")
    model = write_model(tmp_path, "model", draws, baseline, mff)
    return Made(tmp_path, model, mff, table)


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def track(
    runner: Runner, actuals: str, model: Path | None = None, **options: Any
) -> dict[str, Any]:
    asked = {"actuals": actuals, "model_artifact_path": None if model is None else str(model)}
    return await runner.start("track", read_request("track", asked), **options)


async def ask(runner: Runner, made: Made, question: str, **options: Any) -> dict[str, Any]:
    asked = {
        "model_artifact_path": str(made.model), "mff_data_path": str(made.mff),
        "user_query": question,
    }  # fmt: skip
    return await runner.start("whatif", read_request("whatif", asked), **options)


async def test_a_right_forecast_is_scored_week_by_week(runner: Runner, made: Made) -> None:
    result = await track(runner, made.actuals(), made.model)
    scores = result["scores"]
    assert scores["periods"] == LATER == len(result["periods"])
    assert scores["window"] == {"start": str(NEXT), "end": "2025-04-14"}
    assert scores["coverage_94"]["inside"] >= 13
    assert scores["bias"]["verdict"] == "holds"
    assert scores["skill"]["skill"] > 0
    for period, (_, row) in zip(result["periods"], made.table.iloc[WEEKS:].iterrows(), strict=True):
        assert period["period"] == str(row["Date"].date())
        assert period["actual"] == row["Revenue"]
    assert result["restated"] == [] and result["compared_periods"] == WEEKS
    assert result["model_window"]["end"] == str(LAST)
    assert any("slope" in assumed for assumed in result["assumptions"])
    assert scores["coverage_94"]["message"] in result["summary"]
    assert result["generated_by"] == "rules"


async def test_a_shifted_world_is_told_as_bias(runner: Runner, made: Made) -> None:
    shifted = made.table.copy()
    shifted.loc[WEEKS:, "Revenue"] += 1e5
    result = await track(runner, made.actuals(shifted), made.model)
    assert result["scores"]["bias"]["verdict"] == "fails"
    assert "too low" in result["summary"]


async def test_an_mff_is_read_as_well_as_the_csv(runner: Runner, made: Made) -> None:
    by_mff = await track(runner, str(as_mff(made)), made.model)
    by_csv = await track(runner, made.actuals(), made.model)
    assert by_mff["scores"] == by_csv["scores"]


async def test_an_mff_in_another_currency_is_refused(runner: Runner, made: Made) -> None:
    with pytest.raises(DatasetError, match="fitted on EUR") as caught:
        await track(runner, str(as_mff(made, "USD")), made.model)
    assert caught.value.code == "actuals_unit"


async def test_the_same_names_written_otherwise_are_the_same_columns(
    runner: Runner, made: Made
) -> None:
    renamed = made.table.rename(columns={"TV_Spend": "tv spend"})
    result = await track(runner, made.actuals(renamed), made.model)
    assert result["scores"]["periods"] == LATER


async def test_a_failed_fit_is_said_before_its_scores(runner: Runner, made: Made) -> None:
    draws, baseline = open_model(made.model).draws(), open_model(made.model).baseline()
    failed = write_model(made.folder, "failed", draws, baseline, made.mff, verdict=FitVerdict.FAIL)
    result = await track(runner, made.actuals(), failed)
    assert result["summary"].startswith("The fit failed its diagnostics")


async def test_restated_history_is_told(runner: Runner, made: Made) -> None:
    restated = made.table.copy()
    restated.loc[:9, "Revenue"] *= 1.1
    result = await track(runner, made.actuals(restated), made.model)
    (found,) = result["restated"]
    assert found["variable"] == "Revenue"
    assert (found["periods"], found["compared"]) == (10, WEEKS)
    before = made.table["Revenue"][:WEEKS]
    assert found["change"] == pytest.approx(0.1 * before[:10].sum() / before.sum())
    assert "History was restated: Revenue differs in 10 of 104 weeks" in result["summary"]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda t: t.iloc[:WEEKS], "actuals_none", f"from {NEXT} on"),
        (lambda t: t.drop(columns="Price"), "dataset_column_unknown", "'Price'"),
        (lambda t: t.drop(columns="TV_Spend"), "dataset_column_unknown", "'TV_Spend'"),
        (lambda t: t.drop(index=WEEKS + 3), "dataset_gap", "2025-01-20"),
        (lambda t: t.iloc[WEEKS - 10 :].assign(
            Date=t["Date"].iloc[WEEKS - 10 :] + pd.Timedelta(days=3)),
         "dataset_gap", str(NEXT)),
        (lambda t: t.assign(TV_Spend=t["TV_Spend"].where(t.index != WEEKS + 1, -5.0)),
         "dataset_negative_spend", "2025-01-06"),
        (lambda t: t.assign(Revenue=t["Revenue"].where(t.index != WEEKS + 1)),
         "dataset_cell_missing", "row 107"),
    ],
    ids=["nothing new", "no price", "no channel", "a gap", "another day", "negative", "blank"],
)  # fmt: skip
async def test_a_file_that_cannot_tell_is_refused_by_what_is_wrong(
    runner: Runner, made: Made, change: Any, code: str, says: str
) -> None:
    path = made.folder / "bad.csv"
    change(made.table).to_csv(path, index=False)
    with pytest.raises(DatasetError, match=says) as caught:
        await track(runner, str(path), made.model)
    assert caught.value.code == code


async def test_a_model_of_the_first_format_is_refused_before_anything_is_read(
    runner: Runner, made: Made
) -> None:
    manifest = made.model / MANIFEST
    model = open_model(made.model).manifest
    hashes = {name: sha for name, sha in model.sha256.items() if name != BASELINE}
    first = model.model_copy(update={"schema_version": 1, "sha256": hashes})
    manifest.write_text(first.model_dump_json())
    with pytest.raises(ModelFileError, match="keeps no baseline") as caught:
        await track(runner, made.actuals(), made.model)
    assert caught.value.code == "model_schema"


async def fitted(runner: Runner, workflow_id: str, model: Path) -> None:
    """A Modeling run as it would be kept, without the fit."""
    run = Run(
        workflow_id=workflow_id, workflow="modeling", seed=42, graph_version="made",
        request={"mff_data_path": "made"},
    )  # fmt: skip
    await runner.services.runs.create(run)
    await runner.services.runs.update(
        workflow_id, status=RunStatus.SUCCEEDED, result={"model_artifact_path": str(model)}
    )


async def test_without_a_name_the_newest_model_before_the_actuals_is_scored(
    runner: Runner, made: Made
) -> None:
    with pytest.raises(MMMError, match="has no model") as caught:
        await track(runner, made.actuals())
    assert caught.value.code == "model_not_found"
    await fitted(runner, "m1", made.model)
    result = await track(runner, made.actuals())
    assert result["model_artifact_path"] == str(made.model)
    (decision,) = result["decisions"]
    assert "newest" in decision["reason"]
    with pytest.raises(DatasetError) as refused:
        await track(runner, made.actuals(weeks=0))
    assert refused.value.code == "actuals_none"


def unlike(made: Made, **choices: Any) -> Path:
    """A model folder like the made one but for some choices of its spec."""
    model = open_model(made.model)
    other = write_model(made.folder, "other", model.draws(), model.baseline(), made.mff)
    (other / SPEC).write_text(make_spec().model_copy(update=choices).model_dump_json())
    write_manifest(
        other, project="default", key="other", mff_sha256="x", seed=42, depth=Depth.STANDARD,
        versions={},
    )  # fmt: skip
    return other


def as_mff(made: Made, currency: str = "EUR") -> Path:
    """The actuals as EDA would keep them."""
    read = load_files([Path(made.actuals())], date_column=None, geography_column=None)
    wishes = Wishes(target="Revenue", channels=CHANNELS, controls=["Price"], currency=currency)
    newer = make_dataset(read, choose_roles(read, wishes))[0]
    return write_mff(newer, made.folder / f"newer_{currency}", "newer")


@pytest.mark.parametrize(
    ("choices", "code"),
    [
        ({"target_unit": "USD"}, "actuals_unit"),
        ({"spend_unit": "USD"}, "actuals_unit"),
        ({"frequency": Frequency.DAILY}, "dataset_frequency_unknown"),
    ],
    ids=["unit of the target", "unit of the spend", "frequency"],
)
async def test_a_newer_model_in_another_unit_or_grain_is_passed_over_and_named(
    runner: Runner, made: Made, choices: dict[str, Any], code: str
) -> None:
    other, actuals = unlike(made, **choices), str(as_mff(made))
    await fitted(runner, "newer", other)
    with pytest.raises(DatasetError) as refused:
        await track(runner, actuals)
    assert refused.value.code == code, "no model fits"
    await fitted(runner, "m1", made.model)
    alone = await track(runner, actuals)
    assert alone["passed_over"] == [] and "not scored (" not in alone["summary"]
    await fitted(runner, "newest", other)
    result = await track(runner, actuals)
    assert result["model_artifact_path"] == str(made.model)
    assert result["scores"] == alone["scores"]
    (passed,) = result["passed_over"]
    assert (passed["model_artifact_path"], passed["code"]) == (str(other), code)
    assert f"A newer model is not scored ({other}): {passed['why']}" in result["summary"]
    # One that is named is asked for, and not passed over.
    with pytest.raises(DatasetError) as refused:
        await track(runner, actuals, other)
    assert refused.value.code == code


async def test_models_that_the_actuals_are_not_of_are_passed_over_by_name(
    runner: Runner, made: Made
) -> None:
    other = unlike(made, target="Visits")
    await fitted(runner, "gone", made.folder / "gone")
    with pytest.raises(ModelFileError) as refused:
        await track(runner, made.actuals())
    assert refused.value.code == "model_not_found"
    await fitted(runner, "m1", made.model)
    await fitted(runner, "other", other)
    await fitted(runner, "gone again", made.folder / "gone")
    result = await track(runner, made.actuals())
    assert result["model_artifact_path"] == str(made.model)
    (decision,) = result["decisions"]
    assert str(made.folder / "gone") in decision["evidence"] and "Visits" in decision["evidence"]


async def test_an_answer_that_another_version_stored_is_left_out_by_name(
    runner: Runner, made: Made
) -> None:
    await ask(runner, made, "Double TV", workflow_id="old")
    await ask(runner, made, "Double TV", workflow_id="plan")
    kept = (await runner.get("old")).result or {}
    await runner.services.runs.update("old", result={**kept, "scenario_results": [{"old": 1}]})
    plans = (await track(runner, made.actuals(), made.model))["plans"]
    assert {plan["workflow_id"] for plan in plans["scored"]} == {"plan"}
    [left] = [left for left in plans["not_scored"] if left["workflow_id"] == "old"]
    assert left["why"] == "unreadable"
    assert "run old" in left["message"] and "another version" in left["message"]


async def test_plans_are_held_against_what_was_spent_and_what_came(
    runner: Runner, made: Made
) -> None:
    await ask(runner, made, "What if we increase TV by 20%?", workflow_id="plan")
    await ask(runner, made, "Stop TV in the last 4 weeks", workflow_id="past")
    result = await track(runner, made.actuals(), made.model)
    plans = result["plans"]
    scenario, allocation = plans["scored"]
    assert {p["workflow_id"] for p in plans["scored"]} == {"plan"}
    assert (scenario["kind"], allocation["kind"]) == ("scenario", "allocation")
    assert (scenario["covered_periods"], scenario["periods"]) == (13, 13)
    assert {left["why"] for left in plans["not_scored"]} == {"past_window"}
    assert all(left["workflow_id"] == "past" for left in plans["not_scored"])
    # TV was planned a fifth above the year before: by our own sums.
    year_before = made.table["TV_Spend"].iloc[WEEKS - 52 : WEEKS - 39].sum()
    spent = made.table["TV_Spend"].iloc[WEEKS : WEEKS + 13].sum()
    television = scenario["adherence"][0]
    assert television["planned"] == pytest.approx(1.2 * year_before)
    assert television["actual"] == pytest.approx(spent)
    assert television["ratio"] == pytest.approx(spent / (1.2 * year_before))
    assert scenario["target_actual"] == pytest.approx(
        made.table["Revenue"].iloc[WEEKS : WEEKS + 13].sum()
    )
    assert scenario["target_inside"] is True
    assert "cannot be scored" in result["summary"] and "never seen" in result["summary"]


RAISED = "What if we increase TV by 20%?"


def carried_out(made: Made) -> pd.DataFrame:
    """The file of an owner who spent a fifth more on TV than a year before."""
    table = made.table.copy()
    for name in CHANNELS:
        factor = 1.2 if name == "TV_Spend" else 1.0
        table.loc[WEEKS : WEEKS + 12, name] = (
            factor * made.table[name].iloc[WEEKS - 52 : WEEKS - 39].to_numpy()
        )
    return table


async def test_a_plan_that_was_carried_out_brought_what_it_said(runner: Runner, made: Made) -> None:
    """Spend what was planned: actual and planned outcome are the same, draw by draw."""
    answer = await ask(runner, made, RAISED, workflow_id="plan")
    table = carried_out(made)
    result = await track(runner, made.actuals(table), made.model)
    plan = result["plans"]["scored"][0]
    assert plan["followed"] is True
    assert plan["difference"]["mean"] == pytest.approx(0, abs=1e-3)
    promised = answer["scenario_results"][0]["outcome"]["scenario"]
    for key in ("mean", "hdi_low", "hdi_high"):
        assert plan["planned_outcome"][key] == pytest.approx(promised[key], rel=1e-9)
    part = await track(runner, made.actuals(table, weeks=5), made.model)
    plan = part["plans"]["scored"][0]
    assert (plan["covered_periods"], plan["periods"]) == (5, 13)
    assert plan["adherence"][0]["ratio"] == pytest.approx(1)
    assert plan["planned_outcome"]["mean"] < 0.6 * promised["mean"]


async def test_a_plan_on_another_model_is_named_with_how_to_score_it(
    runner: Runner, made: Made
) -> None:
    await ask(runner, made, "Double TV", workflow_id="plan")
    model = open_model(made.model)
    other = write_model(made.folder, "other", model.draws(), model.baseline(), made.mff)
    result = await track(runner, made.actuals(), other)
    assert result["plans"]["scored"] == []
    assert {left["why"] for left in result["plans"]["not_scored"]} == {"other_model"}
    assert all(str(made.model) in left["message"] for left in result["plans"]["not_scored"])


async def test_new_advice_stands_beside_how_earlier_forecasts_did(
    runner: Runner, made: Made
) -> None:
    before = await ask(runner, made, "Double TV")
    assert before["track_record"]["forecasts"] == []
    assert "not scored yet: run track" in before["summary"]
    tracked = await track(runner, made.actuals(), made.model, workflow_id="t1")
    after = await ask(runner, made, "Double TV", workflow_id="later")
    (scored,) = after["track_record"]["forecasts"]
    assert scored["workflow_id"] == "t1"
    facts = record_facts(TrackRecord.model_validate(after["track_record"]))
    assert {fact.reference for fact in facts} == {
        "record.coverage_50", "record.coverage_94", "record.bias", "record.skill",
    }  # fmt: skip
    for fact in facts:
        value: Any = after
        for part in fact.field.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part]
    assert scored["scores"] == tracked["scores"]
    most = tracked["scores"]["coverage_94"]
    assert f"scored on 16 weeks up to 2025-04-14: {most['inside']} of 16 inside" in after["summary"]
    assert "bias" in after["summary"] and "run t1" in after["summary"]
    # A later track of the same model takes the place of the first; other projects see neither.
    await track(runner, made.actuals(weeks=9), made.model, workflow_id="t2")
    again = await ask(runner, made, "Double TV", workflow_id="again")
    (scored,) = again["track_record"]["forecasts"]
    assert scored["workflow_id"] == "t2" and scored["scores"]["periods"] == 9
    elsewhere = await ask(runner, made, "Double TV", project="other")
    assert elsewhere["track_record"]["forecasts"] == []


async def test_an_earlier_plan_is_shown_with_what_came_of_it(runner: Runner, made: Made) -> None:
    await ask(runner, made, RAISED, workflow_id="plan")
    (before,) = (await ask(runner, made, "TV up 20%", workflow_id="b"))["remembered"]["similar"]
    assert before["came"] is None and "followed" not in before["said"]
    tracked = await track(
        runner, made.actuals(carried_out(made)), made.model, workflow_id="tracked"
    )
    score = next(p for p in tracked["plans"]["scored"] if p["workflow_id"] == "b")
    (similar,) = (await ask(runner, made, "TV up 20%", workflow_id="c"))["remembered"]["similar"]
    came = similar["came"]
    assert (came["workflow_id"], came["answer_id"], came["followed"]) == ("tracked", "b", True)
    assert came["actual"] == pytest.approx(made.table["Revenue"].iloc[WEEKS : WEEKS + 13].sum())
    assert (came["forecast"], came["inside"]) == (score["target_forecast"], score["target_inside"])
    assert "This plan was followed: over 13 of its 13 periods" in similar["said"]
    where = "inside" if came["inside"] else "outside"
    assert f"came, {where} the interval (run tracked)" in similar["said"]
    # The newest answer with this plan is shown; it was given after the track, which knew its like.
    (similar,) = (await ask(runner, made, "TV up 20%"))["remembered"]["similar"]
    assert similar["workflow_id"] == "c" and similar["came"]["answer_id"] in ("plan", "b")


async def test_a_plan_that_was_not_followed_is_shown_without_a_figure_of_what_came(
    runner: Runner, made: Made
) -> None:
    await ask(runner, made, RAISED, workflow_id="plan")
    await track(runner, made.actuals(), made.model, workflow_id="tracked")
    (similar,) = (await ask(runner, made, "TV up 20%"))["remembered"]["similar"]
    assert similar["came"]["followed"] is False
    assert "was not followed, so what came says nothing about it" in similar["said"]
    assert "were forecast" not in similar["said"]


async def test_the_outcome_is_remembered_at_the_plan_and_at_the_model(
    runner: Runner, made: Made
) -> None:
    await ask(runner, made, "Double TV", workflow_id="plan")
    result = await track(runner, made.actuals(), made.model, workflow_id="t1")
    memory = await runner.memory.bring_in("default")
    nodes, edges = await memory.everything("default")
    names = {n.node_id: n for n in nodes}
    outcomes = [e for e in edges if e.kind == "OUTCOME_OF"]
    ends = {(names[e.source].kind, names[e.target].kind) for e in outcomes}
    assert ends == {("Analysis", "Model"), ("Analysis", "Scenario")}
    assert all(names[e.source].workflow_id == "t1" for e in outcomes)
    said = " ".join(e.evidence for e in outcomes)
    assert result["scores"]["bias"]["message"] in said
    assert result["plans"]["scored"][0]["message"] in said
    # The plan that was scored is the node that the answer left behind, not another of its name.
    produced = {e.target for e in edges if e.kind == "PRODUCED" and e.workflow_id == "plan"}
    assert {e.target for e in outcomes if names[e.target].kind == "Scenario"} <= produced


async def test_a_figure_of_a_track_leads_to_the_actuals_and_to_what_was_decided_of_the_fit(
    runner: Runner, made: Made
) -> None:
    await fitted(runner, "m1", made.model)
    runs = runner.services.runs
    sha256 = open_model(made.model).sha256
    kept = Artifact(
        artifact_id=sha256, kind=MODEL, path=str(made.model), sha256=sha256, size_bytes=1,
        workflow_id="m1",
    )  # fmt: skip
    await runs.register_artifact(kept)
    used = Decision(question="May this fit be used?", options=(), choice="pass", reason="it mixed")
    await runs.add_decisions("m1", [used])
    actuals = Path(made.actuals())
    result = await track(runner, str(actuals), made.model, workflow_id="t1")
    asked = "t1#/scores/bias/share/mean"
    chain = (await runner.memory.lineage(asked, project="default")).chain
    assert used.question in [x.name for x in chain.all() if x.kind is LinkKind.DECISION]
    [file] = [x for x in chain.all() if x.path == str(actuals)]
    assert (file.kind, file.sha256) == (LinkKind.SOURCE, result["actuals_sha256"])
    assert file.state is FileState.SAME
    actuals.write_bytes(actuals.read_bytes() + b"more")
    chain = (await runner.memory.lineage(asked, project="default")).chain
    [file] = [x for x in chain.all() if x.path == str(actuals)]
    assert file.state is FileState.CHANGED
    memory = await runner.memory.bring_in("default")
    nodes, _ = await memory.everything("default")
    [document] = [n for n in nodes if n.name == str(actuals)]
    assert document.properties["sha256"] == result["actuals_sha256"]


async def test_the_screen_shows_each_week_and_what_follows(
    runner: Runner, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    await ask(runner, made, "Stop TV in the last 4 weeks", workflow_id="past")
    show_result(await track(runner, made.actuals(), made.model))
    said = " ".join(capsys.readouterr().out.split())
    assert all(str(day.date()) in said for day in DATES[WEEKS:])
    assert "lie in their 94 % interval" in said
    assert "not scored The scenario of run past is about" in said
    assert "assumed The trend keeps the slope" in said


def test_track_needs_no_pymc() -> None:
    code = (
        "import sys, mmm_workflows.workflows.steps.track, mmm_workflows.workflows.track_agent\n"
        "heavy = {'pymc', 'pytensor', 'pymc_marketing', 'arviz', 'xarray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

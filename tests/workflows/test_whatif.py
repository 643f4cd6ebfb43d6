"""What-If from the question to the answer, on a model folder that was made without a fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_folders import make_model_folder

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.dataset import (
    Dataset,
    Role,
    Sidecar,
    SourceFile,
    Variable,
    long_table,
    read_mff,
    write_mff,
)
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import (
    DRAWS,
    FILES,
    MANIFEST,
)
from mmm_workflows.mmm.results import (
    Diagnostics,
    FitVerdict,
    GoodnessOfFit,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.spec import Adstock, ChannelSpec, Frequency, ModelSpec, Saturation
from mmm_workflows.records import Depth, RunStatus
from mmm_workflows.workflows.contracts import WhatifRequest
from mmm_workflows.workflows.runner import Runner, open_runner

CHANNELS = ("TV_Spend", "Search_Spend", "Radio_Spend")
NEXT_13_WEEKS = {"start": "2025-12-29", "end": "2026-03-23"}
DATES = np.datetime64("2023-01-02") + 7 * np.arange(156)
STEPS = ["load_model", "parse_query", "run_scenarios", "suggest_allocation", "summarise"]


@dataclass(frozen=True)
class Fitted:
    """An MFF and the folder of a model on it."""

    mff: Path
    model: Path
    draws: Draws

    def ask(self, question: str) -> WhatifRequest:
        return WhatifRequest(
            model_artifact_path=str(self.model), mff_data_path=str(self.mff), user_query=question
        )

    def spent_a_year_before(self, channel: str) -> float:
        """Money of the 13 weeks that the next 13 weeks are compared with."""
        return float(self.draws.spend[104:117, self.draws.channels.index(channel)].sum())


def write_data(folder: Path, *, seed: int = 1) -> Path:
    random = np.random.default_rng(seed)
    wide = pd.DataFrame(
        random.gamma(4.0, [5e3, 3e3, 1e3], (156, 3)).round(2),
        index=pd.DatetimeIndex(DATES, name="Period"),
        columns=list(CHANNELS),
    )
    wide["Revenue"] = random.normal(1e6, 5e4, 156).round(2)
    variables = tuple(
        Variable(
            name=name,
            role=Role.TARGET if name == "Revenue" else Role.CHANNEL,
            unit="EUR",
            is_money=True,
            source=f"sales.csv: {name}",
        )
        for name in wide.columns
    )
    sidecar = Sidecar(
        frequency=Frequency.WEEKLY,
        variables=variables,
        sources=(SourceFile(name="sales.csv", sha256="0" * 64),),
    )
    return write_mff(Dataset(long_table(wide), sidecar), folder, "sales")


def make_draws(mff: Path, margin: float | None) -> Draws:
    spend = read_mff(mff).national()[list(CHANNELS)].to_numpy()
    random = np.random.default_rng(2)
    return Draws(
        channels=CHANNELS,
        dates=DATES.astype("datetime64[D]"),
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=1e6,
        alpha=random.beta(4, 6, (100, 3)),
        theta=None,
        lam=random.gamma(8, 0.25, (100, 3)),
        beta=np.abs(random.normal(0.1, 0.02, (100, 3))),
        adstock=Adstock.GEOMETRIC,
        saturation=Saturation.LOGISTIC,
        l_max=8,
        frequency=Frequency.WEEKLY,
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
        margin=margin,
    )


def make_results(verdict: FitVerdict) -> ModelResults:
    diagnostics = Diagnostics(
        rhat_max=1.0, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=100, chains=4,
        checks=(), not_run=(),
    )  # fmt: skip
    r2 = summarise(np.full(100, 0.8), "share")
    fit = GoodnessOfFit(
        r2=r2, mape=0.04, coverage=0.94, holdout=None, reasons={"holdout": "not run"}
    )
    return ModelResults(
        target="Revenue",
        unit="EUR",
        spend_unit="EUR",
        window=Window(start=date(2023, 1, 2), end=date(2025, 12, 22)),
        depth=Depth.STANDARD,
        seed=42,
        diagnostics=diagnostics,
        fit_verdict=verdict,
        channels=(),
        drivers=(),
        baseline=summarise(np.full(100, 7e7), "EUR"),
        fit=fit,
    )


def make_model(
    folder: Path, *, margin: float | None = None, verdict: FitVerdict = FitVerdict.PASS
) -> Fitted:
    """The files that a fit leaves, with draws made by hand."""
    mff = write_data(folder / "data")
    model = folder / "model"
    spec = ModelSpec(
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
        frequency=Frequency.WEEKLY,
        start=date(2023, 1, 2),
        end=date(2025, 12, 22),
        channels=tuple(ChannelSpec(name=n, effect_scale=0.3) for n in CHANNELS),
        margin=margin,
    )
    draws = make_draws(mff, margin)
    sha256 = read_mff(mff).sidecar.mff_sha256
    make_model_folder(model, spec, make_results(verdict), draws, mff_sha256=sha256)
    return Fitted(mff, model, draws)


@pytest.fixture
def fitted(tmp_path: Path) -> Fitted:
    return make_model(tmp_path)


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


def assert_estimate(estimate: dict[str, Any]) -> None:
    assert set(estimate) == {"mean", "median", "hdi_low", "hdi_high", "hdi_prob", "unit"}
    assert estimate["hdi_low"] <= estimate["median"] <= estimate["hdi_high"]
    assert estimate["hdi_prob"] == 0.94
    assert estimate["unit"] == "EUR"


async def test_a_change_is_simulated_against_the_year_before(
    runner: Runner, fitted: Fitted
) -> None:
    steps: list[str | None] = []
    result = await runner.start(
        "whatif",
        fitted.ask("What happens if we increase TV by 20%?"),
        on_event=lambda e: steps.append(e.step),
    )
    assert result["status"] == "succeeded"
    assert list(dict.fromkeys(s for s in steps if s)) == STEPS
    assert result["interpretation"]["kind"] == "simulate"
    assert "2025-12-29 to 2026-03-23" in result["interpretation"]["echo"]
    assert "TV_Spend" in result["interpretation"]["echo"]
    (scenario,) = result["scenario_results"]
    assert scenario["window"] == NEXT_13_WEEKS
    assert scenario["unit"] == "EUR"
    assert "year before" in scenario["reference_plan"]
    for name in CHANNELS:
        before = fitted.spent_a_year_before(name)
        factor = 1.2 if name == "TV_Spend" else 1.0
        assert scenario["reference_totals"][name] == pytest.approx(before)
        assert scenario["totals"][name] == pytest.approx(factor * before)
    outcome = scenario["outcome"]
    for key in ("reference", "scenario", "delta"):
        assert_estimate(outcome[key])
    assert outcome["delta"]["hdi_low"] > 0
    assert outcome["scenario"]["mean"] - outcome["reference"]["mean"] == pytest.approx(
        outcome["delta"]["mean"]
    )
    assert 0 <= outcome["probability_better"] <= 1
    # With it comes how the same money would be best divided.
    optimized = result["optimization_results"]
    assert optimized["total"] == pytest.approx(sum(scenario["totals"].values()))
    assert optimized["converged"] is True
    assert {r["channel"] for r in result["sensitivity_analysis"]["rows"]} == set(CHANNELS)
    assert result["recommendations"]
    assert result["summary"].startswith("Your scenario: between 2025-12-29 and 2026-03-23")
    assert {a["kind"] for a in result["artifacts"]} >= {"scenario", "whatif_result"}
    (decision,) = result["decisions"]
    assert decision["reason"] == result["interpretation"]["echo"]


async def test_a_budget_is_allocated_within_what_was_asked(runner: Runner, fitted: Fitted) -> None:
    usual = {n: fitted.spent_a_year_before(n) for n in CHANNELS}
    question = f"How should we split a budget of {sum(usual.values()):.0f} without touching Radio?"
    result = await runner.start("whatif", fitted.ask(question))
    assert result["interpretation"]["kind"] == "optimize"
    assert result["scenario_results"] == []
    optimized = result["optimization_results"]
    assert optimized["window"] == NEXT_13_WEEKS
    allocation = optimized["allocation"]
    assert sum(allocation.values()) == pytest.approx(optimized["total"])
    assert allocation["Radio_Spend"] == pytest.approx(usual["Radio_Spend"])
    assert optimized["reference_totals"] == pytest.approx(usual)
    assert_estimate(optimized["outcome"]["delta"])
    assert optimized["method"] and optimized["converged"] is True
    assert "best allocation" in result["summary"]


async def test_an_unclear_question_waits_for_an_answer_and_goes_on_with_it(
    runner: Runner, fitted: Fitted
) -> None:
    waiting = await runner.start("whatif", fitted.ask("Increase Cinema by 20%"), workflow_id="w1")
    assert waiting["status"] == "waiting"
    assert waiting["interpretation"]["kind"] == "clarify"
    assert "cinema" in waiting["questions"][0] and "TV_Spend" in waiting["questions"][0]
    assert waiting["interpretation"]["questions"] == waiting["questions"]
    assert waiting["scenario_results"] == [] and waiting["sensitivity_analysis"] is None
    again = await runner.decide("w1", "make it nicer")
    assert again["status"] == "waiting"
    assert "nicer" in again["questions"][0]
    done = await runner.decide("w1", "Cut TV by 10% in the next 4 weeks")
    assert done["status"] == "succeeded"
    (scenario,) = done["scenario_results"]
    assert scenario["window"] == {"start": "2025-12-29", "end": "2026-01-19"}
    assert scenario["totals"]["TV_Spend"] == pytest.approx(
        0.9 * scenario["reference_totals"]["TV_Spend"]
    )
    answers = [d["choice"] for d in done["decisions"] if d["who"] == "person"]
    assert answers == ["make it nicer", "Cut TV by 10% in the next 4 weeks"]


async def test_a_window_of_the_past_is_compared_with_what_was_spent(
    runner: Runner, fitted: Fitted
) -> None:
    result = await runner.start("whatif", fitted.ask("Stop TV in the last 4 weeks"))
    (scenario,) = result["scenario_results"]
    assert scenario["reference_plan"] == "what was spent"
    assert scenario["window"] == {"start": "2025-12-01", "end": "2025-12-22"}
    spent = fitted.draws.spend[-4:].sum(axis=0)
    assert scenario["reference_totals"] == pytest.approx(dict(zip(CHANNELS, spent, strict=True)))
    assert scenario["totals"]["TV_Spend"] == 0
    assert scenario["outcome"]["delta"]["hdi_high"] < 0
    assert any("never saw it at zero" in w for w in scenario["warnings"])
    assert "what it saves is worth more than the revenue it loses" in result["summary"]


async def test_equal_questions_get_equal_answers(runner: Runner, fitted: Fitted) -> None:
    question = fitted.ask("Move 10k from TV to Search")
    one = await runner.start("whatif", question, workflow_id="w1")
    other = await runner.start("whatif", question, workflow_id="w2", seed=7)
    for key in ("scenario_results", "optimization_results", "sensitivity_analysis", "summary"):
        assert one[key] == other[key]


async def test_a_margin_of_the_model_is_held_against_the_cost(
    runner: Runner, tmp_path: Path
) -> None:
    better = []
    for margin in (None, 0.01):
        made = tmp_path / str(margin)
        made.mkdir()
        result = await runner.start("whatif", make_model(made, margin=margin).ask("Double TV"))
        better.append(result["scenario_results"][0]["outcome"]["probability_better"])
    assert better[1] == 0 < better[0]


async def test_a_scenario_stands_when_no_allocation_has_room_for_its_money(
    runner: Runner, fitted: Fitted
) -> None:
    result = await runner.start("whatif", fitted.ask("Increase everything by 900%"))
    (scenario,) = result["scenario_results"]
    assert any("extrapolates" in w for w in scenario["warnings"])
    assert result["optimization_results"] is None
    assert "cannot be placed" in result["reasons"]["optimization_results"]


async def test_a_failed_fit_is_warned_about_before_any_figure(
    runner: Runner, tmp_path: Path
) -> None:
    failed = make_model(tmp_path, verdict=FitVerdict.FAIL)
    result = await runner.start("whatif", failed.ask("Double TV"))
    assert result["summary"].startswith("The fit failed its diagnostics")


async def _refused(runner: Runner, request: WhatifRequest) -> str:
    with pytest.raises(MMMError) as caught:
        await runner.start("whatif", request, workflow_id="w1")
    run = await runner.get("w1")
    assert run.status is RunStatus.FAILED
    assert run.error is not None and run.error.code == caught.value.code
    return caught.value.code


async def test_a_budget_out_of_reach_is_refused(runner: Runner, fitted: Fitted) -> None:
    assert await _refused(runner, fitted.ask("optimise a budget of 900m")) == "query_out_of_reach"


async def test_a_question_before_there_is_a_model_is_refused(
    runner: Runner, tmp_path: Path
) -> None:
    none = Fitted(mff=write_data(tmp_path), model=tmp_path / "model", draws=None)  # type: ignore[arg-type]
    assert await _refused(runner, none.ask("Double TV")) == "model_not_found"


async def test_the_data_of_another_model_is_refused(
    runner: Runner, fitted: Fitted, tmp_path: Path
) -> None:
    other = Fitted(write_data(tmp_path / "other", seed=9), fitted.model, fitted.draws)
    assert await _refused(runner, other.ask("Double TV")) == "mff_not_the_models"


async def test_data_that_was_edited_by_hand_is_refused(runner: Runner, fitted: Fitted) -> None:
    with fitted.mff.open("a", encoding="utf-8") as table:
        table.write("2025-12-29,,,,,,TV_Spend,1\n")
    assert await _refused(runner, fitted.ask("Double TV")) == "mff_changed"


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
async def test_a_damaged_model_is_refused_before_the_question_is_read(
    runner: Runner, fitted: Fitted, name: str
) -> None:
    file = fitted.model / name
    content = file.read_bytes()
    file.unlink()
    assert await _refused(runner, fitted.ask("what about tea?")) == "model_damaged"
    file.write_bytes(bytes([content[0] ^ 0xFF]) + content[1:])
    with pytest.raises(MMMError) as caught:
        await runner.resume("w1")
    assert caught.value.code == "model_damaged"
    # Whole again, the same run goes on.
    file.write_bytes(content)
    assert (await runner.resume("w1"))["status"] == "waiting"


async def test_a_model_that_is_damaged_while_the_run_waits_is_refused_on_the_answer(
    runner: Runner, fitted: Fitted
) -> None:
    await runner.start("whatif", fitted.ask("what about tea?"), workflow_id="w1")
    (fitted.model / DRAWS).write_bytes(b"changed")
    with pytest.raises(MMMError) as caught:
        await runner.decide("w1", "Double TV")
    assert caught.value.code == "model_damaged"

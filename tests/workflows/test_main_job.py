"""The main job, as its users call it: real fits, real draws, no network."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
ROBYN = REPOSITORY.parent / "shared" / "data" / "robyn_simulated_weekly.csv"
EVERY = "workflow_id status project generated_by depth seed decisions artifacts"
CONTRACT = {
    "research": "research_plan sources synthesis",
    "eda": "mff_data_path quality_report visualizations recommendations",
    "modeling": "model_artifact_path model_spec diagnostics fit_verdict channels baseline fit summary",
    "whatif": "interpretation scenario_results optimization_results sensitivity_analysis "
    "recommendations summary",
}
CHANNEL = "channel spend contribution share roas roi cost_per_contribution mroas verdict"
ESTIMATE = {"mean", "median", "hdi_low", "hdi_high", "hdi_prob", "unit"}
# Any address that is not loopback ends the process: the demo must need none.
BARRED = """
import sys
def bar(event, args):
    if event == "socket.getaddrinfo" and args[0] not in (None, "localhost", "127.0.0.1", "::1"):
        raise SystemExit(f"asked for {args[0]}")
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in (
        "127.0.0.1", "::1"
    ):
        raise SystemExit(f"connected to {args[1]}")
sys.addaudithook(bar)
from mmm_workflows.cli import main
main()
"""


def _cli(*arguments: str, code: str = BARRED, prefix: tuple[str, ...] = ()) -> dict:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, *arguments, "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    result: dict = json.loads(done.stdout)
    return result


def _without_network() -> tuple[str, ...]:
    """A prefix under which no address is reachable, child processes included, where there is one."""
    prefix = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
    if shutil.which("unshare") is None:
        return ()
    probe = subprocess.run([*prefix, "true"], capture_output=True)
    return prefix if probe.returncode == 0 else ()


def test_the_demo_fits_afresh_without_a_network_and_its_intervals_hold_the_truth() -> None:
    result = _cli("demo", prefix=_without_network())
    modeling = result["modeling"]
    assert modeling["reused"] is False
    assert modeling["fit_verdict"] in ("pass", "warn")
    _assert_contract(result)
    truth = json.loads((REPOSITORY / "examples/data/weekly_sample.truth.json").read_text())
    held = {
        c["channel"]: c["roas"]["hdi_low"]
        <= truth["channels"][c["channel"]]["roas"]
        <= c["roas"]["hdi_high"]
        for c in modeling["channels"]
    }
    assert len(held) == 6
    assert sum(held.values()) >= 5, held
    folder = Path(modeling["model_artifact_path"])
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert size < 30e6
    scenario = result["whatif"]["scenario_results"][0]
    tv = scenario["totals"]["TV_Spend"] / scenario["reference_totals"]["TV_Spend"]
    assert tv == pytest.approx(1.2)
    delta = scenario["outcome"]["delta"]
    assert delta["hdi_low"] < delta["mean"] < delta["hdi_high"]

    again = _cli("demo")
    assert again["modeling"]["reused"] is False, "a demo of before was not forgotten"
    assert again["modeling"]["channels"] == modeling["channels"], "the same seed, other numbers"


def _assert_contract(result: dict) -> None:
    for part, names in CONTRACT.items():
        assert set(f"{EVERY} {names}".split()) <= set(result[part]), part
        assert result[part]["generated_by"] == "rules"
        assert result[part]["seed"] == result["seed"]
        assert result[part]["decisions"] and result[part]["artifacts"]
    for channel in result["modeling"]["channels"]:
        assert set(CHANNEL.split()) <= set(channel)
        for name in CHANNEL.split()[2:]:
            if channel[name] is None:
                assert channel["reasons"][name], "a null without its reason"
            elif name != "verdict":
                assert set(channel[name]) == ESTIMATE
        assert channel["verdict"] is None and "not examined" in channel["reasons"]["verdict"]
    assert result["modeling"]["diagnostics"]["not_run"], "what a depth leaves out is said"
    scenario = result["whatif"]["scenario_results"][0]
    assert {"name", "window", "totals", "reference_totals", "outcome", "warnings"} <= set(scenario)
    assert {"reference", "scenario", "delta", "probability_better"} <= set(scenario["outcome"])
    assert set(scenario["outcome"]["delta"]) == ESTIMATE
    assert {"allocation", "outcome", "method", "converged"} <= set(
        result["whatif"]["optimization_results"]
    )


def test_the_readme_command_answers_where_the_next_euro_goes() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    command = re.search(r"^mmm-workflows (run .*)$", readme, re.MULTILINE)
    assert command is not None
    result = _cli(*shlex.split(command.group(1)), "--depth", "quick")
    _assert_budget_answer(result)
    kinds = {a["kind"]: a["path"] for a in result["modeling"]["artifacts"]}
    assert kinds["model"] == result["modeling"]["model_artifact_path"]
    choices = {(d["question"], d["choice"]) for d in result["decisions"]}
    assert choices >= {
        (d["question"], d["choice"])
        for part in CONTRACT if part in result for d in result[part]["decisions"]
    }  # fmt: skip
    _cli("delete", result["workflow_id"])
    assert not Path(kinds["model"]).exists(), "a deleted run left its model behind"


@pytest.mark.skipif(not ROBYN.exists(), reason=f"{ROBYN.name} is not beside this checkout")
def test_the_robyn_sample_gets_a_budget_answer_with_intervals() -> None:
    result = _cli(
        "run",
        "Where should the next euro go?",
        *("--data", str(ROBYN), "--date", "DATE", "--target", "revenue"),
        *("--channels", "tv_S,ooh_S,print_S,facebook_S,search_S"),
    )
    _assert_budget_answer(result)


def _assert_budget_answer(result: dict) -> None:
    answer = result["whatif"]
    assert answer["interpretation"]["kind"] == "optimize"
    optimized = answer["optimization_results"]
    assert optimized["converged"] is True
    delta = optimized["outcome"]["delta"]
    assert delta["hdi_low"] <= delta["mean"] <= delta["hdi_high"]
    assert {c["channel"] for c in result["modeling"]["channels"]} == set(optimized["allocation"])
    assert answer["recommendations"]

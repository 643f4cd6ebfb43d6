"""The command line: exit codes, JSON for programs, sentences for people."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mmm_workflows.cli.app import app
from mmm_workflows.cli.show import show_result

COMMANDS = [
    "demo",
    "run",
    "research",
    "eda",
    "fit",
    "whatif",
    "track",
    "serve",
    "watch",
    "decide",
    "resume",
    "list",
    "delete",
    "init-db",
    "doctor",
]


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _json(*arguments: str, code: int = 0) -> dict:
    result = _call(*arguments, "--json")
    assert result.exit_code == code, result.output
    value: dict = json.loads(result.stdout)
    return value


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys, contextlib\n"
        "from mmm_workflows.cli import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "heavy = {'pandas', 'langgraph', 'pymc', 'altair', 'fastapi', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_a_run_is_started_listed_followed_resumed_and_deleted() -> None:
    result = _json("research", "Build MMM for beverage brand", "--workflow-id", "r1")
    assert result["status"] == "succeeded"
    listed = _json("list")["runs"]
    assert [r["workflow_id"] for r in listed] == ["r1"]
    assert _json("resume", "r1") == result
    followed = _call("watch", "r1", "--json")
    events = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert _json("delete", "r1") == {"deleted": 1, "name": "r1", "memory_delayed": None}
    assert _json("list")["runs"] == []


def test_memory_follows_a_run_and_a_number_down_and_refuses_what_is_not_there() -> None:
    _json("research", "Build MMM for beverage brand", "--workflow-id", "r1")
    found = _json("memory", "lineage", "r1")
    assert (found["chain"]["kind"], found["chain"]["workflow_id"]) == ("run", "r1")
    assert found["lines"][0].startswith("run research r1: depth ")
    shown = " ".join(_call("memory", "lineage", "r1").stdout.split())
    assert "run research r1: depth" in shown
    number = _json("memory", "lineage", "r1#/seed")["chain"]
    assert [below["workflow_id"] for below in number["rests_on"]] == ["r1"]
    refused = _json("memory", "lineage", "r2", code=2)
    assert refused["code"] == "lineage_unknown"


def test_memory_says_what_was_superseded_and_leaves_it_out_where_asked() -> None:
    for name in ("r1", "r2"):
        _json("research", "Build MMM for beverage brand", "--workflow-id", name)
    asked = ("memory", "search", "beverage brand plan", "--limit", "50")
    found = _json(*asked)
    assert found["waiting"] == 0
    ended = {f["passage"]["workflow_id"]: f["superseded"]["name"] for f in found["found"]
             if f["superseded"]}  # fmt: skip
    assert ended == {"r1": "Analysis research r2"}
    shown = " ".join(_call(*asked).stdout.split())
    assert "by Analysis research r2: a newer plan of the same category" in shown
    current = _json(*asked, "--current")
    assert current["scope"]["current"] and current["found"]
    assert not any(f["superseded"] for f in current["found"])
    backwards = _json(*asked, "--from", "2024-02-01", "--to", "2024-01-31", code=2)
    assert backwards["code"] == "request_invalid"


def test_memory_takes_what_is_queued_when_it_is_asked_and_lists_what_was_forgotten() -> None:
    _json("research", "Build MMM for beverage brand", "--workflow-id", "r1", "--project", "brand")
    assert [r["memory"] for r in _json("list")["runs"]] == ["queued"]
    assert _json("memory", "search", "beverage", "--project", "brand")["found"]
    assert [r["memory"] for r in _json("list")["runs"]] == ["kept"]
    repaired = _json("memory", "repair", "--project", "brand")
    assert (repaired["linked"], repaired["indexed"], repaired["without_node"]) == (0, 0, [])
    assert _json("memory", "forgotten") == {"projects": []}
    assert _json("delete", "brand")["memory_delayed"] is None
    (left,) = _json("memory", "forgotten")["projects"]
    assert (left["project"], left["runs"], left["reason"]) == ("brand", 1, None)
    assert "brand: 1 runs, forgotten 20" in _call("memory", "forgotten").stdout


def test_a_question_is_exit_code_2_and_answered_by_decide() -> None:
    asked = _json("research", "Build MMM", "--review", "--workflow-id", "r1", code=2)
    assert asked["kind"] == "clarify"
    assert asked["workflow_id"] == "r1"
    assert asked["questions"]
    assert _json("decide", "r1", "yes")["status"] == "succeeded"


def test_a_question_for_people_says_how_to_answer_it() -> None:
    result = _call("research", "Build MMM", "--review", "--workflow-id", "r1")
    assert result.exit_code == 2
    assert "mmm-workflows decide r1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("resume", "nobody"), "run_not_found"),
        (("watch", "nobody"), "run_not_found"),
        (("delete", "nobody"), "run_not_found"),
        (("decide", "nobody", "yes"), "run_not_found"),
        (("eda", "no/such.csv"), "dataset_not_found"),
        (("fit", "no/such.csv"), "dataset_not_found"),
        (("fit", "no/such.csv", "--plan", "no/plan.json"), "request_invalid"),
        (("whatif", "What if TV +20%?", "--model", "no", "--mff", "no"), "model_not_found"),
        (("research", "x", "--workflow-id", "../up"), "workflow_id_invalid"),
        (("research", "x", "--project", "a/b"), "project_invalid"),
        (("eda", "a.csv", "--channels", "TV,,Search"), "request_invalid"),
    ],
)
def test_bad_input_is_exit_code_2_with_a_stable_code(arguments: tuple[str, ...], code: str) -> None:
    said = _json(*arguments, code=2)
    assert said["kind"] == "error"
    assert said["code"] == code
    assert len(said["message"]) > 20


def test_an_error_for_people_is_one_sentence_without_a_traceback() -> None:
    result = _call("eda", "no/such.csv")
    assert result.exit_code == 2
    assert "dataset_not_found" in result.stderr
    assert "no/such.csv" in result.stderr.replace("\n", "")
    assert "Traceback" not in result.output


def test_a_service_that_is_set_but_does_not_answer_is_the_operators_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    said = _json("research", "Build MMM", code=1)
    assert said["code"] == "service_unavailable"
    assert "REDIS_URL" in said["message"]


def test_init_db_can_be_repeated(own_environment: Path) -> None:
    first, second = _json("init-db"), _json("init-db")
    assert first == second
    assert Path(first["database"]).is_relative_to(own_environment)


@pytest.mark.parametrize(
    "arguments",
    [("run", "--json"), ("eda", "a.csv", "--depth", "silly", "--json"), ("--json",)],
    ids=["missing argument", "wrong choice", "no command"],
)
def test_a_wrong_use_is_said_as_json_to_a_program(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from mmm_workflows.cli import main; main()", *arguments],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert said["code"] == "request_invalid" and said["message"]
    assert done.stderr == ""


def test_an_unknown_option_is_exit_code_2() -> None:
    assert _call("research", "x", "--nope").exit_code == 2


def test_a_name_in_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes ``[net]`` for a style and fails at a ``[/net]`` that closes none."""
    name = "TV [net] [/net]_Spend"
    estimate = {"mean": 2.0, "median": 2.0, "hdi_low": 1.0, "hdi_high": 3.0, "hdi_prob": 0.94}
    outcome = {key: {**estimate, "unit": "[red]"} for key in ("reference", "scenario", "delta")} | {
        "probability_better": None
    }
    show_result(
        {
            "interpretation": {"echo": name},
            "scenario_results": [
                {
                    "name": name,
                    "window": {"start": "2026-01-05", "end": "2026-01-12"},
                    "totals": {name: 2.0},
                    "reference_totals": {name: 1.0},
                    "outcome": outcome,
                    "warnings": [name],
                }
            ],
            "optimization_results": {"allocation": {name: 2.0}, "outcome": None},
            "summary": name,
            "recommendations": [name],
        }
    )
    shown = capsys.readouterr().out
    assert shown.count(name) == 7
    assert "from media, [red]" in shown

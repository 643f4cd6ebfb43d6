"""Scripts and commands as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=REPOSITORY
    )


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _run("-c", "from mmm_workflows.cli import main; main()", *arguments)


def test_init_db_makes_the_database_and_may_be_repeated(own_environment: Path) -> None:
    for _ in range(2):
        done = _run("scripts/init_db.py")
        assert done.returncode == 0, done.stderr
    assert (own_environment / "runs.db").stat().st_mode & 0o777 == 0o600


def test_research_on_the_command_line_prints_its_result_as_json() -> None:
    done = _cli("research", "Build MMM for beverage brand", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["research_plan"]["target_variable"] == "Sales"


def test_a_question_exits_with_2_and_is_answered_by_decide() -> None:
    asked = _cli("research", "beverage", "--review", "--workflow-id", "r1", "--json")
    assert asked.returncode == 2
    question = json.loads(asked.stdout)
    assert question["kind"] == "clarify"
    assert question["workflow_id"] == "r1"
    assert question["questions"]
    answered = _cli("decide", "r1", "yes", "--json")
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout)["status"] == "succeeded"


def test_bad_input_exits_with_2_and_one_sentence_without_a_traceback() -> None:
    done = _cli("eda", "no/such.csv", "--target", "Sales", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "dataset_not_found"
    assert "Traceback" not in done.stderr


def test_watch_prints_the_events_of_a_finished_run() -> None:
    _cli("research", "beverage", "--workflow-id", "r1", "--json")
    done = _cli("watch", "r1", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["status"] == "succeeded"


def test_doctor_masks_secrets_and_names_the_folders(own_environment: Path) -> None:
    (own_environment / "x").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", "from mmm_workflows.cli import main; main()", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(own_environment),
            "MMM_HOME": str(own_environment),
            "NEO4J_PASSWORD": "hunter2",
            "REDIS_URL": "redis://:hunter2@localhost",
        },
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "hunter2" not in done.stdout
    assert str(own_environment) in report["folders"]["MMM_HOME"]
    assert report["services"]["REDIS_URL"].startswith("set, but")


def test_delete_removes_a_run_and_says_how_many() -> None:
    _cli("research", "beverage", "--workflow-id", "r1", "--json")
    done = _cli("delete", "r1", "--json")
    assert json.loads(done.stdout) == {"deleted": 1, "name": "r1"}
    assert _cli("delete", "r1", "--json").returncode == 2


def test_without_a_terminal_nothing_but_the_result_is_on_standard_output() -> None:
    done = _cli("research", "beverage", "--json")
    json.loads(done.stdout)
    assert done.stderr == ""

"""Scripts and commands as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


READY = [["ready", name] for name in ("records", "checkpoints", "graph", "vectors")]


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
        assert [line.split(": ")[:2] for line in done.stdout.splitlines()] == READY
    assert (own_environment / "runs.db").stat().st_mode & 0o777 == 0o600


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
            "NEO4J_URI": "bolt://me:hunter2@127.0.0.1:1",
            "REDIS_URL": "redis://:hunter2@127.0.0.1:1",
        },
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "hunter2" not in done.stdout
    assert str(own_environment) in report["folders"]["MMM_HOME"]
    assert report["services"]["NEO4J_URI"] == "set to bolt://***@127.0.0.1:1"
    assert report["services"]["REDIS_URL"].startswith("The Redis at 127.0.0.1:1")


def test_without_a_terminal_nothing_but_the_result_is_on_standard_output() -> None:
    done = _cli("research", "beverage", "--json")
    json.loads(done.stdout)
    assert done.stderr == ""

"""The commands of the specification, run as they stand against a live server; the README has the same."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest
from api.answers import ended
from spec_text import ADDRESS, REPOSITORY, snippet


def _commands() -> list[str]:
    block = snippet("bash", "# Start research workflow")
    commands = re.split(r"^# .*\n", block, flags=re.MULTILINE)
    return [command.strip() for command in commands if command.strip()]


def _run(command: str, served: str) -> dict[str, object]:
    done = subprocess.run(
        ["bash", "-c", command.replace(ADDRESS, served)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _get(served: str, path: str) -> httpx.Response:
    return httpx.get(f"http://{served}{path}", timeout=60)


def test_the_uvicorn_command_starts_the_api(
    start_server: Callable[[Sequence[str], Path], AbstractContextManager[str]], tmp_path: Path
) -> None:
    command = snippet("bash", "uvicorn mmm_workflows.api.main:app")
    uvicorn = [sys.executable, "-m", *shlex.split(command)]
    with start_server(uvicorn, tmp_path) as address:
        assert httpx.get(f"http://{address}/docs", timeout=60).status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_commands_run_and_lead_from_one_to_the_next(served: str) -> None:
    research, status, upload, eda = _commands()

    started = _run(research, served)
    workflow_id = str(started["workflow_id"])
    assert ended(partial(_get, served), workflow_id)["status"] == "succeeded"

    shown = _run(status.replace("{workflow_id}", workflow_id), served)
    assert shown["result"]["research_plan"]["channels"]  # type: ignore[index]

    uploaded = _run(upload, served)
    path = str(uploaded["path"])
    assert Path(path).read_bytes() == (REPOSITORY / "data" / "sales.csv").read_bytes()

    accepted = _run(eda.replace("/path/to/uploaded/file.csv", path), served)
    finished = ended(partial(_get, served), str(accepted["workflow_id"]))
    assert finished["status"] == "succeeded", finished["error"]
    mff = Path(finished["result"]["mff_data_path"])  # type: ignore[index]
    assert mff.read_text().startswith("Period,Geography,Product,Campaign,Outlet,Creative,")

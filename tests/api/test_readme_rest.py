"""The README's commands of the API, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    block = re.search(r"```bash\n(# Start research workflow.*?)```", README, re.DOTALL)
    assert block is not None
    commands = re.split(r"^# .*\n", block.group(1), flags=re.MULTILINE)
    return [command.strip() for command in commands if command.strip()]


def _run(command: str, served: str) -> dict[str, object]:
    done = subprocess.run(
        ["bash", "-c", command.replace("localhost:8000", served)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _ended(served: str, workflow_id: str) -> dict[str, object]:
    for _ in range(300):
        run: dict[str, object] = httpx.get(f"http://{served}/workflow/{workflow_id}").json()
        if run["status"] in ("succeeded", "failed", "cancelled", "waiting"):
            return run
        time.sleep(0.1)
    raise AssertionError(f"{workflow_id} did not end")


def test_the_uvicorn_command_starts_the_api(
    start_server: Callable[[Sequence[str], Path], AbstractContextManager[str]], tmp_path: Path
) -> None:
    command = re.search(r"^uvicorn (.*)$", README, re.MULTILINE)
    assert command is not None
    uvicorn = [sys.executable, "-m", "uvicorn", *shlex.split(command.group(1))]
    with start_server(uvicorn, tmp_path) as address:
        assert httpx.get(f"http://{address}/docs").status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_commands_run_and_lead_from_one_to_the_next(served: str) -> None:
    research, status, upload, eda = _commands()

    started = _run(research, served)
    workflow_id = str(started["workflow_id"])
    assert _ended(served, workflow_id)["status"] == "succeeded"

    shown = _run(status.replace("{workflow_id}", workflow_id), served)
    assert shown["result"]["research_plan"]["channels"]  # type: ignore[index]

    uploaded = _run(upload, served)
    path = str(uploaded["path"])
    assert Path(path).read_bytes() == (REPOSITORY / "data" / "sales.csv").read_bytes()

    accepted = _run(eda.replace("/path/to/uploaded/file.csv", path), served)
    ended = _ended(served, str(accepted["workflow_id"]))
    assert ended["status"] == "succeeded", ended["error"]
    mff = Path(ended["result"]["mff_data_path"])  # type: ignore[index]
    assert mff.read_text().startswith("Period,Geography,Product,Campaign,Outlet,Creative,")

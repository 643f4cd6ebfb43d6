"""What a suspended process held is deleted by another: nothing of it comes back when it wakes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import RunBusy

from .workers import NEEDS_PROC, REPOSITORY, ask, stop_between_writes, until

pytestmark = [NEEDS_PROC, pytest.mark.slow]
MARK = "zqmarker"
FILES = ("runs.db", "checkpoints.db")
# Executes a run and stands still at one event, with the next checkpoint still to be written.
EXECUTE = """
import asyncio, json, sys
from mmm_workflows.errors import MMMError
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import open_runner

async def main():
    async def on_event(event):
        if event.message == "Run quality checks: done":
            print("there", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    async with open_runner() as runner:
        try:
            request = read_request("eda", json.loads(sys.argv[1]))
            await runner.start("eda", request, workflow_id="held", project="p", on_event=on_event)
        except MMMError as error:
            print(error.code, flush=True)

asyncio.run(main())
"""


def test_checkpoints_of_a_run_that_was_deleted_meanwhile_do_not_come_back(
    own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_S", "2")
    here = Settings(_env_file=None)
    data = tmp_path / f"{MARK}.csv"
    shutil.copy(REPOSITORY / "data" / "sales.csv", data)
    asked = {
        "data_sources": [str(data)],
        "target_variable": "Sales",
        "media_channels": ["TV_Spend", "Digital_Spend"],
    }
    with subprocess.Popen(
        [sys.executable, "-c", EXECUTE, json.dumps(asked)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "there\n"
            stop_between_writes(child, *(own_environment / name for name in FILES))
            until(lambda: _is_deleted(here))
            assert found_in(own_environment) == []
            child.send_signal(signal.SIGCONT)
            said, _ = child.communicate("go on\n", timeout=300)
        finally:
            child.kill()
    assert said.strip() in ("run_lost", "run_not_found")
    assert found_in(own_environment) == []


def _is_deleted(settings: Settings) -> bool:
    """Whether the run could be deleted: not while the lease of its holder lasts."""
    try:
        ask(settings, lambda runner: runner.delete("held"))
    except RunBusy:
        return False
    return True


def found_in(home: Path) -> list[str]:
    """The files that hold the name of the data."""
    files = [file for file in home.rglob("*") if file.is_file()]
    return [str(file) for file in files if MARK.encode() in file.read_bytes()]

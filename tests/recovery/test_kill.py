"""A run that dies while it samples goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.records import Event
from mmm_workflows.workflows.runner import open_runner

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
CLI = [sys.executable, "-c", "from mmm_workflows.cli import main; main()"]
RUN = [
    "run",
    "What if we increase TV spend by 20%?",
    *("--data", "data/sales.csv", "--target", "Sales", "--channels", "TV_Spend,Digital_Spend"),
    *("--workflow-id", "k1", "--depth", "quick", "--json"),
]


async def _events(settings: Settings, workflow_id: str) -> list[Event]:
    async with open_runner(settings) as runner:
        if not await runner.services.runs.exists(workflow_id):
            return []
        return await runner.services.runs.events(workflow_id)


def _wait_for_sampling(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        events = asyncio.run(_events(settings, "k1.modeling"))
        if any(sum((e.data or {}).get("draws_done", [])) > 0 for e in events):
            return
        assert process.poll() is None, "the run ended before it sampled"
        time.sleep(0.2)
    pytest.fail("no draw within 300 s")


def _fit_processes(models: Path) -> list[int]:
    """Those that fit into this folder: another run may fit beside the test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        is_fit = b"mmm_workflows.fit_process" in command and str(models).encode() in command
        if is_fit and state != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_run_resumes_after_its_process_group_is_killed_during_sampling(settings: Settings) -> None:
    process = subprocess.Popen(
        [*CLI, *RUN], cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for_sampling(settings, process)
        assert _fit_processes(settings.models), "the fit that is to be killed is not seen"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(1)
    assert _fit_processes(settings.models) == [], "the fit outlived its parent"

    killed = {
        part: asyncio.run(_events(settings, f"k1.{part}"))
        for part in ("research", "eda", "modeling")
    }
    assert killed["eda"][-1].status == "succeeded"
    assert killed["modeling"][-1].status == "running"

    done = subprocess.run(
        [*CLI, "resume", "k1", "--json"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "succeeded"
    assert result["modeling"]["reused"] is False
    assert result["whatif"]["scenario_results"]

    for part in ("research", "eda"):
        assert asyncio.run(_events(settings, f"k1.{part}")) == killed[part], f"{part} was repeated"
    after = asyncio.run(_events(settings, "k1.modeling"))
    again = after[len(killed["modeling"]) :]
    assert "fit" in {e.step for e in again}
    started_again = {e.step for e in again if e.message in ("Initialize and configure",
                                                           "Generate model configuration")}  # fmt: skip
    assert started_again == set()
    assert [e.seq for e in after] == list(range(1, len(after) + 1))

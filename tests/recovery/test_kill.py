"""A run that dies while it samples goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.records import Event
from mmm_workflows.workflows.runner import open_runner

from .workers import CLI, NEEDS_PROC, REPOSITORY, fit_processes, until

pytestmark = pytest.mark.slow
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


@NEEDS_PROC
def test_run_resumes_after_its_process_group_is_killed_during_sampling(settings: Settings) -> None:
    process = subprocess.Popen(
        [*CLI, *RUN], cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for_sampling(settings, process)
        assert fit_processes(settings.models), "the fit that is to be killed is not seen"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # It ends by itself once it sees that its parent is gone.
    until(lambda: fit_processes(settings.models) == [], within_s=60)

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

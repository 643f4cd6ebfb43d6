"""The whole job over REST: upload, fit, cancel in the middle, resume, ask the model again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from recovery.workers import NEEDS_PROC, fit_processes

pytestmark = pytest.mark.slow
WITHIN_S = 600
SALES = Path(__file__).parents[2] / "data" / "sales.csv"


def _until(client: httpx.Client, workflow_id: str, reached: Callable[[dict], bool]) -> dict:
    deadline = time.monotonic() + WITHIN_S
    while not reached(run := dict(client.get(f"/workflow/{workflow_id}").json())):
        assert time.monotonic() < deadline, f"{workflow_id} is still {run}"
        time.sleep(0.1)
    return run


def _stopped(run: dict) -> bool:
    return run["status"] not in ("queued", "running")


def _sampling(client: httpx.Client) -> Callable[[dict], bool]:
    def reached(run: dict) -> bool:
        events = client.get("/workflow/p1/events").json()["events"]
        assert not _stopped(run), run
        return any(sum((e["data"] or {}).get("draws_done", [])) > 0 for e in events)

    return reached


@pytest.mark.timeout(1800)
@NEEDS_PROC
def test_a_cancelled_fit_leaves_no_process_and_its_run_goes_on_when_resumed(served: str) -> None:
    with httpx.Client(base_url=f"http://{served}", timeout=120) as client:
        uploaded = client.post("/upload", files={"file": ("sales.csv", SALES.read_bytes())}).json()
        body = {
            "workflow_id": "p1",
            "query": "Build MMM for CPG brand",
            "user_query": "What if we increase TV spend by 20%?",
            "data_sources": [uploaded["path"]],
            "target_variable": "Sales",
            "media_channels": ["TV_Spend", "Digital_Spend"],
            "depth": "quick",
        }
        # The folder of uploads lies beside that of models.
        models = Path(uploaded["path"]).parents[4] / "models"
        assert client.post("/pipeline/start", json=body).status_code == 202
        _until(client, "p1", _sampling(client))
        assert len(fit_processes(models)) == 1
        assert client.post("/workflow/p1/resume").json()["code"] == "run_busy"

        assert client.post("/workflow/p1/cancel").status_code == 202
        assert _until(client, "p1", _stopped)["status"] == "cancelled"
        assert client.get("/workflow/p1.modeling").json()["status"] == "cancelled"
        assert fit_processes(models) == []

        assert client.post("/workflow/p1/resume").status_code == 202
        run = _until(client, "p1", _stopped)
        assert run["status"] == "succeeded", run["error"]
        eda = client.get("/workflow/p1.eda/events").json()["events"]
        assert [e["status"] for e in eda].count("succeeded") == 1, "a finished step ran again"
        result = run["result"]

        asked = {
            "workflow_id": "w1",
            "model_artifact_path": result["modeling"]["model_artifact_path"],
            "mff_data_path": result["eda"]["mff_data_path"],
            "user_query": "move 50k from TV to Digital",
        }
        assert client.post("/whatif/start", json=asked).status_code == 202
        answer = _until(client, "w1", _stopped)
        assert answer["status"] == "succeeded", answer["error"]
        scenario = answer["result"]["scenario_results"][0]
        moved = scenario["reference_totals"]["TV_Spend"] - scenario["totals"]["TV_Spend"]
        assert moved == pytest.approx(50_000)
        assert json.dumps(answer, allow_nan=False)

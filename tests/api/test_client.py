"""A client that openapi-python-client makes from the description starts a run and reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mmm_workflows.api.main import create_app

USE = """
import sys, time
from made import AuthenticatedClient
from made.api.runs import get_run, list_runs
from made.api.workflows import start_research
from made.models import Accepted, Problem, RunShown, StartResearch

with AuthenticatedClient(base_url=sys.argv[1], token="not-asked-for") as client:
    accepted = start_research.sync(client=client, body=StartResearch(query="Build MMM for shoes"))
    assert isinstance(accepted, Accepted), accepted
    while True:
        run = get_run.sync(accepted.workflow_id, client=client)
        assert isinstance(run, RunShown), run
        if run.status not in ("queued", "running"):
            break
        time.sleep(0.1)
    assert run.status == "succeeded", run
    assert run.result["research_plan"]["channels"]
    page = list_runs.sync(client=client)
    assert accepted.workflow_id in [shown.workflow_id for shown in page.runs]
    unknown = get_run.sync("none", client=client)
    assert isinstance(unknown, Problem) and unknown.code == "run_not_found", unknown
print("read")
"""


def test_a_generated_client_starts_a_run_and_reads_it(served: str, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(create_app().openapi()), encoding="utf-8")
    # Its own hooks would format what nobody reads.
    (tmp_path / "settings.yml").write_text("post_hooks: []\n", encoding="utf-8")
    tool = Path(sys.executable).with_name("openapi-python-client")
    made = subprocess.run(
        [
            str(tool), "generate", "--path", "openapi.json", "--config", "settings.yml",
            "--output-path", "made", "--meta", "none", "--fail-on-warning",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    used = subprocess.run(
        [sys.executable, "-c", USE, f"http://{served}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert used.stdout == "read\n", used.stderr

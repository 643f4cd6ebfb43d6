"""The README's example of track, as it stands there: a fit, and what came a quarter later."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
TRUTH = json.loads((REPOSITORY / "examples" / "data" / "weekly_sample.truth.json").read_text())
BLOCK = re.compile(
    r"```bash\n(head .*?)```\n<!-- run by: tests/workflows/test_readme_track.py -->", re.S
)


def _run(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_last_quarter_of_the_sample_scores_the_forecast_and_the_plan(tmp_path: Path) -> None:
    found = BLOCK.search((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    said = " ".join(_run(found.group(1), tmp_path).split())
    assert "13 weeks lie in their 94 % interval" in said
    assert "13 of 13 weeks of the scenario" in said

    last = found.group(1).splitlines()[-1]
    result = json.loads(_run(f"{last} --json", tmp_path))
    scores = result["scores"]
    assert scores["window"] == {"start": "2025-09-29", "end": "2025-12-22"}
    # The world is the one that the model assumes, so that most of its weeks must lie inside.
    assert scores["coverage_94"]["inside"] >= 10
    noise = scores["skill"]["mae"] / (TRUTH["noise_sd"] * (2 / 3.14159) ** 0.5)
    assert noise < 2, "misses are more than twice what the noise alone would give"
    assert scores["bias"]["verdict"] != "too_few"
    assert {p["kind"] for p in result["plans"]["scored"]} == {"scenario", "allocation"}
    answer = json.loads(_run(
        f'mmm-workflows whatif "Double TV" --model {result["model_artifact_path"]} '
        f'--mff {_mff(result, tmp_path)} --project tracked --json', tmp_path,
    ))  # fmt: skip
    (scored,) = answer["track_record"]["forecasts"]
    assert scored["workflow_id"] == result["workflow_id"]
    assert f"{scores['coverage_94']['inside']} of 13 inside" in answer["summary"]


def _mff(result: dict, folder: Path) -> str:
    """The MFF of the fit, as the run of EDA names it."""
    listed = json.loads(_run("mmm-workflows list --project tracked --json", folder))
    runs = listed["runs"] if isinstance(listed, dict) else listed
    (eda,) = [r["workflow_id"] for r in runs if r["workflow"] == "eda"]
    mff: str = json.loads(_run(f"mmm-workflows resume {eda} --json", folder))["mff_data_path"]
    return mff

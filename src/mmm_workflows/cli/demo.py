"""The main job on the sample data that the package makes: always fitted afresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mmm_workflows.cli.session import screen
from mmm_workflows.cli.show import show_result
from mmm_workflows.errors import FitFailed, RunError
from mmm_workflows.records import Event, Json

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

PROJECT: Final = "demo"
QUERY: Final = "Build MMM for a CPG brand with 3 years of weekly data"
USER_QUERY: Final = "What if we increase TV spend by 20%?"


async def run_demo(runner: Runner, on_event: Callable[[Event], None]) -> Json:
    """Forget the demo of before, then run all four workflows on a fresh copy of the sample.

    Raises:
        FitFailed: The model was not fitted in this run.
    """
    from mmm_workflows.workflows.front import read_request

    try:
        await runner.delete_project(PROJECT)
    except RunError as error:
        if error.code != "run_not_found":
            raise
    sample = await asyncio.to_thread(_write_sample, runner.services.uploads.root / PROJECT)
    request = read_request(
        "pipeline",
        {
            "query": QUERY,
            "user_query": USER_QUERY,
            "data_sources": [str(sample)],
            "target_variable": "Revenue",
            "currency": "EUR",
        },
    )
    result = await runner.start("pipeline", request, project=PROJECT, on_event=on_event)
    if result["modeling"]["reused"]:
        raise FitFailed("The demo found a model instead of fitting one; its project was not empty.")
    return result


def _write_sample(folder: Path) -> Path:
    from mmm_workflows.mmm.synthetic import make_world
    from mmm_workflows.mmm.worlds import SAMPLE_SEED, WEEKLY_SAMPLE

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weekly_sample.csv"
    path.write_bytes(make_world(WEEKLY_SAMPLE, SAMPLE_SEED).csv())
    return path


def show_demo(result: Json) -> None:
    """The four results, and where they lie."""
    show_result(result)
    screen.rule("Where it is", align="left")
    for name, path in (
        ("cleaned data (MFF)", result["eda"]["mff_data_path"]),
        ("model", result["modeling"]["model_artifact_path"]),
        *((a["kind"], a["path"]) for a in result["artifacts"] if a["kind"] == "pipeline_result"),
    ):
        screen.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
    screen.print(
        f"run: {result['workflow_id']} in project {PROJECT!r}", markup=False, highlight=False
    )

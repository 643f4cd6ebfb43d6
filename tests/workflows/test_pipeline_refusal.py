"""A pipeline whose question cannot be answered ends with its model and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_whatif import Fitted, make_model

from mmm_workflows.cli.session import screen
from mmm_workflows.cli.show import show_result
from mmm_workflows.config import Settings
from mmm_workflows.records import Json, Run, RunStatus
from mmm_workflows.workflows.contracts import (
    EdaRequest,
    ModelingRequest,
    Request,
    ResearchRequest,
    Result,
)
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

PLAN: Json = {"objective": "sell"}
SOURCES = ("sales.csv",)
OUT_OF_REACH = "What is the best split of 900 million EUR over the next 13 weeks?"


@dataclass(frozen=True)
class Ready:
    """A runner, and the model that its pipeline has come to."""

    runner: Runner
    fitted: Fitted


@pytest.fixture
async def ready(settings: Settings, tmp_path: Path) -> AsyncIterator[Ready]:
    async with open_runner(settings) as runner:
        yield Ready(runner, make_model(tmp_path))


async def done(runner: Runner, workflow: str, request: Request, body: Json) -> None:
    """A part that is finished, so that the pipeline takes its result and goes on."""
    name = f"all.{workflow}"
    run = Run(
        workflow_id=name, workflow=workflow, seed=42, graph_version="made",
        request=request.model_dump(mode="json"),
    )  # fmt: skip
    result = Result(workflow_id=name, status=RunStatus.SUCCEEDED, depth=run.depth, seed=42)
    await runner.services.runs.create(run)
    await runner.services.runs.update(
        name, status=RunStatus.SUCCEEDED, result={**result.model_dump(mode="json"), **body}
    )


async def pipeline(ready: Ready, question: str) -> Json:
    """All four, of which What-If alone is left to do."""
    runner, mff, model = ready.runner, str(ready.fitted.mff), str(ready.fitted.model)
    await done(runner, "research", ResearchRequest(query="sell"), {"research_plan": PLAN})
    eda = EdaRequest(data_sources=SOURCES, research_plan=PLAN)
    await done(runner, "eda", eda, {"mff_data_path": mff})
    modeling = ModelingRequest(mff_data_path=mff, research_plan=PLAN)
    await done(runner, "modeling", modeling, {"model_artifact_path": model})
    asked = {"query": "sell", "user_query": question, "data_sources": SOURCES}
    return await runner.start("pipeline", read_request("pipeline", asked), workflow_id="all")


def is_refused(result: Json, ready: Ready) -> None:
    assert result["status"] == "succeeded"
    assert result["modeling"]["model_artifact_path"] == str(ready.fitted.model)
    whatif = result["whatif"]
    assert (whatif["status"], whatif["error"]["code"]) == ("failed", "query_out_of_reach")
    assert "cannot be placed" in whatif["error"]["message"]
    (decision,) = (d for d in result["decisions"] if d["question"] == "Is the what-if answered?")
    assert (decision["choice"], decision["reason"]) == ("no", whatif["error"]["message"])


async def test_a_budget_out_of_reach_does_not_cost_the_pipeline_its_model(ready: Ready) -> None:
    result = await pipeline(ready, OUT_OF_REACH)
    is_refused(result, ready)
    assert (await ready.runner.get("all.whatif")).status is RunStatus.FAILED
    kept = await ready.runner.services.runs.decisions("all")
    assert "Is the what-if answered?" in [d.question for d in kept]
    with screen.capture() as shown:
        show_result({"whatif": result["whatif"]})
    said = " ".join(shown.get().split())
    assert "Refused: A budget of" in said and "(query_out_of_reach)" in said


async def test_an_answer_to_what_it_asked_back_may_be_out_of_reach_too(ready: Ready) -> None:
    waiting = await pipeline(ready, "Increase it")
    assert waiting["status"] == "waiting"
    is_refused(await ready.runner.decide("all", OUT_OF_REACH), ready)


async def test_a_question_within_reach_is_answered(ready: Ready) -> None:
    result = await pipeline(ready, "Increase TV by 20%")
    assert result["whatif"]["status"] == "succeeded" and result["whatif"]["scenario_results"]

"""With ``start_from: rules`` no choice of an earlier run reaches a later one, which says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmm_workflows.cli.app import app
from mmm_workflows.config import Settings
from mmm_workflows.errors import SpecError, UserError
from mmm_workflows.records import Decision, Json
from mmm_workflows.workflows.batch import Batch, Brand, run_batch
from mmm_workflows.workflows.contracts import StartsFrom
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.registry import WORKFLOWS
from mmm_workflows.workflows.runner import Runner, open_runner
from mmm_workflows.workflows.steps.starting import BY_RULES

SALES = str(Path(__file__).parents[2] / "data" / "sales.csv")
RULES: Json = {"start_from": "rules"}
QUESTION = "Is anything taken over from earlier runs of this project?"
# Refused before anything is fitted.
UNKNOWN: Json = {"no_such_choice": 1}


async def start(runner: Runner, workflow: str, name: str, asked: Json, **more: Any) -> Json:
    request = read_request(workflow, {**asked, **more})
    return await runner.start(workflow, request, workflow_id=name)


async def decide_otherwise(runner: Runner) -> None:
    """Earlier runs whose choices no rule would make."""
    await start(runner, "research", "plan", {"query": "How does radio drive leads in France?"})
    told = {"target_variable": "Sales", "media_channels": ["Digital_Spend"]}
    await start(
        runner, "eda", "data", {"data_sources": [SALES]}, **told, control_variables=["TV_Spend"]
    )


def role_of_tv(result: Json) -> str:
    return next(str(v["role"]) for v in result["dataset"]["variables"] if v["name"] == "TV_Spend")


def says_so(decisions: Iterable[Decision | Json]) -> bool:
    told = [Decision.model_validate(decision) for decision in decisions]
    return [d.choice for d in told if d.question == QUESTION] == ["no"]


async def test_research_plans_anew_and_says_so(settings: Settings) -> None:
    asked = {"query": "What should we do next?"}
    async with open_runner(settings) as runner:
        await decide_otherwise(runner)
        later = await start(runner, "research", "later", asked)
        anew = await start(runner, "research", "anew", asked, **RULES)
    plan = later["research_plan"]
    assert (plan["target_variable"], plan["geography"]) == ("Leads", "France")
    carried = {d["question"]: d for d in later["decisions"]}
    place = carried["Which country or region is the plan for?"]
    assert place["choice"] == "France" and "an earlier run" in place["reason"]
    assert later["earlier_runs"] == ["plan"] and not says_so(later["decisions"])
    assert (anew["research_plan"]["target_variable"], anew["research_plan"]["geography"]) == (
        "Revenue", None,
    )  # fmt: skip
    assert anew["earlier_runs"] == [] and says_so(anew["decisions"])
    assert anew["synthesis"].startswith(BY_RULES)


async def test_research_by_rules_does_not_plan_from_the_data_that_was_read(
    settings: Settings,
) -> None:
    asked = {"query": "What should we do next?", "target_variable": "Sales"}
    async with open_runner(settings) as runner:
        await decide_otherwise(runner)
        later = await start(runner, "research", "later", asked)
        anew = await start(runner, "research", "anew", asked, **RULES)
    drivers = [[c["name"] for c in r["research_plan"]["controls"]] for r in (later, anew)]
    assert "TV_Spend" in drivers[0] and "TV_Spend" not in drivers[1]


async def test_eda_treats_data_anew_and_says_so(settings: Settings) -> None:
    asked = {"data_sources": [SALES], "target_variable": "Sales"}
    async with open_runner(settings) as runner:
        await decide_otherwise(runner)
        later = await start(runner, "eda", "later", asked)
        anew = await start(runner, "eda", "anew", asked, **RULES)
    assert role_of_tv(later) == "control" and later["earlier"]["workflow_id"] == "data"
    assert role_of_tv(anew) == "channel" and anew["earlier"] is None
    assert says_so(anew["decisions"]) and not says_so(later["decisions"])
    assert anew["quality_report"]["summary"].startswith(BY_RULES)


@pytest.mark.parametrize(("more", "tv"), [({}, "control"), (RULES, "channel")])
async def test_the_pipeline_hands_it_to_all_of_its_parts(
    settings: Settings, more: Json, tv: str
) -> None:
    asked = {
        "query": "What should we do next?", "user_query": "What if TV_Spend rises by 20%?",
        "data_sources": [SALES], "feature_transformations": UNKNOWN,
    }  # fmt: skip
    async with open_runner(settings) as runner:
        await decide_otherwise(runner)
        with pytest.raises(SpecError):
            await start(runner, "pipeline", "all", asked, **more)
        told = [says_so(await runner.services.runs.decisions(f"all.{part}")) for part in PARTS]
        data = (await runner.get("all.eda")).result
    assert told == [bool(more)] * len(PARTS)
    assert data is not None and role_of_tv(data) == tv


PARTS = ("research", "eda", "modeling")


@pytest.mark.parametrize(("more", "tv"), [({}, "control"), (RULES, "channel")])
async def test_a_batch_hands_it_to_every_brand(settings: Settings, more: Json, tv: str) -> None:
    brand = Brand(brand="a", project="default", data=[SALES], transformations=UNKNOWN)
    batch = Batch(name="spring", brands=[brand], **more)
    async with open_runner(settings) as runner:
        await decide_otherwise(runner)
        (row,) = (await run_batch(runner, batch, at_once=1, on_event=lambda _: None)).rows
        told = [says_so(await runner.services.runs.decisions(name)) for name in row.workflow_ids]
        data = (await runner.get(row.workflow_ids[0])).result
    assert told == [bool(more)] * 2
    assert data is not None and role_of_tv(data) == tv


@pytest.mark.parametrize("command", ["run", "research", "eda", "fit"])
def test_every_command_that_takes_choices_over_has_the_option(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "--start-from" in said.stdout


def test_the_requests_of_all_doors_have_it_where_choices_are_taken_over() -> None:
    """REST makes the body of each start from these requests."""
    taking = {name for name, entry in WORKFLOWS.items() if issubclass(entry.request, StartsFrom)}
    assert taking == {"research", "eda", "modeling", "pipeline"}
    for name in taking:
        with pytest.raises(UserError, match="start_from"):
            read_request(name, {"start_from": "nothing"})

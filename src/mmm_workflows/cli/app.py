"""The commands; each reads its arguments, hands them to the runner and shows the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmm_workflows.cli import audit, memory
from mmm_workflows.cli.options import (
    AsJson,
    Channels,
    Controls,
    Currency,
    DateColumn,
    DepthName,
    DepthOption,
    GeoColumn,
    Margin,
    Project,
    Seed,
    StartFrom,
    StartName,
    Target,
    TargetUnit,
    WorkflowId,
    names,
)
from mmm_workflows.cli.session import guarded, print_json, run_command, screen
from mmm_workflows.errors import UserError
from mmm_workflows.records import DEFAULT_PROJECT, Event, Json

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

DEFAULT_SEED = 42

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a question and a messy file to a defended marketing budget.",
)
app.add_typer(audit.app, name="audit")
app.add_typer(memory.app, name="memory")


def _show(result: Json) -> None:
    from mmm_workflows.cli.show import show_result

    show_result(result)


def _start(
    workflow: str,
    arguments: Callable[[], Json],
    *,
    workflow_id: str | None,
    project: str,
    seed: int,
    depth: DepthName,
    as_json: bool,
    show: Callable[[Json], None] = _show,
) -> None:
    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        from mmm_workflows.records import Depth
        from mmm_workflows.workflows.front import read_request

        return await runner.start(
            workflow,
            read_request(workflow, arguments()),
            workflow_id=workflow_id,
            project=project,
            seed=seed,
            depth=Depth(depth),
            on_event=on_event,
        )

    run_command(work, as_json=as_json, show=show)


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Run the main job on the sample data, fitted afresh, and say where the results are."""
    from mmm_workflows.cli.demo import run_demo, show_demo

    run_command(run_demo, as_json=as_json, show=show_demo)


@app.command()
def run(
    question: Annotated[str, typer.Argument(help="what-if or budget question in plain words")],
    data: Annotated[list[Path], typer.Option(help="CSV file; may be given several times")],
    goal: Annotated[str | None, typer.Option(help="objective for Research")] = None,
    target: Target = None,
    channels: Channels = None,
    controls: Controls = None,
    date: DateColumn = None,
    geo: GeoColumn = None,
    target_unit: TargetUnit = None,
    currency: Currency = None,
    margin: Margin = None,
    start_from: StartFrom = StartName.EARLIER,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    depth: DepthOption = DepthName.STANDARD,
    as_json: AsJson = False,
) -> None:
    """All four workflows: plan, data, model, answer."""
    _start(
        "pipeline",
        lambda: {
            "query": goal or question,
            "user_query": question,
            "margin": margin,
            "start_from": start_from,
            **_data(data, target, channels, controls, date, geo, target_unit, currency),
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=depth, as_json=as_json,
    )  # fmt: skip


@app.command()
def research(
    query: Annotated[str, typer.Argument(help="what the model is for")],
    review: Annotated[bool, typer.Option(help="wait for your word before it ends")] = False,
    web: Annotated[bool | None, typer.Option(help="search the web; unset: WEB_SEARCH")] = None,
    replay: Annotated[
        Path | None, typer.Option(help="folder of recorded searches and pages to read instead")
    ] = None,
    start_from: StartFrom = StartName.EARLIER,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    depth: DepthOption = DepthName.STANDARD,
    as_json: AsJson = False,
) -> None:
    """A plan for the data."""
    _start(
        "research",
        lambda: {
            "query": query,
            "review": review,
            "web_search": None if web is None else ("on" if web else "off"),
            "replay": None if replay is None else str(replay.absolute()),
            "start_from": start_from,
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=depth, as_json=as_json,
    )  # fmt: skip


@app.command()
def eda(
    data: Annotated[list[Path], typer.Argument(help="CSV files")],
    target: Target = None,
    channels: Channels = None,
    controls: Controls = None,
    date: DateColumn = None,
    geo: GeoColumn = None,
    target_unit: TargetUnit = None,
    currency: Currency = None,
    start_from: StartFrom = StartName.EARLIER,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    depth: DepthOption = DepthName.STANDARD,
    as_json: AsJson = False,
) -> None:
    """Check files and turn them into MFF."""
    _start(
        "eda",
        lambda: {
            "start_from": start_from,
            **_data(data, target, channels, controls, date, geo, target_unit, currency),
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=depth, as_json=as_json,
    )  # fmt: skip


@app.command()
def fit(
    mff: Annotated[Path, typer.Argument(help="MFF table that EDA wrote")],
    plan: Annotated[Path | None, typer.Option(help="research plan, a JSON file")] = None,
    transformations: Annotated[Path | None, typer.Option(help="a JSON file")] = None,
    margin: Margin = None,
    start_from: StartFrom = StartName.EARLIER,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    depth: DepthOption = DepthName.STANDARD,
    as_json: AsJson = False,
) -> None:
    """Fit the Bayesian model."""
    _start(
        "modeling",
        lambda: {
            "mff_data_path": str(mff.absolute()),
            "research_plan": _json_file(plan),
            "feature_transformations": _json_file(transformations),
            "margin": margin,
            "start_from": start_from,
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=depth, as_json=as_json,
    )  # fmt: skip


@app.command()
def batch(
    file: Annotated[Path, typer.Argument(help="YAML file of brands or markets")],
    at_once: Annotated[int, typer.Option(min=1, help="brands worked on at the same time")] = 2,
    as_json: AsJson = False,
) -> None:
    """Fit many brands and print one table; a second call goes on where it stopped."""
    from mmm_workflows.cli.batch import fit_all

    fit_all(file, at_once=at_once, as_json=as_json)


@app.command()
def whatif(
    question: Annotated[str, typer.Argument(help="scenario or budget question in plain words")],
    model: Annotated[Path, typer.Option(help="model folder")],
    mff: Annotated[Path, typer.Option(help="MFF table the model was fitted on")],
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    depth: DepthOption = DepthName.STANDARD,
    as_json: AsJson = False,
) -> None:
    """Answer a what-if question on a fitted model."""
    _start(
        "whatif",
        lambda: {
            "user_query": question,
            "model_artifact_path": str(model.absolute()),
            "mff_data_path": str(mff.absolute()),
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=depth, as_json=as_json,
    )  # fmt: skip


@app.command()
def track(
    actuals: Annotated[Path, typer.Option(help="newer version of the data: a CSV file or MFF")],
    model: Annotated[
        Path | None,
        typer.Option("--model-artifact-path", help="model folder; unset: the project's newest"),
    ] = None,
    date: DateColumn = None,
    geo: GeoColumn = None,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """Score forecasts and plans against what really came."""
    _start(
        "track",
        lambda: {
            "actuals": str(actuals.absolute()),
            "model_artifact_path": None if model is None else str(model.absolute()),
            "date_column": date,
            "geography_column": geo,
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=DepthName.STANDARD,
        as_json=as_json,
    )  # fmt: skip


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="question to the data in plain words")],
    mff: Annotated[Path, typer.Option(help="MFF table that EDA wrote")],
    code: Annotated[
        Path | None, typer.Option(help="your own program, run in place of the coding model's")
    ] = None,
    workflow_id: WorkflowId = None,
    project: Project = DEFAULT_PROJECT,
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """Answer a question by a program that runs on the data in a sandbox."""
    _start(
        "ask",
        lambda: {
            "question": question,
            "mff_data_path": str(mff.absolute()),
            "code": None if code is None else _text_file(code),
        },
        workflow_id=workflow_id, project=project, seed=seed, depth=DepthName.STANDARD,
        as_json=as_json,
    )  # fmt: skip


@app.command()
def copy_table(
    connection: Annotated[str, typer.Argument(help="name of a database in DATA_CONNECTIONS")],
    table: Annotated[str, typer.Argument(help="table or view, as TABLE or SCHEMA.TABLE")],
    project: Project = DEFAULT_PROJECT,
    as_json: AsJson = False,
) -> None:
    """Copy a table of a database as it is now to a CSV file, which --data takes."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        kept = await runner.uploads.copy_table(connection, table, project=project)
        return kept.model_dump(mode="json")

    def show(kept: Json) -> None:
        screen.print(kept["path"], markup=False, highlight=False, soft_wrap=True)

    run_command(work, as_json=as_json, show=show)


@app.command()
def resume(workflow_id: str, as_json: AsJson = False) -> None:
    """Go on with a run where it stopped."""
    run_command(
        lambda runner, on_event: runner.resume(workflow_id, on_event=on_event),
        as_json=as_json,
        show=_show,
    )


@app.command()
def decide(workflow_id: str, answer: str, as_json: AsJson = False) -> None:
    """Answer the question that a run waits with."""
    run_command(
        lambda runner, on_event: runner.decide(workflow_id, answer, on_event=on_event),
        as_json=as_json,
        show=_show,
    )


@app.command()
def watch(
    workflow_id: str,
    after: Annotated[int, typer.Option(help="events from after this number")] = 0,
    as_json: AsJson = False,
) -> None:
    """Follow the events of a run, from any terminal."""
    from mmm_workflows.cli.follow import follow

    guarded(lambda: asyncio.run(follow(workflow_id, after=after, as_json=as_json)), as_json=as_json)


@app.command(name="list")
def list_runs(
    project: Annotated[str | None, typer.Option(help="only of this project")] = None,
    limit: Annotated[int, typer.Option(min=1, help="the latest so many")] = 20,
    as_json: AsJson = False,
) -> None:
    """The runs there are, the latest first."""
    from mmm_workflows.cli.follow import list_runs as listed

    guarded(lambda: asyncio.run(listed(project, limit, as_json=as_json)), as_json=as_json)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="a run or a project")], as_json: AsJson = False
) -> None:
    """Remove a run, or a project with all its runs, data and models."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        from mmm_workflows.cli.follow import delete_named

        return await delete_named(runner, name)

    def show(done: Json) -> None:
        screen.print(f"{done['deleted']} runs of {name} removed")
        if done["memory_delayed"] is not None:
            screen.print(f"memory delayed: {done['memory_delayed']}", markup=False)

    run_command(work, as_json=as_json, show=show)


@app.command(name="init-db")
def init_db(as_json: AsJson = False) -> None:
    """Make or migrate every store that is set; safe to repeat."""
    from mmm_workflows.workflows.runner import prepare

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        stores = await prepare(lambda name, place: None)
        return {"database": runner.services.database, "stores": stores, "ready": True}

    def show(result: Json) -> None:
        for name, place in result["stores"].items():
            screen.print(f"ready: {name}: {place}", markup=False, highlight=False, soft_wrap=True)

    run_command(work, as_json=as_json, show=show)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="address; beyond this machine with API_KEYS")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of the address")] = 8000,
) -> None:
    """Serve REST and WebSocket; /docs lists them."""
    from mmm_workflows.cli.serve import refuse_missing_collector, refuse_open_door
    from mmm_workflows.cli.serve import serve as serve_on

    guarded(lambda: refuse_open_door(host), as_json=False)
    guarded(refuse_missing_collector, as_json=False)
    serve_on(host, port)


@app.command()
def new_key(
    name: Annotated[str, typer.Argument(help="whose key it is")],
    project: Annotated[
        list[str] | None, typer.Option(help="opens this project alone; may be given several times")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for the API, shown once; API_KEYS holds its hash."""
    from mmm_workflows.cli.serve import new_key as make

    made = guarded(lambda: make(name, project or []), as_json=as_json)
    if as_json:
        print_json(made)
    else:
        screen.print(f"key, shown once: {made['key']}", markup=False, highlight=False)
        screen.print(f"for API_KEYS:    {made['entry']}", markup=False, soft_wrap=True)


@app.command()
def worker(
    at_once: Annotated[int, typer.Option(min=1, help="runs at a time")] = 2,
) -> None:
    """Work on the runs that the API has queued, beside it or on another machine."""
    from mmm_workflows.cli.worker import work

    guarded(lambda: asyncio.run(work(at_once)), as_json=False)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Versions, folders and settings of this installation; secrets are masked."""
    from mmm_workflows.cli.doctor import examine, show_report

    report = guarded(examine, as_json=as_json)
    if as_json:
        print_json(report)
    else:
        show_report(report)


def _data(
    data: list[Path],
    target: str | None,
    channels: str | None,
    controls: str | None,
    date: str | None,
    geo: str | None,
    target_unit: str | None,
    currency: str | None,
) -> Json:
    return {
        "data_sources": [str(path.absolute()) for path in data],
        "target_variable": target,
        "media_channels": names(channels),
        "control_variables": names(controls),
        "date_column": date,
        "geography_column": geo,
        "target_unit": target_unit,
        "currency": currency,
    }


def _text_file(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: {error}.") from error


def _json_file(path: Path | None) -> Json | None:
    if path is None:
        return None
    try:
        value: Json = json.loads(_text_file(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}; a JSON object was expected.")
    return value

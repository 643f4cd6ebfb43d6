"""What earlier runs left behind: searched, followed down to its sources, and exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmm_workflows.cli.options import AsJson, Project
from mmm_workflows.cli.session import run_command, screen
from mmm_workflows.records import DEFAULT_PROJECT, Event, Json

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

app = typer.Typer(no_args_is_help=True, help="What earlier runs left behind.")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="in plain words")],
    project: Project = DEFAULT_PROJECT,
    limit: Annotated[int, typer.Option(min=1, max=50, help="at most so many")] = 5,
    as_json: AsJson = False,
) -> None:
    """Passages of earlier runs that may answer, with where each was read."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        found = await runner.memory.recall(question, project=project, k=limit)
        return found.model_dump(mode="json")

    run_command(work, as_json=as_json, show=_show_recall)


@app.command()
def lineage(workflow_id: str, as_json: AsJson = False) -> None:
    """What a run rests on, down to files and pages."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        return {"workflow_id": workflow_id, "lines": await runner.memory.lineage(workflow_id)}

    run_command(work, as_json=as_json, show=lambda result: _say_all(result["lines"]))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="GraphML file to write")],
    project: Project = DEFAULT_PROJECT,
    as_json: AsJson = False,
) -> None:
    """The graph of a project for other tools."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        content = await runner.memory.export(project)
        file.write_bytes(content)
        return {"file": str(file), "size_bytes": len(content)}

    run_command(work, as_json=as_json, show=lambda result: _say_all([result["file"]]))


@app.command()
def repair(
    project: Project = DEFAULT_PROJECT,
    rebuild: Annotated[bool, typer.Option(help="make all vectors anew")] = False,
    as_json: AsJson = False,
) -> None:
    """Put right what one store lacks and another has."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        done = await runner.memory.repair(project, rebuild=rebuild)
        return done.model_dump(mode="json")

    def show(done: Json) -> None:
        _say_all([f"{done['indexed']} passages indexed, {done['dropped']} dropped"])

    run_command(work, as_json=as_json, show=show)


def _show_recall(recall: Json) -> None:
    for found in recall["found"]:
        passage = found["passage"]
        _say_all([f"{passage['kind']}: {passage['text']}"])
        ways = ", ".join(f"{part['way']} {part['rank']}" for part in found["parts"])
        _say_all([f"  run {passage['workflow_id']}, {passage['where']} (rank by {ways})"])
    if not recall["found"]:
        _say_all(["Nothing is known that may answer."])
    for way in recall["ways"]:
        if way["reason"] is not None:
            _say_all([f"  not used: {way['way']}: {way['reason']}"])


def _say_all(lines: list[str]) -> None:
    for line in lines:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)

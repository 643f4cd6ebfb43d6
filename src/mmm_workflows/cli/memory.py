"""What earlier runs left behind: searched, followed down to its sources, and exported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmm_workflows.cli.options import AsJson, Project
from mmm_workflows.cli.session import run_command, screen
from mmm_workflows.records import DEFAULT_PROJECT, Event, Json

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

DAYS = ["%Y-%m-%d"]
MOMENTS = [*DAYS, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]

app = typer.Typer(no_args_is_help=True, help="What earlier runs left behind.")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="in plain words")],
    project: Project = DEFAULT_PROJECT,
    limit: Annotated[int, typer.Option(min=1, max=50, help="at most so many")] = 5,
    at: Annotated[
        datetime | None,
        typer.Option(
            help="as known at the end of this day, or at this moment (UTC)", formats=MOMENTS
        ),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", help="what speaks of this day or later", formats=DAYS),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", help="what speaks of this day or earlier", formats=DAYS),
    ] = None,
    current: Annotated[bool, typer.Option(help="leave out what was superseded")] = False,
    as_json: AsJson = False,
) -> None:
    """Passages of earlier runs that may answer, where each was read, and what took its place."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        from mmm_workflows.mmm.knowledge import make_period

        about = make_period(first and first.date(), last and last.date())
        found = await runner.memory.recall(
            question, project=project, k=limit, at=_moment(at), about=about, current=current
        )
        return found.model_dump(mode="json")

    run_command(work, as_json=as_json, show=_show_recall)


@app.command()
def lineage(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="a number as RUN#/channels/0/roas/mean, a run, a kept file's path or sha256, a node",
        ),
    ],
    project: Project = DEFAULT_PROJECT,
    as_json: AsJson = False,
) -> None:
    """The whole chain from a number back to draws, spec, claims, cleaning steps and files."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        from mmm_workflows.mmm.chain import lines

        found = await runner.memory.lineage(asked, project=project)
        return {**found.model_dump(mode="json"), "lines": list(lines(found.chain))}

    run_command(work, as_json=as_json, show=_show_lineage)


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
        _say_all(
            [
                f"{done['indexed']} passages indexed, {done['dropped']} dropped, "
                f"{done['linked']} runs written again, {done['forgotten']} without a run forgotten"
            ]
        )
        _say_not_used(done["stores"])

    run_command(work, as_json=as_json, show=show)


@app.command()
def forgotten(as_json: AsJson = False) -> None:
    """Projects that were forgotten as a whole: when, and how many runs; nothing else is left."""

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        found = await runner.memory.forgotten()
        return {"projects": [entry.model_dump(mode="json") for entry in found]}

    def show(result: Json) -> None:
        for entry in result["projects"]:
            state = f"forgotten {entry['forgotten_at']}"
            if entry["forgotten_at"] is None:
                state = f"delayed: {entry['reason']}" if entry["reason"] else "queued"
            _say_all([f"{entry['project']}: {entry['runs']} runs, {state}"])

    run_command(work, as_json=as_json, show=show)


def _moment(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    whole_day = at.time() == time(0)
    return (at + timedelta(days=1, microseconds=-1) if whole_day else at).replace(tzinfo=UTC)


def _show_recall(recall: Json) -> None:
    for found in recall["found"]:
        passage = found["passage"]
        _say_all([f"{passage['kind']}: {passage['text']}"])
        ways = ", ".join(
            f"{part['share']:.4f} by {part['way']} (rank {part['rank']}, {part['own_score']:.3g})"
            for part in found["parts"]
        )
        _say_all([f"  score {found['score']:.4f} = {ways}"])
        day = passage["created_at"][:10]
        _say_all([f"  run {passage['workflow_id']} of {day}, {passage['where']}"])
        if (by := found["superseded"]) is not None:
            _say_all([f"  superseded on {by['at'][:10]} by {by['name']}: {by['evidence']}"])
        for edge in found["path"]:
            _say_all([f"  over {edge['kind']} on {edge['evidence']}"])
    if not recall["found"]:
        _say_all(["Nothing is known that may answer."])
    _say_not_used(recall["ways"])
    if recall["waiting"]:
        _say_all([f"  not in memory yet: {recall['waiting']} writes still wait"])


def _say_not_used(ways: list[Json]) -> None:
    _say_all([f"  not used: {way['way']}: {way['reason']}" for way in ways if way["reason"]])


def _show_lineage(result: Json) -> None:
    _say_all(result["lines"])
    if result["graph"] is not None:
        _say_all([f"What came later could not be asked: {result['graph']}"])


def _say_all(lines: list[str]) -> None:
    for line in lines:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)

"""One command's work: settings, progress bars, the answer on the screen and the exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmm_workflows.errors import MMMError, RunCancelled, UserError
from mmm_workflows.records import Event, Json, RunStatus

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner

FAILED, BAD_INPUT = 1, 2

screen = Console()
aside = Console(stderr=True)

type Work = Callable[[Runner, Callable[[Event], None]], Awaitable[Json]]


def run_command(work: Work, *, as_json: bool, show: Callable[[Json], None]) -> None:
    """Do the work under a progress bar, show its result, and exit with the code it deserves."""
    result = guarded(lambda: asyncio.run(_with_progress(work, quiet=as_json)), as_json=as_json)
    if result.get("status") == RunStatus.WAITING:
        raise typer.Exit(_ask_back(result, as_json=as_json))
    if as_json:
        print_json(result)
    else:
        show(result)


def guarded[T](work: Callable[[], T], *, as_json: bool) -> T:
    """Do the work; an error of ours becomes one sentence and an exit code, never a traceback."""
    try:
        return work()
    except MMMError as error:
        if as_json:
            print_json({"kind": "error", "code": error.code, "message": error.message})
        else:
            aside.print(f"[red]{error.code}[/red]  ", end="")
            aside.print(error.message, markup=False, highlight=False)
        is_input = isinstance(error, UserError) and not isinstance(error, RunCancelled)
        raise typer.Exit(BAD_INPUT if is_input else FAILED) from None
    except KeyboardInterrupt:
        aside.print("stopped; `mmm-workflows resume` goes on with the run")
        raise typer.Exit(FAILED) from None


def print_json(value: Json) -> None:
    """Write JSON to standard output, as it is read by programs."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


async def _with_progress(work: Work, *, quiet: bool) -> Json:
    from mmm_workflows.workflows.runner import open_runner

    async with open_runner() as runner:
        if quiet or not aside.is_terminal:
            return await work(runner, lambda event: None)
        with _bars() as bars:
            task = bars.add_task("starting", total=1.0)
            return await work(
                runner,
                lambda event: bars.update(
                    task, completed=event.progress, description=event.message[:70]
                ),
            )


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=aside,
        transient=True,
    )


def _ask_back(result: Json, *, as_json: bool) -> int:
    questions, workflow_id = result["questions"], result["workflow_id"]
    if as_json:
        print_json({"kind": "clarify", "questions": questions, "workflow_id": workflow_id})
        return BAD_INPUT
    for question in questions:
        screen.print(question, markup=False, highlight=False)
    screen.print(f'\nAnswer with: mmm-workflows decide {workflow_id} "..."', markup=False)
    return BAD_INPUT

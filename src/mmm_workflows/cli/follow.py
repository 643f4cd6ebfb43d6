"""Runs as they go, and the list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from mmm_workflows.cli.session import print_json, screen
from mmm_workflows.records import Json

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner


async def follow(workflow_id: str, *, after: int, as_json: bool) -> None:
    """Print the events of a run as they come, one line each, until it ends or waits."""
    from mmm_workflows.workflows.runner import open_runner

    async with open_runner() as runner:
        async for event in runner.watch(workflow_id, after=after):
            if as_json:
                screen.out(event.model_dump_json(), highlight=False)
            else:
                line = f"{event.seq:>4}  {event.progress:>4.0%}  {event.status:<9} {event.message}"
                screen.out(line, highlight=False)


async def delete_named(runner: Runner, name: str) -> Json:
    """Remove a run or a project, and say whether a store has yet to forget it."""
    removed = await runner.delete(name)
    delayed = await runner.memory.still_to_forget(removed.project)
    return {"deleted": removed.runs, "name": name, "memory_delayed": delayed}


async def list_runs(project: str | None, limit: int, *, as_json: bool) -> None:
    """Print the latest runs."""
    from mmm_workflows.workflows.runner import open_runner

    async with open_runner() as runner:
        runs = await runner.services.runs.list(project=project, limit=limit)
        memory = await runner.memory.standing([run.workflow_id for run in runs])
    if as_json:
        shown = [r.model_dump(mode="json", exclude={"result"}) for r in runs]
        print_json({"runs": [{**r, "memory": memory.get(r["workflow_id"])} for r in shown]})
        return
    table = Table("run", "workflow", "project", "status", "progress", "memory", "started")
    for run in runs:
        table.add_row(
            run.workflow_id,
            run.workflow,
            run.project,
            run.status,
            f"{run.progress:.0%}",
            memory.get(run.workflow_id, "").partition(":")[0],
            f"{run.created_at:%Y-%m-%d %H:%M}",
        )
    screen.print(table)

"""Runs as they go, and the list of them."""

from __future__ import annotations

from rich.table import Table

from mmm_workflows.cli.session import print_json, screen


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


async def list_runs(project: str | None, limit: int, *, as_json: bool) -> None:
    """Print the latest runs."""
    from mmm_workflows.workflows.runner import open_runner

    async with open_runner() as runner:
        runs = await runner.services.runs.list(project=project, limit=limit)
    if as_json:
        print_json({"runs": [r.model_dump(mode="json", exclude={"result"}) for r in runs]})
        return
    table = Table("run", "workflow", "project", "status", "progress", "started")
    for run in runs:
        table.add_row(
            run.workflow_id,
            run.workflow,
            run.project,
            run.status,
            f"{run.progress:.0%}",
            f"{run.created_at:%Y-%m-%d %H:%M}",
        )
    screen.print(table)

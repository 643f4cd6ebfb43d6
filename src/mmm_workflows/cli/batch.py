"""One table over many brands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from mmm_workflows.cli.session import FAILED, run_command, screen
from mmm_workflows.mmm.figures import figure, interval, percent
from mmm_workflows.mmm.results import HDI_PROB, ChannelResult
from mmm_workflows.records import Event, Json
from mmm_workflows.workflows.batch import BatchResult, BatchRow, read_batch, run_batch

if TYPE_CHECKING:
    from mmm_workflows.workflows.runner import Runner


def fit_all(file: Path, *, at_once: int, as_json: bool) -> None:
    """Fit every brand of a file and show one table; exit 1 when one of them has no model."""
    results: list[BatchResult] = []

    async def work(runner: Runner, on_event: Callable[[Event], None]) -> Json:
        batch = read_batch(file)
        results.append(await run_batch(runner, batch, at_once=at_once, on_event=on_event))
        return results[0].model_dump(mode="json")

    run_command(work, as_json=as_json, show=lambda _: show_batch(results[0]))
    if results[0].failed:
        raise typer.Exit(FAILED)


def show_batch(result: BatchResult) -> None:
    """A line per brand, and below the table what failed."""
    table = Table(
        title=Text(f"{result.batch}: ROAS as mean and {figure(100 * HDI_PROB)} % HDI"),
        title_justify="left",
    )
    for column in ("brand", "status", "fit", "ROAS per channel", "MAPE in sample"):
        table.add_column(column)
    for row in result.rows:
        table.add_row(
            row.brand,
            row.status,
            row.fit_verdict or "-",
            Text("\n".join(map(_return, row.channels)) or "-"),
            "-" if row.mape is None else percent(row.mape),
        )
    screen.print(table)
    for row in result.rows:
        screen.print(_after(row), markup=False, highlight=False, soft_wrap=True)


def _return(channel: ChannelResult) -> str:
    if channel.roas is not None:
        return f"{channel.channel} {interval(channel.roas)}"
    if channel.cost_per_contribution is not None:
        cost = channel.cost_per_contribution
        return (
            f"{channel.channel} no ROAS; median cost {interval(cost, point='median')} {cost.unit}"
        )
    return f"{channel.channel} no ROAS"


def _after(row: BatchRow) -> str:
    if row.error is not None:
        return f"{row.brand}: {row.error.code}: {row.error.message}"
    return f"{row.brand}: {row.model_artifact_path}"

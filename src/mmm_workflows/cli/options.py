"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mmm_workflows.errors import UserError


class DepthName(StrEnum):
    """Which diagnostics run; the same names as ``records.Depth``, without its import."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


class StartName(StrEnum):
    """What the choices of a run start from; the same names as the request takes."""

    EARLIER = "earlier"
    RULES = "rules"


AsJson = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]
WorkflowId = Annotated[
    str | None, typer.Option("--workflow-id", help="name the run, or go on with the one so named")
]
Project = Annotated[str, typer.Option(help="whose runs, data and models these are")]
Seed = Annotated[int, typer.Option(help="root of every random number")]
DepthOption = Annotated[DepthName, typer.Option("--depth", help="which diagnostics run")]
Target = Annotated[str | None, typer.Option("--target", help="column to explain")]
Channels = Annotated[
    str | None, typer.Option("--channels", help="spend columns, separated by commas")
]
Controls = Annotated[
    str | None,
    typer.Option("--controls", help="driver columns, separated by commas; 'none' for no driver"),
]
DateColumn = Annotated[str | None, typer.Option("--date", help="date column")]
GeoColumn = Annotated[str | None, typer.Option("--geo", help="geography column")]
TargetUnit = Annotated[
    str | None, typer.Option("--target-unit", help="EUR, USD, money, or what is counted (units)")
]
Currency = Annotated[str | None, typer.Option("--currency", help="currency of the spend, as EUR")]
Margin = Annotated[
    float | None, typer.Option("--margin", help="profit per unit of revenue, 0 to 1, for ROI")
]
StartFrom = Annotated[
    StartName,
    typer.Option(
        "--start-from", help="what the project's earlier runs decided, or the rules alone"
    ),
]


def names(listed: str | None) -> list[str] | None:
    """The names of a comma-separated option; None when it was not given.

    Raises:
        UserError: A name between two commas is empty.
    """
    if listed is None:
        return None
    if listed.strip().lower() == "none":
        return []
    found = [name.strip() for name in listed.split(",")]
    if not all(found):
        raise UserError(f"A name is missing in {listed!r}: separate names by single commas.")
    return found

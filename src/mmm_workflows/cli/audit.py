"""Whether the decisions that are kept are the ones that were made."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from mmm_workflows.cli.options import AsJson
from mmm_workflows.cli.session import FAILED, guarded, print_json, screen
from mmm_workflows.records import Json

app = typer.Typer(no_args_is_help=True, help="Check what was decided.")


@app.callback()
def group() -> None:
    """Check what was decided."""


@app.command()
def verify(
    project: Annotated[str | None, typer.Option(help="only of this project")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the chain of decisions; exit 1 when one was changed, removed, added or moved."""
    report = guarded(lambda: asyncio.run(_audited(project)), as_json=as_json)
    if as_json:
        print_json(report)
    else:
        for chain in report["projects"]:
            screen.print(_sentence(chain), markup=False, highlight=False, soft_wrap=True)
    if not report["verified"]:
        raise typer.Exit(FAILED)


async def _audited(project: str | None) -> Json:
    from mmm_workflows.workflows.runner import open_runner

    async with open_runner() as runner:
        chains = [asdict(chain) for chain in await runner.audit(project)]
    return {"verified": all(c["broken"] is None for c in chains), "projects": chains}


def _sentence(chain: Json) -> str:
    broken = chain["broken"]
    if broken is not None:
        return f"{chain['project']}: BROKEN at decision {broken['position']}: {broken['reason']}"
    deleted = f", the text of {chain['deleted']} deleted" if chain["deleted"] else ""
    return f"{chain['project']}: {chain['decisions']} decisions verified{deleted}; head {chain['head_hash']}"

"""What a run starts from: the project's earlier runs, or the rules alone; and that it says so."""

from __future__ import annotations

from typing import Final

from mmm_workflows.records import Decision, Run
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import StartsFrom

BY_RULES: Final = (
    "Nothing is taken over from earlier runs of this project: start_from rules was asked for."
)


async def runs_to_start_from(request: StartsFrom, context: Context, workflow: str) -> list[Run]:
    """The project's runs of a workflow from which choices may be taken over, the newest first."""
    return [] if request.is_anew else await context.done(workflow)


async def record_start(request: StartsFrom, context: Context) -> None:
    """Write down that nothing is taken over, where the request wants it so."""
    if request.is_anew:
        decision = Decision(
            project=context.project,
            question="Is anything taken over from earlier runs of this project?",
            options=("yes", "no"),
            choice="no",
            reason="start_from rules was asked for",
        )
        await context.record([decision])


def describe_start(request: StartsFrom) -> tuple[str, ...]:
    """The sentence of a result by which nothing was taken over; none otherwise."""
    return (BY_RULES,) if request.is_anew else ()

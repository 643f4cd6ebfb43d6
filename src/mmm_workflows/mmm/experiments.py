"""Experiments on channels: which results propose one or cite one, and which of them stand open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from mmm_workflows.mmm.channel_words import kind_of_channel
from mmm_workflows.mmm.claim_context import Method
from mmm_workflows.mmm.names import channel_key, same_channel
from mmm_workflows.mmm.results import Value
from mmm_workflows.records import Json, Run

type State = Literal["proposed", "found"]

# What a plan's risk and a piece of advice propose.
BY_RISK: Final = {"demand_driven_channel": "holdout or geo experiment"}
BY_ADVICE: Final = {
    "prior_decides": "lift test",
    "never_stopped": "stop in some regions or weeks",
}


class Experiment(Value):
    """One that a result proposes for a channel, or that a page it cites had made.

    Attributes:
        key: Equal for the same proposal of any run, and for the same claim.
        where: The JSON pointer into the result.
        claim: The stored claim of one that was found.
    """

    key: str
    design: str
    channel: str
    state: State
    said: str
    where: str
    claim: Json | None = None


class OpenExperiment(Value):
    """One that was proposed for a channel and of which no result is recorded.

    Attributes:
        proposed_at, workflow_id: Of the run that first proposed it.
    """

    channel: str
    design: str
    proposed_at: datetime
    workflow_id: str
    said: str


def experiments_of(workflow: str, result: Json) -> tuple[Experiment, ...]:
    """What a stored result proposes or cites, also one of an earlier version."""
    if workflow == "research":
        risks = result["research_plan"].get("risks", ())
        return (*_of_risks(risks), *_of_claims(result.get("claims", ())))
    if workflow == "whatif":
        return tuple(_of_advice((result.get("remembered") or {}).get("practices", ())))
    return ()


def open_experiments(runs: Sequence[Run]) -> tuple[OpenExperiment, ...]:
    """The experiments that runs of a project proposed, each once, the first proposed one first.

    No workflow records the result of an experiment, so each of them is open.
    """
    first: dict[str, OpenExperiment] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        for each in experiments_of(run.workflow, run.result or {}) if run.result else ():
            if each.state == "proposed":
                first.setdefault(each.key, _open(each, run))
    return tuple(first.values())


def of_channels(
    experiments: Sequence[OpenExperiment], channels: Sequence[str]
) -> tuple[OpenExperiment, ...]:
    """Those for some channels; another spelling, or another name of its kind, is the same."""
    return tuple(each for each in experiments if _is_among(each.channel, channels))


def _of_risks(risks: Sequence[Json]) -> Iterator[Experiment]:
    for index, risk in enumerate(risks):
        if (design := BY_RISK.get(risk["kind"])) is not None:
            for channel in risk["variables"]:
                said = f"{risk['what']} {risk['action']}"
                yield _proposed(design, channel, said, f"/research_plan/risks/{index}")


def _of_advice(practices: Sequence[Json]) -> Iterator[Experiment]:
    for index, advice in enumerate(practices):
        design = BY_ADVICE.get(advice["code"])
        if design is not None and advice["channel"] is not None:
            where = f"/remembered/practices/{index}"
            yield _proposed(design, advice["channel"], advice["said"], where)


def _of_claims(claims: Sequence[Json]) -> Iterator[Experiment]:
    for index, claim in enumerate(claims):
        if claim.get("method") == Method.EXPERIMENT:
            yield Experiment(
                key=claim["claim_id"],
                design="experiment",
                channel=claim["channel"],
                state="found",
                said=f"A page cites an experiment on {claim['channel']}: {claim['title']}",
                where=f"/claims/{index}",
                claim=claim,
            )


def _proposed(design: str, channel: str, said: str, where: str) -> Experiment:
    return Experiment(
        key=f"{design} {channel_key(channel)}",
        design=design,
        channel=channel,
        state="proposed",
        said=f"Proposed for {channel}: {design}. {said}",
        where=where,
    )


def _open(proposed: Experiment, run: Run) -> OpenExperiment:
    return OpenExperiment(
        channel=proposed.channel,
        design=proposed.design,
        proposed_at=run.created_at,
        workflow_id=run.workflow_id,
        said=f"An experiment for {proposed.channel} ({proposed.design}) was proposed on "
        f"{run.created_at:%Y-%m-%d} (run {run.workflow_id}) and no result is recorded.",
    )


def _is_among(channel: str, channels: Sequence[str]) -> bool:
    """Whether it is one of them, or one of the two is the bare kind of the other ("Social")."""
    kind = kind_of_channel(channel)
    if same_channel(channel, channels):
        return True
    alike = [each for each in channels if kind is not None and kind_of_channel(each) == kind]
    bare = {channel_key(str(kind))}
    return any(channel_key(channel) in bare or channel_key(each) in bare for each in alike)

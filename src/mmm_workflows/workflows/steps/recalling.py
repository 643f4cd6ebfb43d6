"""What What-If asks of earlier runs: plans like this one, what they share, claims and advice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.channel_words import kind_of_channel
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.earlier_answers import Answer, model_used, one_question, read_answer
from mmm_workflows.mmm.experiments import of_channels, open_experiments
from mmm_workflows.mmm.knowledge import NodeKind, node_id
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.optimize import Optimization
from mmm_workflows.mmm.practices import Practice, practices_for
from mmm_workflows.mmm.questions import Interpretation
from mmm_workflows.mmm.recall import Recalled, Way
from mmm_workflows.mmm.remembered import (
    RecalledClaim,
    Remembered,
    SimilarAnswer,
    came_of,
    compare_with,
    find_alike,
    find_patterns,
    nearest,
)
from mmm_workflows.mmm.scenario import ScenarioResult
from mmm_workflows.mmm.track_record import outcomes_of
from mmm_workflows.mmm.windows import make_reference
from mmm_workflows.records import Run, now
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.state import WhatifState

KIND: Final = "remembered"
PASSAGES: Final = 20
CLAIMS_PER_CHANNEL: Final = 2


@dataclass(frozen=True)
class _Known:
    """What the records of the project hold, before memory is asked."""

    answers: tuple[Answer, ...]
    claims: dict[str, tuple[Claim, str]]
    not_read: tuple[str, ...]


async def recall_earlier(state: WhatifState, context: Context) -> Remembered:
    """What the project knows of plans like this one, looked for once and kept with the run."""
    kept = [a for a in await context.runs.artifacts(context.workflow_id) if a.kind == KIND]
    if kept:
        return Remembered.model_validate_json(await asyncio.to_thread(_content, kept[0].path))
    asked, practices = await asyncio.to_thread(_asked, state, context.workflow_id)
    answered, researched = await context.done("whatif"), await context.done("research")
    known = await asyncio.to_thread(_read_records, answered, researched, asked)
    alike = find_alike(asked, known.answers)
    tracked = await context.done("track")
    outcomes = outcomes_of([run.result for run in tracked if run.result is not None])

    def shown(answers: Sequence[Answer], found_by: Literal["plan", "words"]) -> list[SimilarAnswer]:
        return [
            compare_with(
                asked, answer, found_by=found_by, came=came_of(answer, known.answers, outcomes)
            )
            for answer in answers
        ]

    # Memory is opened only where it may know more than the records do: that alone takes two thirds
    # of the processor time that the answer takes.
    asking = _Asking(context)
    by_words = () if alike else await _in_like_words(asking, asked, known)
    claims = await _claims_on(asking, asked, known)
    remembered = Remembered(
        looked_at=len(known.answers),
        alike=len(alike),
        similar=(*shown(nearest(alike), "plan"), *shown(by_words, "words")),
        patterns=find_patterns(asked, known.answers),
        claims=claims,
        practices=practices,
        experiments=of_channels(
            open_experiments(
                [*researched, *(run for run in answered if run.workflow_id != asked.workflow_id)]
            ),
            [move.channel for move in asked.moves],
        ),
        not_asked=(
            *known.not_read,
            *(f"Memory did not answer in full: {why}" for why in asking.missing),
        ),
    )
    await context.keep_json(KIND, remembered)
    return remembered


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


def _asked(state: WhatifState, workflow_id: str) -> tuple[Answer, tuple[Practice, ...]]:
    """This answer as a later run will read it, and the advice that it calls for."""
    read = Interpretation.model_validate_json(_content(state.interpretation_path))
    model = open_model(Path(state.request.model_artifact_path))
    scenario = found = None
    if state.scenarios_path:
        scenario = ScenarioResult.model_validate_json(_content(state.scenarios_path))
    if state.optimization_path:
        found = Optimization.model_validate_json(_content(state.optimization_path))
    asked = Answer(
        workflow_id=workflow_id,
        answered_at=now(),
        question=one_question(read.question),
        kind=read.kind,
        model=model_used(model),
        scenario=scenario,
        found=found,
    )
    draws = model.draws()
    reference = make_reference(draws, asked.window)
    return asked, practices_for(asked, draws, reference, model.results())


def _read_records(answered: Sequence[Run], researched: Sequence[Run], asked: Answer) -> _Known:
    earlier = [run for run in answered if run.workflow_id != asked.workflow_id]
    answers = [answer for run in earlier if (answer := read_answer(run)) is not None]
    claims, unread = _claims_of(researched)
    said = []
    if len(answers) < len(earlier):
        said.append(
            "Stored without their model, so not compared with this one: "
            f"{len(earlier) - len(answers)} earlier answers."
        )
    if unread:
        said.append(f"Not to be read as what was checked, so left out: {unread} stored claims.")
    return _Known(tuple(answers), claims, tuple(said))


def _claims_of(runs: Sequence[Run]) -> tuple[dict[str, tuple[Claim, str]], int]:
    """The claims of Research by the node that memory knows each as, with the newest run's id."""
    found: dict[str, tuple[Claim, str]] = {}
    changed = 0
    for run in reversed(runs):
        for stored in (run.result or {}).get("claims", ()):
            try:
                claim = Claim.model_validate(stored)
            except ValidationError:
                changed += 1
                continue
            found[node_id(run.project, NodeKind.CLAIM, claim.claim_id)] = (claim, run.workflow_id)
    return found, changed


@dataclass
class _Asking:
    """Questions to memory, and why what of it did not answer; nothing of that ends the run."""

    context: Context
    missing: dict[str, None] = field(default_factory=dict)

    async def ask(self, question: str) -> tuple[Recalled, ...]:
        """The passages that may answer; none where memory cannot be opened."""
        try:
            recall = await self.context.recall(question, k=PASSAGES)
        except MMMError as error:
            self.missing[error.message] = None
            return ()
        self.missing |= {f"{use.way}: {use.reason}": None for use in recall.missing}
        if recall.waiting:
            waits = (
                "1 write still waits"
                if recall.waiting == 1
                else f"{recall.waiting} writes still wait"
            )
            self.missing[waits] = None
        return recall.found


async def _in_like_words(asking: _Asking, asked: Answer, known: _Known) -> tuple[Answer, ...]:
    """Earlier answers whose question, with how it was read, shares words with this one."""
    if not known.answers:
        return ()
    found = await asking.ask(asked.question)
    # A decision holds the question and its reading. Of few passages the vectors put all forward,
    # however far, so the words decide.
    named = dict.fromkeys(
        hit.passage.workflow_id
        for hit in found
        if hit.passage.kind is NodeKind.DECISION
        and any(part.way is Way.KEYWORDS for part in hit.parts)
    )
    by_id = {answer.workflow_id: answer for answer in known.answers}
    return nearest(by_id[name] for name in named if name in by_id)


async def _claims_on(asking: _Asking, asked: Answer, known: _Known) -> tuple[RecalledClaim, ...]:
    """Claims of Research on the channels that the plan changes, as memory ranks them."""
    kinds = {m.channel: kind for m in asked.moves if (kind := kind_of_channel(m.channel))}
    wanted = {node for node, (claim, _) in known.claims.items() if claim.channel in kinds.values()}
    if not wanted:
        return ()
    named = ", ".join(sorted(set(kinds.values())))
    found = await asking.ask(f"What does advertising by {named} return?")
    nodes = dict.fromkeys(hit.passage.node_id for hit in found if hit.passage.node_id in wanted)
    shown: list[RecalledClaim] = []
    for channel, kind in kinds.items():
        own = [known.claims[node] for node in nodes if known.claims[node][0].channel == kind]
        shown += [
            RecalledClaim(channel=channel, claim=claim, workflow_id=workflow_id)
            for claim, workflow_id in own[:CLAIMS_PER_CHANNEL]
        ]
    return tuple(shown)

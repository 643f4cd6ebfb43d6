"""Text that tries to become Cypher, SQL or a query of words stays text, from result to answer."""

from __future__ import annotations

from contracts.graph.test_hostile import HOSTILE as FOR_CYPHER
from contracts.keywords.test_keywords import HOSTILE as FOR_WORDS

from mmm_workflows.config import Settings
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows.runner import Runner, open_runner

from .values import queued, result_of, succeed

HOSTILE = [text for text in dict.fromkeys([*FOR_CYPHER, *FOR_WORDS]) if len(text) < 1000]


async def end_with_hostile_text(runner: Runner, workflow_id: str, project: str) -> None:
    """Every place of a result that comes to the stores holds each of the texts."""
    result = result_of(workflow_id, project, "\n".join(HOSTILE)[:3900])
    decision = result["decisions"][0]
    result["channels"] = [{"channel": text} for text in HOSTILE]
    result["decisions"] = [
        {**decision, "question": text, "choice": text, "reason": text, "evidence": text}
        for text in HOSTILE
    ]
    runs = runner.services.runs
    await runs.create(queued(workflow_id, project))
    await runs.update(workflow_id, result=result)
    await runs.update(workflow_id, status=RunStatus.SUCCEEDED)


async def test_hostile_results_and_questions_change_nothing_but_what_they_say(
    stores: Settings, project: str
) -> None:
    other = f"{project}-other"
    async with open_runner(stores) as runner:
        await succeed(runner, f"{project}-kept", other, "Television of another brand")
        await runner.memory.drain()
        memory = await runner.services.open_memory()
        before = await memory.everything(other), await memory.holdings(other)

        await end_with_hostile_text(runner, f"{project}-h", project)
        await runner.memory.drain()
        assert await runner.memory.standing([f"{project}-h"]) == {f"{project}-h": "kept"}
        nodes, _ = await memory.everything(project)
        assert {n.name for n in nodes if n.kind == "Channel"} == {t[:200] for t in HOSTILE}
        decisions = [n for n in nodes if n.kind == "Decision"]
        assert {n.properties["choice"] for n in decisions} == set(HOSTILE)
        for text in HOSTILE:
            recall = await runner.memory.recall(text, project=project, k=3)
            assert recall.missing == ()
            assert {found.passage.project for found in recall.found} <= {project}
            assert (await runner.memory.recall("television", project=text, k=3)).found == ()
        repaired = await runner.memory.repair(project, rebuild=False)
        assert (repaired.linked, repaired.indexed, repaired.dropped) == (0, 0, 0)
        assert (await memory.everything(other), await memory.holdings(other)) == before

        await runner.delete(f"{project}-h")
        assert await memory.everything(project) == ([], [])
        assert (await memory.everything(other), await memory.holdings(other)) == before
        await runner.delete(other)

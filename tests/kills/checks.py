"""What must hold once every run of a cell has ended: nothing lost, doubled or left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmm_workflows.workflows.runner import open_runner

from .system import FINAL, System
from .watcher import Watcher

PARTS = ("research", "eda", "modeling", "whatif")
DRAINS_WITHIN_S = 240.0


def run_faults(system: System, name: str, status: str, *, times: int) -> Iterator[str]:
    """What is wrong with one run that should have ended in this way.

    Args:
        system: Where it ran.
        name: The run.
        status: How it should have ended.
        times: How often a step may have been done: 2 where who worked on it was killed.
    """
    events = system.ask("GET", f"/workflow/{name}/events").json()["events"]
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"{name}: the numbers of its events are {seqs}"
    run = system.run(name)
    if run["status"] != status:
        yield f"{name}: is {run['status']} ({run['error']}), expected {status}"
    ends = [event["status"] for event in events if event["status"] == status]
    if len(ends) != 1 or events[-1]["status"] != status:
        yield f"{name}: ended {len(ends)} times, last with {events[-1]['status']}"
    done = Counter(e["message"] for e in events if e["message"].endswith(": done"))
    often = {words: count for words, count in done.items() if count > times}
    if often:
        yield f"{name}: steps were done more than {times} times: {often}"
    fits = sum(event["message"] == "Fit Bayesian MMM" for event in events)
    if fits > times:
        yield f"{name}: the fit was begun {fits} times, at most {times} are allowed"


def part_faults(system: System, name: str, status: str, *, times: int) -> Iterator[str]:
    """The same of the runs that are parts of a run; none may be left in the middle."""
    ids = [f"{name}.{part}" for part in PARTS]
    found = dict(
        system.rows("SELECT workflow_id, status FROM runs WHERE workflow_id = ANY(%s)", ids)
    )
    if status == "succeeded" and set(found) != set(ids):
        yield f"{name}: has the parts {sorted(found)}"
    for part, how in sorted(found.items()):
        if how not in FINAL:
            yield f"{part}: is {how} although the whole has ended"
        else:
            yield from run_faults(system, part, how, times=times)


def watcher_faults(system: System, name: str, watcher: Watcher) -> Iterator[str]:
    """Where what a watcher saw over its connections is not the log."""
    log = system.ask("GET", f"/workflow/{name}/events").json()["events"]
    watcher.until(log[-1]["seq"])
    told = [(event["seq"], event["message"]) for event in log]
    if watcher.seen != told:
        lost, more = Counter(told), Counter(watcher.seen)
        yield (
            f"{name}: over {watcher.connections} connections a watcher missed "
            f"{list((lost - more).elements())} and got {list((more - lost).elements())} too much"
        )


def memory_faults(system: System, project: str) -> list[str]:
    """What is wrong with decisions and memory of a project, once nothing waits for memory."""
    return asyncio.run(_memory_faults(system, project))


async def _memory_faults(system: System, project: str) -> list[str]:
    faults: list[str] = []
    async with open_runner(system.settings) as runner:
        async with asyncio.timeout(DRAINS_WITHIN_S):
            await runner.memory.drain(project)
            while await runner.services.outbox.waiting(project):
                await asyncio.sleep(0.2)
                await runner.memory.drain(project)
        for report in await runner.audit(project):
            if report.broken is not None:
                faults.append(f"{project}: the chain of decisions is broken: {report.broken}")
        for run in await runner.list(project=project):
            made = await runner.services.runs.decisions(run.workflow_id)
            twice = [d for d, n in Counter((d.question, d.choice) for d in made).items() if n > 1]
            if twice:
                faults.append(f"{run.workflow_id}: decided twice: {twice}")
        repaired = await runner.memory.repair(project, rebuild=False)
        wrong: dict[str, Any] = {
            key: value for key, value in repaired.model_dump().items()
            if key in ("linked", "forgotten", "indexed", "dropped", "without_node") and value
        }  # fmt: skip
        if wrong:
            faults.append(f"{project}: memory had to be repaired: {wrong}")
    return faults


def orphan_faults(system: System) -> list[str]:
    """Processes that outlived their work."""
    return [f"left behind: {command}" for command in system.orphans()]

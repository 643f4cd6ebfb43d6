"""One cell of the matrix: a run is led to a phase, a victim is killed there and started again."""

from __future__ import annotations

import signal
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import httpx
import psycopg

from mmm_workflows.errors import MMMError

from .checks import memory_faults, orphan_faults, part_faults, run_faults, watcher_faults
from .phases import Ask, Cell, Phase, Victim
from .system import PhaseMissed, System
from .watcher import Watcher

CLEAR = "What if we increase TV spend by 20%?"
UNCLEAR = "Make it better"
ANSWER = {"answer": CLEAR}
# What the harness itself may trip over when the service does not do what it should.
TRIPS = (AssertionError, KeyError, OSError, MMMError, httpx.HTTPError, psycopg.Error,
         subprocess.SubprocessError)  # fmt: skip
TRIES = 3
_numbers = count(1)


@dataclass
class Outcome:
    """What was found.

    Attributes:
        ended: How many runs were accepted and have ended.
        events: How many events they have.
        at: Where the run stood when the victim was killed.
        tries: How often the run was led to the phase until it was seen there.
    """

    faults: list[str] = field(default_factory=list)
    ended: int = 0
    events: int = 0
    at: str = ""
    seconds: float = 0.0
    tries: int = 1


def try_cell(system: System, cell: Cell) -> Outcome:
    """Go through one cell; what the harness itself trips over is a fault too.

    A phase that was over before it was seen is led to again: nothing was killed in it. What else
    was found until then counts all the same.
    """
    earlier: list[str] = []
    for tries in range(1, TRIES + 1):
        known = system.complaints()
        outcome, is_missed = _try(system, cell)
        outcome.tries = tries
        if not is_missed or tries == TRIES:
            break
        earlier += [*outcome.faults[1:], *_complaints_since(system, known)]
    outcome.faults = earlier + outcome.faults
    return outcome


def _try(system: System, cell: Cell) -> tuple[Outcome, bool]:
    """What was found, and whether the phase was missed, which is the first fault then."""
    outcome, began, is_missed = Outcome(), time.monotonic(), False
    name = f"k{next(_numbers)}-{cell.victim}-{cell.phase.name}".replace(" ", "-")
    try:
        outcome.faults += _go(system, cell, name, outcome)
    except TRIPS as error:
        is_missed = isinstance(error, PhaseMissed)
        outcome.faults.append(traceback.format_exc(limit=-4))
        system.worker.signal(signal.SIGCONT)
        # The next cell must find all that it needs.
        with suppress(*TRIPS):
            if not is_missed:
                system.start_again(cell.victim)
    outcome.faults += system.faults
    system.faults.clear()
    outcome.seconds = time.monotonic() - began
    return outcome, is_missed


def _go(system: System, cell: Cell, name: str, outcome: Outcome) -> Iterator[str]:
    victim, phase = cell.victim, cell.phase
    system.open_for(victim)
    known = system.complaints()
    if not phase.fits:
        system.give_model(name)
    watcher = _started(system, cell, name)
    outcome.at = system.until(phase.seen, name)
    _ask(system, phase, name)
    system.kill(victim)
    if phase.ask is Ask.STOP:
        system.executor.wait()
    system.executor.signal(signal.SIGCONT)
    system.start_again(victim)
    status = "cancelled" if phase.ask is Ask.CANCEL else "succeeded"
    _lead_to_its_end(system, name)
    system.until_ended(f"{name}-other")
    times = 2 if _is_hit(system, victim, phase) else 1
    # What-If's step of the whole is done once more for each question that is answered.
    rounds = 2 if phase.asks_back else 1
    yield from run_faults(system, name, status, times=times * rounds)
    yield from part_faults(system, name, status, times=times)
    yield from run_faults(system, f"{name}-other", "succeeded", times=times)
    yield from watcher_faults(system, name, watcher)
    yield from memory_faults(system, name)
    yield from orphan_faults(system)
    yield from _complaints_since(system, known)
    counted = system.rows(
        "SELECT count(DISTINCT workflow_id), count(*) FROM events WHERE project = %s", name
    )
    outcome.ended, outcome.events = counted[0]


def _complaints_since(system: System, known: Counter[str]) -> Iterator[str]:
    for told, often in (system.complaints() - known).items():
        yield f"{often} times in the log of {told}"


def _is_hit(system: System, victim: Victim, phase: Phase) -> bool:
    """Whether who works on the run ended: then the step that it was in may be done again."""
    if phase.ask in (Ask.STOP, Ask.RESUME):
        return True
    return victim in (Victim.API, Victim.WORKER)


def _started(system: System, cell: Cell, name: str) -> Watcher:
    """Have the run and another one accepted; who watches it from the start."""
    phase = cell.phase
    if phase.idle and phase.seen is None:
        _hold_still(system, cell)
    seed = 1 if not phase.fits else 1000 + next(_numbers)
    system.pipeline(name, query=UNCLEAR if phase.asks_back else CLEAR, seed=seed)
    system.start_run("research", f"{name}-other", project=name, query="Build MMM for a shop")
    return Watcher(system.api.address, name)


def _hold_still(system: System, cell: Cell) -> None:
    """Have nobody take runs; an API that works itself is killed at once instead."""
    if cell.victim is not Victim.API:
        system.worker.signal(signal.SIGSTOP)


def _ask(system: System, phase: Phase, name: str) -> None:
    match phase.ask:
        case Ask.ANSWER:
            if system.executor is system.worker:
                system.worker.signal(signal.SIGSTOP)
            answer = system.ask("POST", f"/workflow/{name}/decide", **ANSWER)
            assert answer.status_code == 202, answer.text
        case Ask.CANCEL:
            assert system.ask("POST", f"/workflow/{name}/cancel").status_code == 202
        case Ask.RESUME:
            assert system.ask("POST", f"/workflow/{name}/cancel").status_code == 202
            assert system.until_ended(name)["status"] == "cancelled"
            if system.executor is system.worker:
                system.worker.signal(signal.SIGSTOP)
            assert system.ask("POST", f"/workflow/{name}/resume").status_code == 202
        case Ask.STOP:
            system.executor.signal(signal.SIGTERM)
        case Ask.NOTHING:
            pass


def _lead_to_its_end(system: System, name: str) -> None:
    """Answer what the run asks, until it has ended."""
    while (
        system.until_ended(name, "succeeded", "failed", "cancelled", "waiting")["status"]
        == "waiting"
    ):
        answer = system.ask("POST", f"/workflow/{name}/decide", **ANSWER)
        # Refused: an answer of before was taken, of which nobody heard.
        assert answer.status_code in (202, 409), answer.text

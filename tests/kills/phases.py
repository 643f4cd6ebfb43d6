"""The twenty phases over runs: how each is seen to be reached, and what is asked of the run before.

A phase is seen in the run database (a claim, a checkpoint, an event, a row of the outbox) or is the
answer to a request. Nothing is timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Victim(StrEnum):
    """What is killed."""

    API = "api"
    WORKER = "worker"
    POSTGRES = "postgres"
    REDIS = "redis"
    NEO4J = "neo4j"


class Ask(StrEnum):
    """What is asked once ``seen`` is reached; the kill follows its answer."""

    NOTHING = "nothing"
    ANSWER = "answer"
    CANCEL = "cancel"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Something that stands in the run database, by a query with the parameter ``name``."""

    query: str


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase of the run of all four workflows.

    Attributes:
        seen: When it is reached; None: with the answer to the start.
        fits: Whether the model is really fitted; else an equal fit is found.
        asks_back: Whether What-If has to ask what the question means.
        idle: Whether the worker is held still before the request, so that nobody takes the run.
    """

    name: str
    says: str
    seen: Seen | None
    fits: bool = False
    asks_back: bool = False
    idle: bool = False
    ask: Ask = Ask.NOTHING


def _event(part: str, step: str, message: str = "%") -> Seen:
    """An event of a part of the run; names and words are ours, so they may stand in the query."""
    return Seen(
        query="SELECT 1 FROM events WHERE workflow_id = %(name)s || "
        f"'.{part}' AND step = '{step}' AND message LIKE '{message.replace('%', '%%')}' LIMIT 1"
    )


_CLAIMED = Seen(query="SELECT 1 FROM runs WHERE workflow_id = %(name)s AND claim IS NOT NULL")
_CHECKPOINT = Seen(query="SELECT 1 FROM checkpoints WHERE thread_id LIKE '%%:' || %(name)s LIMIT 1")
_WAITS = Seen(query="SELECT 1 FROM runs WHERE workflow_id = %(name)s AND status = 'waiting'")
_SAMPLES = Seen(
    query="SELECT 1 FROM events WHERE workflow_id = %(name)s || '.modeling' "
    "AND data->'draws_done'->>0 > '0' LIMIT 1"
)
_TO_REMEMBER = Seen(
    query="SELECT 1 FROM memory_outbox WHERE workflow_id = %(name)s || '.whatif' "
    "AND done_at IS NULL"
)

PHASES: tuple[Phase, ...] = (
    Phase(name="queued", says="accepted, and taken by nobody", seen=None, idle=True),
    Phase(name="claimed", says="a worker holds the claim", seen=_CLAIMED),
    Phase(name="checkpoint", says="the first checkpoint is written", seen=_CHECKPOINT),
    Phase(name="planned", says="Research makes its plan", seen=_event("research", "generate_plan")),
    Phase(name="loaded", says="EDA reads the file", seen=_event("eda", "load_data")),
    Phase(name="analysed", says="EDA analyses and draws", seen=_event("eda", "analyse")),
    Phase(name="mff", says="EDA writes the MFF", seen=_event("eda", "transform_to_mff")),
    Phase(
        name="handed over", says="EDA has ended, its parent has not noted it",
        seen=_event("eda", "finalize", "succeeded"),
    ),
    Phase(
        name="chosen", says="Modeling writes its choices",
        seen=_event("modeling", "generate_config"),
    ),
    Phase(
        name="fit begun", says="the process of the fit is started", fits=True,
        seen=_event("modeling", "fit"),
    ),
    Phase(name="fit samples", says="the fit has made draws", fits=True, seen=_SAMPLES),
    Phase(
        name="fit ends", says="the fit is summarised and published", fits=True,
        seen=_event("modeling", "fit", "summarising%"),
    ),
    Phase(
        name="diagnosed", says="Modeling reads the diagnostics",
        seen=_event("modeling", "run_diagnostics"),
    ),
    Phase(name="waiting", says="the run waits for an answer", seen=_WAITS, asks_back=True),
    Phase(
        name="answered", says="the answer is noted, and not taken in", seen=_WAITS, asks_back=True,
        idle=True, ask=Ask.ANSWER,
    ),
    Phase(
        name="allocated", says="What-If works on its answer",
        seen=_event("whatif", "suggest_allocation"),
    ),
    Phase(name="outbox", says="memory has yet to take the run", seen=_TO_REMEMBER),
    Phase(
        name="cancelled", says="a cancel was accepted while the fit samples", fits=True,
        seen=_SAMPLES, ask=Ask.CANCEL,
    ),
    Phase(
        name="resumed", says="a cancelled run was left to the workers again",
        seen=_event("eda", "analyse"), idle=True, ask=Ask.RESUME,
    ),
    Phase(
        name="drained", says="who works on it was told to stop", seen=_event("eda", "analyse"),
        ask=Ask.STOP,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A victim in a phase."""

    victim: Victim
    phase: Phase

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"{self.victim}/{self.phase.name}"


def cells() -> list[Cell]:
    """All of them: a hundred."""
    return [Cell(victim, phase) for victim in Victim for phase in PHASES]

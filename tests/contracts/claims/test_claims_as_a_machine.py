"""Claims under any order of queueing, taking, dying, waiting and writing, against a simple model."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmm_workflows.db import claims as module
from mmm_workflows.db.claims import Claim, Claims
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunBusy, RunLost
from mmm_workflows.records import Run, RunStatus

LEASE_S = 10.0
PLACES = ("one", "two", "three")


@dataclass
class Known:
    """What the model knows of a run."""

    status: RunStatus = RunStatus.QUEUED
    on_queue: bool = False
    holder: str | None = None
    until: float = 0.0
    events: int = 0


@dataclass
class Given:
    """A claim that somebody was given, and who; it may be over."""

    place: str
    name: str
    claim: Claim


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0
        self.known: dict[str, Known] = {}
        self.given: list[Given] = []
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(module, "now", self.now)
        url = f"sqlite+aiosqlite:///{Path(self.folder.name) / 'runs.db'}"
        self.engine = self.loop.run(open_database(url))
        self.loop.run(migrate(self.engine))
        self.runs = RunStore(self.engine)
        self.places = {place: self.claims_of(place) for place in PLACES}

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time_s)

    def claims_of(self, place: str) -> Claims:
        made = Claims(self.engine, lease_s=LEASE_S)
        made._holder = replace(made._holder, machine=place)
        return made

    def teardown(self) -> None:
        self.loop.run(self.engine.dispose())
        self.loop.close()
        self.patched.undo()
        self.folder.cleanup()

    def is_held(self, known: Known) -> bool:
        return known.holder is not None and known.until >= self.time_s

    def free(self) -> list[str]:
        """What a worker may take, the oldest first."""
        return [
            name
            for name, known in self.known.items()
            if known.on_queue
            and known.status in (RunStatus.QUEUED, RunStatus.RUNNING)
            and not self.is_held(known)
        ]

    @precondition(lambda self: len(self.known) < 4)
    @rule()
    def submit(self) -> None:
        name = f"run{len(self.known)}"
        run = Run(workflow_id=name, workflow="eda", seed=1, graph_version="1", request={})
        self.loop.run(self.runs.create(run))
        self.known[name] = Known()

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def enqueue(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[name]
        is_open = known.status not in (RunStatus.SUCCEEDED, RunStatus.WAITING)
        is_there = known.on_queue and known.status is RunStatus.QUEUED
        if is_open and (self.is_held(known) or is_there):
            with pytest.raises(RunBusy):
                self.loop.run(self.places["one"].enqueue(name))
            return
        self.loop.run(self.places["one"].enqueue(name))
        if is_open:
            known.status, known.on_queue, known.holder = RunStatus.QUEUED, True, None

    @rule(place=st.sampled_from(PLACES))
    def take(self, place: str) -> None:
        claim = self.loop.run(self.places[place].take_next())
        free = self.free()
        assert (claim.workflow_id if claim else None) == (free[0] if free else None)
        if claim is not None:
            known = self.known[claim.workflow_id]
            known.holder, known.until = claim.token, self.time_s + LEASE_S
            self.given.append(Given(place, claim.workflow_id, claim))

    @rule(after_s=st.sampled_from([1.0, LEASE_S / 2, LEASE_S + 1]))
    def wait(self, after_s: float) -> None:
        self.time_s += after_s

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        given = data.draw(st.sampled_from(self.given))
        known = self.known[given.name]
        is_held = self.loop.run(self.places[given.place]._renew(given.claim))
        assert is_held == (known.holder in (None, given.claim.token))
        if known.holder == given.claim.token:
            known.until = self.time_s + LEASE_S

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(),
        status=st.sampled_from([RunStatus.RUNNING, RunStatus.WAITING, RunStatus.SUCCEEDED,
                                RunStatus.FAILED, RunStatus.QUEUED]),
    )  # fmt: skip
    def write(self, data: st.DataObject, status: RunStatus) -> None:
        given = data.draw(st.sampled_from(self.given))
        known = self.known[given.name]
        written = self.runs.under(given.claim.token).append_event(
            given.name, status=status, step=None, progress=0, message=given.claim.token
        )
        if known.holder != given.claim.token:
            with pytest.raises(RunLost):
                self.loop.run(written)
            return
        self.loop.run(written)
        known.status = status
        known.events += 1
        if status is not RunStatus.RUNNING:
            known.holder = None

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        given = data.draw(st.sampled_from(self.given))
        self.loop.run(self.places[given.place]._give_back(given.claim, given.name))
        known = self.known[given.name]
        if known.holder == given.claim.token:
            known.holder = None

    @invariant()
    def the_records_are_as_they_must_be(self) -> None:
        for name, known in self.known.items():
            assert self.loop.run(self.runs.get(name)).status == known.status
            events = self.loop.run(self.runs.events(name))
            assert [e.seq for e in events] == list(range(1, known.events + 1))


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)

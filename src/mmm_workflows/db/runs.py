"""Runs, their events, decisions and artifacts, in one database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, fields
from typing import Any, TypedDict, Unpack

from sqlalchemy import Row, RowMapping, Table, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mmm_workflows.db.chain import GENESIS, ChainReport, Link, continued, verify
from mmm_workflows.db.engine import begin, scrub
from mmm_workflows.db.fence import refuse_lost, standing
from mmm_workflows.db.listing import Listing, newest
from mmm_workflows.db.outbox import (
    queue_forgetting,
    queue_forgetting_project,
    queue_remembering,
)
from mmm_workflows.db.patience import Patience, kept_trying
from mmm_workflows.db.reading import Reader
from mmm_workflows.db.tables import ARTIFACTS, DECISIONS, EVENTS, PROJECTS, RUNS
from mmm_workflows.db.unanswered import Said, has_event, has_link
from mmm_workflows.errors import MMMError, RunError, RunNotFound
from mmm_workflows.records import (
    SCHEMA_VERSION,
    Artifact,
    Decision,
    ErrorInfo,
    Event,
    Json,
    Record,
    Run,
    RunStatus,
    now,
)

DEFAULT_LIMIT = 100


# Inside of RunStore the name `list` is its method.
type Listed[T] = list[T]


class RunChanges(TypedDict, total=False):
    """What of a run may change after it was created; a key left out stays as it is."""

    status: RunStatus
    step: str | None
    progress: float
    result: Json | None
    error: ErrorInfo | None
    cancel_requested: bool
    answer: str | None
    asked: str | None


class RunStore:
    """The records of runs; every method is one transaction, whole also when cancelled.

    Args:
        engine: A database that ``migrate`` has brought up to date.
        patience: How long to wait for a database that went away; None says so at once. What is
            written is there once, also where the answer to its commit was lost.
    """

    # The claim that writes to a run must hold; None: of a door, which holds none.
    _claim: str | None = None

    def __init__(self, engine: AsyncEngine, *, patience: Patience | None = None) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._patience = patience

    def patient(self, patience: Patience | None) -> RunStore:
        """The same records, for an execution that waits for them; None: for one that does not."""
        waiting = copy(self)
        waiting._patience = patience
        return waiting

    def under(self, claim: str) -> RunStore:
        """The same records, for an executor: a write raises RunLost once its claim is over."""
        fenced = copy(self)
        fenced._claim = claim
        return fenced

    @kept_trying
    async def create(self, run: Run) -> None:
        """Write a new run down.

        Raises:
            RunError: The workflow_id is taken (``run_conflict``).
        """
        await self._create(run, [])

    @kept_trying
    async def _create(self, run: Run, tried: Listed[Run]) -> None:
        is_again = bool(tried)
        tried.append(run)
        await self._ensure_project(run.project)
        row = {**run.model_dump(), "error": _plain(run.error), "last_seq": 0}
        try:
            async with begin(self._engine) as connection:
                await connection.execute(insert(RUNS).values(row))
        except IntegrityError as error:
            if (
                is_again
                and (await self.patient(None).get(run.workflow_id)).created_at == run.created_at
            ):
                return  # by the attempt whose commit was not answered
            raise RunError(
                f"There is a run {run.workflow_id} already. Use a new workflow_id, or resume "
                f"that one with `mmm-workflows resume {run.workflow_id}`.",
                code="run_conflict",
            ) from error

    @kept_trying
    async def exists(self, workflow_id: str) -> bool:
        """Whether there is a run with this workflow_id."""
        query = select(RUNS.c.workflow_id).where(RUNS.c.workflow_id == workflow_id)
        return bool(await self._reader.rows(query))

    @kept_trying
    async def get(self, workflow_id: str) -> Run:
        """The record of a run.

        Raises:
            RunError: There is none (``run_not_found``).
        """
        query = select(RUNS).where(RUNS.c.workflow_id == workflow_id)
        row = next(iter(await self._reader.rows(query)), None)
        return _record(Run, _found(row, workflow_id), RUNS)

    @kept_trying
    async def update(self, workflow_id: str, **changes: Unpack[RunChanges]) -> Run:
        """Change a run; its ``updated_at`` becomes now.

        A result that says "succeeded" is queued for memory in the same transaction.

        Returns:
            The run as it is afterwards.

        Raises:
            RunError: There is none (``run_not_found``).
        """
        values: dict[str, object] = {**changes, "updated_at": now()}
        if "error" in changes:
            values["error"] = _plain(changes["error"])
        async with begin(self._engine) as connection:
            await refuse_lost(connection, workflow_id, self._claim)
            change = update(RUNS).where(RUNS.c.workflow_id == workflow_id).values(values)
            row = (await connection.execute(change.returning(RUNS))).mappings().first()
            # Read back inside of the transaction: a value no Run can hold is rolled back.
            run = _record(Run, _found(row, workflow_id), RUNS)
            if (changes.get("result") or {}).get("status") == RunStatus.SUCCEEDED:
                await queue_remembering(connection, run.project, workflow_id)
            return run

    @kept_trying
    async def request_cancel(self, workflow_id: str) -> Run:
        """Ask the executor of a run to stop; it looks at ``cancel_requested``."""
        return await self.update(workflow_id, cancel_requested=True)

    @kept_trying
    async def list(self, **asked: Unpack[Listing]) -> list[Run]:
        """Runs, the newest first; ``limit=None`` gives all, no ``projects`` those of every one."""
        asked.setdefault("limit", DEFAULT_LIMIT)
        query = newest(select(RUNS), **asked)
        return [_record(Run, row, RUNS) for row in await self._reader.rows(query)]

    @kept_trying
    async def parts(self, workflow_id: str, project: str) -> Listed[Run]:
        """The runs that are a part of a pipeline: their ids are its id, a dot and their workflow."""
        is_part = RUNS.c.workflow_id == literal(f"{workflow_id}.").concat(RUNS.c.workflow)
        of_project = is_part & (RUNS.c.project == project)
        query = select(RUNS).where(of_project).order_by(RUNS.c.workflow_id)
        async with begin(self._engine) as connection:
            return [_record(Run, row, RUNS) for row in (await connection.execute(query)).mappings()]

    async def append_event(
        self,
        workflow_id: str,
        *,
        status: RunStatus,
        step: str | None,
        progress: float,
        message: str,
        data: Json | None = None,
    ) -> Event:
        """Write the next event of a run down, and that the run stands there now.

        ``seq`` counts from 1 without a gap.

        Raises:
            RunError: There is no such run (``run_not_found``).
        """
        said = Said(
            status=status,
            step=step,
            progress=progress,
            message=message.replace("\0", "\ufffd"),  # no text of PostgreSQL holds a NUL
            data=data,
        )
        return await self._append(workflow_id, said, [])

    @kept_trying
    async def _append(self, workflow_id: str, said: Said, tried: Listed[Event]) -> Event:
        # The counter's row is locked until the commit, and a rollback takes the number back.
        counted = (
            update(RUNS)
            .where(RUNS.c.workflow_id == workflow_id)
            .values(
                last_seq=RUNS.c.last_seq + 1,
                **standing(said["status"], said["step"], said["progress"]),
            )
            .returning(RUNS.c.last_seq, RUNS.c.project)
        )
        async with begin(self._engine) as connection:
            if tried:
                # First of all the lock: it is had once the attempt before is over on the server.
                # Before the claim, which an event that ends the run gives back.
                await _lock(connection, workflow_id)
                if await has_event(connection, tried[-1]):
                    return tried[-1]
            await refuse_lost(connection, workflow_id, self._claim)
            row = _found((await connection.execute(counted)).mappings().first(), workflow_id)
            event = Event(
                project=row["project"], workflow_id=workflow_id, seq=row["last_seq"], **said
            )
            tried.append(event)
            await connection.execute(insert(EVENTS).values(event.model_dump()))
        return event

    @kept_trying
    async def events(self, workflow_id: str, *, after: int = 0) -> Listed[Event]:
        """The events of a run whose ``seq`` is above ``after``, in order."""
        query = (
            select(EVENTS)
            .where(EVENTS.c.workflow_id == workflow_id, EVENTS.c.seq > after)
            .order_by(EVENTS.c.seq)
        )
        return [_record(Event, row, EVENTS) for row in await self._reader.rows(query)]

    async def add_decisions(self, workflow_id: str, decisions: Sequence[Decision]) -> None:
        """Append decisions to a run and to the chain of its project.

        Raises:
            RunError: There is no such run (``run_not_found``).
        """
        if decisions:
            await self._add(workflow_id, decisions, [])

    @kept_trying
    async def _add(
        self, workflow_id: str, decisions: Sequence[Decision], tried: Listed[Link]
    ) -> None:
        async with begin(self._engine, write_lock=True) as connection:
            project = await self._project_of(connection, workflow_id)
            if tried and await has_link(connection, project, tried[-1]):
                return
            claimed = (
                update(PROJECTS)
                .where(PROJECTS.c.project == project)
                .values(decisions=PROJECTS.c.decisions + len(decisions))
                .returning(PROJECTS.c.decisions, PROJECTS.c.head_hash)
            )
            last, head = (await connection.execute(claimed)).one()
            links, head = continued(workflow_id, decisions, before=last - len(decisions), head=head)
            tried.append(links[-1])
            rows = [{"project": project, **asdict(link)} for link in links]
            await connection.execute(insert(DECISIONS), rows)
            await connection.execute(
                update(PROJECTS).where(PROJECTS.c.project == project).values(head_hash=head)
            )

    @kept_trying
    async def decisions(self, workflow_id: str) -> Listed[Decision]:
        """The decisions of a run, in the order they were made."""
        query = (
            select(DECISIONS.c.content, DECISIONS.c.schema_version)
            .where(DECISIONS.c.workflow_id == workflow_id)
            .order_by(DECISIONS.c.position)
        )
        async with begin(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            refuse_newer(row.schema_version, "decision")
        return [Decision.model_validate_json(row.content) for row in rows]

    @kept_trying
    async def audit(self, project: str | None = None) -> Listed[ChainReport]:
        """The decision chain of a project, or of each project, recomputed.

        Raises:
            RunError: There is no such project (``run_not_found``).
        """
        query = select(PROJECTS).order_by(PROJECTS.c.project)
        if project is not None:
            query = query.where(PROJECTS.c.project == project)
        # Under the lock of each chain: a link that is being written is there with its head, or not.
        async with begin(self._engine, write_lock=True) as connection:
            found = (await connection.execute(query.with_for_update())).all()
            if project is not None and not found:
                raise RunError(f"There is no project {project!r}.", code="run_not_found")
            return [await _report(connection, row) for row in found]

    @kept_trying
    async def register_artifact(self, artifact: Artifact) -> None:
        """Write down that a run made or uses an artifact; a second time changes nothing.

        Raises:
            RunError: There is no such run (``run_not_found``).
        """
        known = select(ARTIFACTS.c.position).where(
            ARTIFACTS.c.workflow_id == artifact.workflow_id,
            ARTIFACTS.c.kind == artifact.kind,
            ARTIFACTS.c.artifact_id == artifact.artifact_id,
        )
        async with begin(self._engine, write_lock=True) as connection:
            await self._project_of(connection, artifact.workflow_id)
            if (await connection.execute(known)).first() is None:
                await connection.execute(insert(ARTIFACTS).values(artifact.model_dump()))

    @kept_trying
    async def artifacts(self, workflow_id: str) -> Listed[Artifact]:
        """The artifacts of a run, in the order they were registered."""
        query = (
            select(ARTIFACTS)
            .where(ARTIFACTS.c.workflow_id == workflow_id)
            .order_by(ARTIFACTS.c.position)
        )
        return [_record(Artifact, row, ARTIFACTS) for row in await self._reader.rows(query)]

    @kept_trying
    async def artifacts_named(self, project: str, name: str) -> Listed[Artifact]:
        """A project's registrations of the artifact with this id (its hash) or path, in order."""
        is_named = or_(ARTIFACTS.c.artifact_id == name, ARTIFACTS.c.path == name)
        query = select(ARTIFACTS).where(ARTIFACTS.c.project == project, is_named)
        rows = await self._reader.rows(query.order_by(ARTIFACTS.c.position))
        return [_record(Artifact, row, ARTIFACTS) for row in rows]

    @kept_trying
    async def registered(
        self, artifact_id: str, *, kind: str, projects: Sequence[str] | None = None
    ) -> Artifact | None:
        """The latest registration of an artifact by a run, of some projects or of all."""
        query = select(ARTIFACTS).where(
            ARTIFACTS.c.artifact_id == artifact_id, ARTIFACTS.c.kind == kind
        )
        if projects is not None:
            query = query.where(ARTIFACTS.c.project.in_(projects))
        query = query.order_by(ARTIFACTS.c.position.desc()).limit(1)
        found = [_record(Artifact, row, ARTIFACTS) for row in await self._reader.rows(query)]
        return found[0] if found else None

    @kept_trying
    async def uses(self, project: str, artifact_id: str, *, besides: str | None = None) -> int:
        """How many registrations of a project's runs, but for one, point at an artifact."""
        query = select(func.count()).where(
            ARTIFACTS.c.project == project, ARTIFACTS.c.artifact_id == artifact_id
        )
        if besides is not None:
            query = query.where(ARTIFACTS.c.workflow_id != besides)
        async with begin(self._engine) as connection:
            return int((await connection.execute(query)).scalar_one())

    @kept_trying
    async def delete(self, workflow_id: str) -> None:
        """Remove a run, its events and artifact rows, and the text of its decisions.

        The hashes of its decisions stay, so that the chain of the project still verifies.

        Raises:
            RunError: There is no such run (``run_not_found``).
        """
        async with begin(self._engine, write_lock=True) as connection:
            await self._project_of(connection, workflow_id)
            await _erase(connection, [workflow_id])
        await scrub(self._engine)

    @kept_trying
    async def delete_last(self, workflow_id: str, *, runs: int) -> None:
        """As ``delete``, and note in the same transaction that its project is to be forgotten.

        A project that has another run is not.

        Args:
            workflow_id: The run.
            runs: How many the project had.
        """
        async with begin(self._engine, write_lock=True) as connection:
            project = await self._project_of(connection, workflow_id)
            await _erase(connection, [workflow_id])
            await queue_forgetting_project(connection, project, runs=runs)
        await scrub(self._engine)

    @kept_trying
    async def delete_project(self, project: str) -> int:
        """Remove every run of a project as ``delete`` does.

        Returns:
            How many runs were removed.
        """
        query = select(RUNS.c.workflow_id).where(RUNS.c.project == project)
        query = query.order_by(RUNS.c.workflow_id).with_for_update()
        async with begin(self._engine, write_lock=True) as connection:
            names = list((await connection.execute(query)).scalars())
            await _erase(connection, names)
        await scrub(self._engine)
        return len(names)

    async def _ensure_project(self, project: str) -> None:
        known = select(PROJECTS.c.project).where(PROJECTS.c.project == project)
        async with begin(self._engine) as connection:
            if (await connection.execute(known)).first() is not None:
                return
        row = {"project": project, "decisions": 0, "head_hash": GENESIS}
        try:
            async with begin(self._engine) as connection:
                await connection.execute(insert(PROJECTS).values(row))
        except IntegrityError:
            # Another writer was first, which is as good.
            return

    async def _project_of(self, connection: AsyncConnection, workflow_id: str) -> str:
        # Its row stays locked, so that nothing is added to a run while it is being deleted.
        await refuse_lost(connection, workflow_id, self._claim)
        return await _lock(connection, workflow_id)


async def _lock(connection: AsyncConnection, workflow_id: str) -> str:
    """The project of a run, whose row is locked until the commit."""
    query = select(RUNS.c.project).where(RUNS.c.workflow_id == workflow_id).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return str(_found(row, workflow_id)["project"])


async def _report(connection: AsyncConnection, project: Row[Any]) -> ChainReport:
    query = (
        select(*(DECISIONS.c[field.name] for field in fields(Link)))
        .where(DECISIONS.c.project == project.project)
        .order_by(DECISIONS.c.position)
    )
    rows = (await connection.execute(query)).mappings()
    return verify(
        project.project,
        (Link(**row) for row in rows),
        decisions=project.decisions,
        head_hash=project.head_hash,
    )


async def _erase(connection: AsyncConnection, workflow_ids: Sequence[str]) -> None:
    for workflow_id in workflow_ids:
        for table in (EVENTS, ARTIFACTS, RUNS):
            await connection.execute(delete(table).where(table.c.workflow_id == workflow_id))
        await queue_forgetting(connection, workflow_id)
        await connection.execute(
            update(DECISIONS)
            .where(DECISIONS.c.workflow_id == workflow_id)
            .values(workflow_id=None, salt=None, content=None)
        )


def _found(row: RowMapping | None, workflow_id: str) -> RowMapping:
    if row is None:
        raise RunNotFound.of(workflow_id)
    return row


def _record[R: Record](kind: type[R], row: Mapping[Any, Any], table: Table) -> R:
    refuse_newer(row["schema_version"], f"row of {table.name}")
    return kind.model_validate({name: row[name] for name in kind.model_fields})


def refuse_newer(found: int, what: str) -> None:
    """Refuse what a later version stored: it may mean something else (``store_schema``)."""
    if found > SCHEMA_VERSION:
        raise MMMError(
            f"A stored {what} has schema_version {found}; this version reads {SCHEMA_VERSION} and "
            "older. Use the newer version of mmm-workflows that wrote it.",
            code="store_schema",
        )


def _plain(error: ErrorInfo | None) -> Json | None:
    return None if error is None else error.model_dump()

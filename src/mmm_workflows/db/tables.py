"""The tables of runs, of what belongs to them and of memory, in SQL that every database has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

# Migrations in the order they apply; the last is what this code reads and writes.
REVISIONS: Final = ("0001", "0002", "0010", "0011", "0020", "0030")

NAME_LENGTH: Final = 200


class AwareDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC, also where the database forgets the zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a zone: it would be read back as another one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; stored moments are aware")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment as it was stored, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _json() -> JSON:
    return JSON(none_as_null=True)


def _of_run(*, primary_key: bool = False) -> Column[str]:
    return Column(
        "workflow_id",
        String(NAME_LENGTH),
        ForeignKey("runs.workflow_id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


# One row per project: the head of its decision chain, and the row that serialises its writers.
PROJECTS: Final = Table(
    "projects",
    METADATA,
    Column("project", String(NAME_LENGTH), primary_key=True),
    Column("decisions", Integer, nullable=False),
    Column("head_hash", String(64), nullable=False),
)

RUNS: Final = Table(
    "runs",
    METADATA,
    Column("workflow_id", String(NAME_LENGTH), primary_key=True),
    Column("project", String(NAME_LENGTH), ForeignKey("projects.project"), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("workflow", String(NAME_LENGTH), nullable=False),
    Column("status", String(20), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("depth", String(20), nullable=False),
    Column("graph_version", String(NAME_LENGTH), nullable=False),
    Column("request", _json(), nullable=False),
    Column("step", String(NAME_LENGTH)),
    Column("progress", Float, nullable=False),
    Column("result", _json()),
    Column("error", _json()),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_at", AwareDateTime, nullable=False),
    Column("updated_at", AwareDateTime, nullable=False),
    Column("last_seq", Integer, nullable=False),
    # Who works on it: see db.claims.
    Column("on_queue", Boolean, nullable=False, server_default=false()),
    Column("claim", String(32)),
    Column("holder", String(NAME_LENGTH)),
    Column("lease_until", AwareDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # A person's answer that it has not taken in yet, and the question that it waits with.
    Column("answer", Text),
    Column("asked", String(NAME_LENGTH)),
    Index("ix_runs_project_created_at", "project", "created_at"),
    Index("ix_runs_on_queue_status", "on_queue", "status"),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    _of_run(primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("at", AwareDateTime, nullable=False),
    Column("status", String(20), nullable=False),
    Column("step", String(NAME_LENGTH)),
    Column("progress", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", _json()),
)

# A link of the chain outlives its run: salt, content and workflow_id are emptied, hashes stay.
DECISIONS: Final = Table(
    "decisions",
    METADATA,
    Column("project", String(NAME_LENGTH), ForeignKey("projects.project"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("workflow_id", String(NAME_LENGTH), index=True),
    Column("schema_version", Integer, nullable=False),
    Column("hash_version", Integer, nullable=False, server_default="1"),
    Column("salt", String(64)),
    Column("content", Text),
    Column("content_hash", String(64), nullable=False),
    Column("prev_hash", String(64), nullable=False),
)

ARTIFACTS: Final = Table(
    "artifacts",
    METADATA,
    Column("position", Integer, primary_key=True),
    _of_run(),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("artifact_id", String(NAME_LENGTH), nullable=False),
    Column("kind", String(NAME_LENGTH), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", AwareDateTime, nullable=False),
    UniqueConstraint("workflow_id", "kind", "artifact_id", name="uq_artifacts_of_run"),
    Index("ix_artifacts_project_artifact_id", "project", "artifact_id"),
)

# The text of all that is remembered. SQLite's index of its words, `passages_words`, is a virtual
# table that triggers keep: see migration 0002.
PASSAGES: Final = Table(
    "passages",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("passage_id", String(NAME_LENGTH), nullable=False),
    Column("workflow_id", String(NAME_LENGTH), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("node_id", String(NAME_LENGTH), nullable=False),
    Column("read_from", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", AwareDateTime, nullable=False),
    Column("valid_from", AwareDateTime),
    Column("valid_to", AwareDateTime),
    UniqueConstraint("project", "passage_id", name="uq_passages_of_project"),
    Index("ix_passages_project_node_id", "project", "node_id"),
    Index("ix_passages_project_workflow_id", "project", "workflow_id"),
)

# What memory has yet to take, in order. A row of a whole project that is done is its tombstone.
MEMORY_OUTBOX: Final = Table(
    "memory_outbox",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("project", String(NAME_LENGTH), nullable=False),
    Column("workflow_id", String(NAME_LENGTH), index=True),
    Column("action", String(20), nullable=False),
    Column("missing", String(NAME_LENGTH), nullable=False),
    Column("reason", Text),
    Column("runs", Integer, nullable=False),
    Column("queued_at", AwareDateTime, nullable=False),
    Column("done_at", AwareDateTime),
    Index("ix_memory_outbox_project_done_at", "project", "done_at"),
    # The order of rows decides what comes back: the number of one that went is never used again.
    sqlite_autoincrement=True,
)

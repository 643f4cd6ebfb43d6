"""Runs, events, decisions and artifacts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    _projects()
    _runs()
    _events()
    _decisions()
    _artifacts()


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.Column("head_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_projects"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("workflow_id", sa.String(200), nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("depth", sa.String(20), nullable=False),
        sa.Column("graph_version", sa.String(200), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("step", sa.String(200)),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.JSON()),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", name="pk_runs"),
        sa.ForeignKeyConstraint(["project"], ["projects.project"], name="fk_runs_project_projects"),
    )
    op.create_index("ix_runs_project_created_at", "runs", ["project", "created_at"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("workflow_id", sa.String(200), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("step", sa.String(200)),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON()),
        sa.PrimaryKeyConstraint("workflow_id", "seq", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["runs.workflow_id"],
            name="fk_events_workflow_id_runs",
            ondelete="CASCADE",
        ),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workflow_id", sa.String(200)),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("salt", sa.String(64)),
        sa.Column("content", sa.Text()),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("project", "position", name="pk_decisions"),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.project"], name="fk_decisions_project_projects"
        ),
    )
    op.create_index("ix_decisions_workflow_id", "decisions", ["workflow_id"])


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("workflow_id", sa.String(200), nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("artifact_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_artifacts"),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["runs.workflow_id"],
            name="fk_artifacts_workflow_id_runs",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("workflow_id", "kind", "artifact_id", name="uq_artifacts_of_run"),
    )
    op.create_index("ix_artifacts_project_artifact_id", "artifacts", ["project", "artifact_id"])

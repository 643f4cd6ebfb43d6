"""What memory has yet to take, with every run that succeeded before."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Which of them memory has already is not known here; writing it again changes nothing.
_QUEUE = """
    INSERT INTO memory_outbox (project, workflow_id, action, missing, runs, queued_at)
    SELECT project, workflow_id, 'remember', 'vectors,keywords,graph', 1, updated_at
    FROM runs WHERE status = 'succeeded' AND result IS NOT NULL
    ORDER BY created_at, workflow_id
"""


def upgrade() -> None:
    """Make the table, and queue the runs that there are."""
    op.create_table(
        "memory_outbox",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("workflow_id", sa.String(200)),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("missing", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("position", name="pk_memory_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_memory_outbox_workflow_id", "memory_outbox", ["workflow_id"])
    op.create_index("ix_memory_outbox_project_done_at", "memory_outbox", ["project", "done_at"])
    op.execute(_QUEUE)

"""Say of each run who works on it, until when, and what it was answered."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the runs that are there are nobody's, and on no queue."""
    for column in (
        sa.Column("on_queue", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("claim", sa.String(32)),
        sa.Column("holder", sa.String(200)),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("answer", sa.Text()),
        sa.Column("asked", sa.String(200)),
    ):
        op.add_column("runs", column)
    op.create_index("ix_runs_on_queue_status", "runs", ["on_queue", "status"])

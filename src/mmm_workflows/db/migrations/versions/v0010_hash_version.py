"""Say for each decision what its hash covers, so that it may cover its run too."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the version; the links that are there were hashed without their run."""
    column = sa.Column("hash_version", sa.Integer(), nullable=False, server_default="1")
    op.add_column("decisions", column)

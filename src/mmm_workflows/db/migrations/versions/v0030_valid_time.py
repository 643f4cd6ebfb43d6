"""Say of each passage which time in the world it speaks of."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the passages that are there name no time."""
    for name in ("valid_from", "valid_to"):
        op.add_column("passages", sa.Column(name, sa.DateTime(timezone=True)))

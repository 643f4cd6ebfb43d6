"""Passages, and on SQLite the index of their words."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The index holds no text of its own: it points into passages, and a row leaves it with its words.
_SQLITE_WORDS = (
    """
    CREATE VIRTUAL TABLE passages_words USING fts5(
        text, content='passages', content_rowid='position', tokenize='porter unicode61'
    )
    """,
    """
    CREATE TRIGGER passages_words_added AFTER INSERT ON passages BEGIN
        INSERT INTO passages_words(rowid, text) VALUES (new.position, new.text);
    END
    """,
    """
    CREATE TRIGGER passages_words_deleted AFTER DELETE ON passages BEGIN
        INSERT INTO passages_words(passages_words, rowid, text)
        VALUES ('delete', old.position, old.text);
    END
    """,
    """
    CREATE TRIGGER passages_words_changed AFTER UPDATE OF text, position ON passages BEGIN
        INSERT INTO passages_words(passages_words, rowid, text)
        VALUES ('delete', old.position, old.text);
        INSERT INTO passages_words(rowid, text) VALUES (new.position, new.text);
    END
    """,
)


def upgrade() -> None:
    """Make the table of passages and what searches it."""
    _passages()
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE_WORDS:
            op.execute(statement)


def _passages() -> None:
    op.create_table(
        "passages",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("passage_id", sa.String(200), nullable=False),
        sa.Column("workflow_id", sa.String(200), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("node_id", sa.String(200), nullable=False),
        sa.Column("read_from", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_passages"),
        sa.UniqueConstraint("project", "passage_id", name="uq_passages_of_project"),
    )
    op.create_index("ix_passages_project_node_id", "passages", ["project", "node_id"])
    op.create_index("ix_passages_project_workflow_id", "passages", ["project", "workflow_id"])

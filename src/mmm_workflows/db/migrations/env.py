"""What Alembic runs: the migrations, in the transaction of the connection it is handed."""

from alembic import context

from mmm_workflows.db.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

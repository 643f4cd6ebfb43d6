"""Alembic migrations of the run database; applied by `migrate`."""

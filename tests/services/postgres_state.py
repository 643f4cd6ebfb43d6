"""Where the real PostgreSQL is that postgres_up.sh started."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

CACHE = Path(os.environ.get("MMM_SERVICES_CACHE", "~/.cache/mmm-workflows-services")).expanduser()
NAME = "DATABASE_URL"
DRIVER = "postgresql+asyncpg"
# Ends every session of the database but the one that says this.
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def postgres_url() -> str:
    """The address of the database mmm, from TEST_DATABASE_URL or the file that the script writes.

    Without a server the test is skipped, or failed under REQUIRE_SERVICES=1.
    """
    found = os.environ.get(f"TEST_{NAME}")
    path = CACHE / "postgres.env"
    if found is None and path.exists():
        found = dict(line.split("=", 1) for line in path.read_text().splitlines()).get(NAME)
    if found is None:
        missing = "no real PostgreSQL: run tests/services/postgres_up.sh"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@asynccontextmanager
async def fresh_database() -> AsyncIterator[str]:
    """The address of a new, empty database; it is gone after the block, whoever is connected."""
    server = postgres_url()
    name = f"test_{secrets.token_hex(6)}"
    await tell(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        await tell(server, f"DROP DATABASE {name} WITH (FORCE)")


async def tell(url: str, statement: str) -> list[tuple[object, ...]]:
    """What the server answers to one statement."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []


def for_asyncpg(url: str) -> str:
    """The same address for asyncpg."""
    return url.replace("postgresql", DRIVER, 1)

"""Where the real PostgreSQL is that postgres_up.sh started."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from .state import state_of

NAME = "DATABASE_URL"
DRIVER = "postgresql+asyncpg"
# Ends every session of the database but the one that says this.
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def postgres_url() -> str:
    """The address of the database mmm."""
    return state_of("postgres", NAME, label="PostgreSQL")[NAME]


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

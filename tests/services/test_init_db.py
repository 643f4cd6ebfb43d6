"""`scripts/init_db.py` as four processes at once, on real servers and on files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from .chroma_state import chroma_url
from .neo4j_state import neo4j_state
from .postgres_state import fresh_database, tell

REPOSITORY = Path(__file__).parents[2]
STORES = ("records", "checkpoints", "graph", "vectors")


async def started(count: int, environment: dict[str, str]) -> list[tuple[int, list[str], str]]:
    """Exit status, lines and complaints of some processes that run at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "scripts/init_db.py"], cwd=REPOSITORY, text=True,
            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(count)
    ]  # fmt: skip
    said = [await asyncio.to_thread(process.communicate, timeout=240) for process in processes]
    return [
        (process.returncode, out.splitlines(), err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["files", pytest.param("servers", marks=pytest.mark.services)])
async def test_four_at_once_make_every_store_once_and_again(where: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        environment = {"MMM_HOME": str(tmp_path / "home")}
        if where == "servers":
            environment |= neo4j_state() | {"CHROMA_URL": chroma_url()}
            environment["DATABASE_URL"] = await stack.enter_async_context(fresh_database())
        for count in (4, 1):
            for code, lines, complaints in await started(count, environment):
                assert code == 0, complaints
                assert [line.split(": ")[:2] for line in lines] == [["ready", s] for s in STORES]
                assert ":pass@" not in "".join(lines)
        files = list(tmp_path.rglob("*.db"))
        if where == "files":
            assert {file.name for file in files} >= {"runs.db", "checkpoints.db"}
            return
        url = environment["DATABASE_URL"]
        assert await tell(url, "SELECT count(*) FROM alembic_version") == [(1,)]
        assert await tell(url, "SELECT max(v) FROM checkpoint_migrations") == [(9,)]
        assert files == []


@pytest.mark.parametrize(
    ("setting", "store"),
    [
        ({"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:9/mmm"}, "records"),
        ({"NEO4J_URI": "bolt://127.0.0.1:9", "NEO4J_PASSWORD": "hunter2"}, "graph"),
        ({"CHROMA_URL": "http://127.0.0.1:9"}, "vectors"),
    ],
    ids=["records", "graph", "vectors"],
)
async def test_a_store_that_cannot_be_used_is_named(
    setting: dict[str, str], store: str, tmp_path: Path
) -> None:
    environment = {"MMM_HOME": str(tmp_path / "home"), **setting}
    ((code, lines, complaints),) = await started(1, environment)
    assert code == 1
    assert f"The store of {store}: " in complaints
    assert "127.0.0.1:9" in complaints
    assert "hunter2" not in complaints
    assert [line.split(": ")[1] for line in lines] == list(STORES[: STORES.index(store)])

"""The database file: private, migrated once by whoever comes first, and closed without a trace."""

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from services.postgres_state import for_asyncpg, fresh_database
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.chain import GENESIS, content_hash, link_hash
from mmm_workflows.db.engine import begin, open_database
from mmm_workflows.db.migrate import SCRIPTS, migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.db.tables import METADATA, REVISIONS
from mmm_workflows.errors import MMMError, ServiceUnavailable
from mmm_workflows.records import Decision, Run, RunStatus


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def is_described(name: str | None, kind: str, _parents: object) -> bool:
    """SQLAlchemy has no words for a virtual table and those that SQLite makes under it."""
    return not (kind == "table" and (name or "").startswith("passages_words"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )


def ended(process: subprocess.Popen[str], timeout_s: float = 300) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out, err


async def test_the_file_is_private_and_its_new_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "home" / "runs.db"
    before = os.umask(0)
    try:
        engine = await open_database(url_of(path))
        await migrate(engine)
    finally:
        os.umask(before)
    files = list(path.parent.iterdir())
    await engine.dispose()
    assert {"runs.db", "runs.db-wal"} <= {file.name for file in files}
    assert mode(path.parent) == 0o700
    assert {mode(path)} == {0o600}


async def test_a_database_left_readable_by_others_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch(0o644)
    await (await open_database(url_of(path))).dispose()
    assert mode(path) == 0o600


async def test_every_connection_enforces_foreign_keys_in_wal_mode(tmp_path: Path) -> None:
    engine = await open_database(url_of(tmp_path / "runs.db"))
    try:
        async with begin(engine) as one, begin(engine) as other:
            for connection in (one, other):
                found = [
                    (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                    for name in ("foreign_keys", "journal_mode", "secure_delete", "busy_timeout")
                ]
                assert found == [1, "wal", 1, 30_000]
    finally:
        await engine.dispose()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"not a database, by far " * 100)
    with pytest.raises(ServiceUnavailable, match=r"runs\.db.*not a database"):
        await open_database(url_of(path))
    assert path.read_bytes().startswith(b"not a database")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceUnavailable, match="MMM_HOME"):
        await open_database(url_of(tmp_path / "file" / "runs.db"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty database of either kind."""
    async with AsyncExitStack() as stack:
        url = url_of(tmp_path / "runs.db")
        if request.param == "postgres":
            url = for_asyncpg(await stack.enter_async_context(fresh_database()))
        engine = await open_database(url)
        stack.push_async_callback(engine.dispose)
        yield engine


async def test_migrations_make_the_tables_that_the_code_uses(either: AsyncEngine) -> None:
    await migrate(either)
    async with begin(either) as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(
                MigrationContext.configure(c, opts={"include_name": is_described}), METADATA
            )
        )
    assert differences == []


OLD_DECISION = """
INSERT INTO decisions (project, position, workflow_id, schema_version, salt, content,
  content_hash, prev_hash) VALUES ('shop', 1, 'a', 1, 'ab', :content, :hash, :genesis)
"""


async def test_decisions_of_the_first_schema_are_kept_and_verify(either: AsyncEngine) -> None:
    content = Decision(question="q", options=(), choice="x", reason="y").model_dump_json()
    hashed = content_hash("ab", content)
    async with begin(either, write_lock=True) as connection:
        await connection.run_sync(upgrade_to, "0001")
        await connection.execute(
            text("INSERT INTO projects VALUES ('shop', 1, :head)"),
            {"head": link_hash(GENESIS, hashed)},
        )
        await connection.execute(
            text(OLD_DECISION), {"content": content, "hash": hashed, "genesis": GENESIS}
        )
    await migrate(either)
    (report,) = await RunStore(either).audit()
    assert (report.decisions, report.broken) == (1, None)


def upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_the_listed_revisions_are_those_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(s.revision for s in scripts.walk_revisions())[::-1] == REVISIONS


async def test_migrating_again_keeps_what_is_there(tmp_path: Path) -> None:
    engine = await open_database(url_of(tmp_path / "runs.db"))
    try:
        await migrate(engine)
        run = Run(workflow_id="a", workflow="eda", seed=1, graph_version="1", request={})
        await RunStore(engine).create(run)
        await migrate(engine)
        assert await RunStore(engine).get("a") == run
    finally:
        await engine.dispose()


async def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    engine = await open_database(url_of(tmp_path / "runs.db"))
    try:
        await migrate(engine)
        async with begin(engine) as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(MMMError, match="9999") as caught:
            await migrate(engine)
        assert caught.value.code == "store_schema"
    finally:
        await engine.dispose()


COUNT_EVENTS = """
import asyncio, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.runs import RunStore

async def main():
    engine = await open_database(sys.argv[1])
    print(len(await RunStore(engine).events("a")))
    await engine.dispose()

asyncio.run(main())
"""


async def test_opening_the_file_again_keeps_what_is_written_while_others_come_and_go(
    tmp_path: Path,
) -> None:
    url = url_of(tmp_path / "runs.db")
    engine = await open_database(url)
    try:
        await migrate(engine)
        store = RunStore(engine)
        await store.create(
            Run(workflow_id="a", workflow="eda", seed=1, graph_version="1", request={})
        )
        for count in range(1, 4):
            await (await open_database(url)).dispose()
            await store.append_event(
                "a", status=RunStatus.RUNNING, step=None, progress=0, message="written"
            )
            process = await asyncio.to_thread(python, COUNT_EVENTS, url)
            out, _ = await asyncio.to_thread(ended, process)
            assert int(out) == count
    finally:
        await engine.dispose()


OPEN_AND_WRITE = """
import asyncio, sys, threading
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.records import Run, RunStatus
url, name = sys.argv[1:]

async def main():
    engine = await open_database(url)
    await migrate(engine)
    store = RunStore(engine)
    if name != "shared":
        await store.create(Run(workflow_id=name, workflow="eda", seed=1, graph_version="1", request={}))
    for i in range(25):
        await store.append_event("shared" if await store.exists("shared") else name,
            status=RunStatus.RUNNING, step=None, progress=0, message=name)
    await engine.dispose()

asyncio.run(main())
print("alembic" in sys.modules, threading.active_count())
"""


def test_processes_that_start_together_migrate_once_and_all_write(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    started = [python(OPEN_AND_WRITE, url_of(path), f"p{i}") for i in range(4)]
    for process in started:
        ended(process, 60)

    async def seqs() -> list[list[int]]:
        engine = await open_database(url_of(path))
        try:
            store = RunStore(engine)
            return [[e.seq for e in await store.events(f"p{i}")] for i in range(4)]
        finally:
            await engine.dispose()

    assert asyncio.run(seqs()) == [list(range(1, 26))] * 4


def test_processes_that_write_to_one_run_leave_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def prepare() -> None:
        engine = await open_database(url_of(path))
        await migrate(engine)
        run = Run(workflow_id="shared", workflow="eda", seed=1, graph_version="1", request={})
        await RunStore(engine).create(run)
        await engine.dispose()

    asyncio.run(prepare())
    started = [python(OPEN_AND_WRITE, url_of(path), "shared") for _ in range(3)]
    outputs = [ended(process, 60)[0].split() for process in started]

    async def seqs() -> list[int]:
        engine = await open_database(url_of(path))
        try:
            return [event.seq for event in await RunStore(engine).events("shared")]
        finally:
            await engine.dispose()

    assert asyncio.run(seqs()) == list(range(1, 76))
    # At its head the database needs no alembic, and a script that closed its engine just ends.
    assert outputs == [["False", "1"]] * 3


async def test_no_thread_is_left_after_the_engine_is_closed(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    engine = await open_database(url_of(tmp_path / "runs.db"))
    await migrate(engine)
    store = RunStore(engine)
    await asyncio.gather(*(store.exists(str(i)) for i in range(10)))
    held = [t for t in threading.enumerate() if t not in before and "asyncio" not in t.name]
    assert held
    await engine.dispose()
    for thread in held:
        await asyncio.to_thread(thread.join, 5)
    assert [thread for thread in held if thread.is_alive()] == []


async def test_deleted_text_is_in_no_file_of_the_database(tmp_path: Path) -> None:
    engine = await open_database(url_of(tmp_path / "runs.db"))
    try:
        await migrate(engine)
        store = RunStore(engine)
        secret = "SECRET-OF-THE-RUN"
        run = Run(workflow_id="a", workflow="eda", seed=1, graph_version="1", request={"q": secret})
        await store.create(run)
        for _ in range(50):
            await store.append_event(
                "a", status=RunStatus.RUNNING, step=None, progress=0, message=secret * 50
            )
        decision = Decision(question=secret, options=(), choice="x", reason="y")
        await store.add_decisions("a", [decision])
        await store.delete("a")
        leftovers = [f.name for f in tmp_path.iterdir() if secret.encode() in f.read_bytes()]
        assert leftovers == []
    finally:
        await engine.dispose()

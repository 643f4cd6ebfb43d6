"""What every keeper of checkpoints must do; one entry of the fixture per database."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from contracts.sqlite_reader import reading
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ConfigDict
from services.postgres_state import END_ALL, fresh_database, tell

from mmm_workflows.db import engine
from mmm_workflows.db.checkpoints import Saver, delete_thread, open_checkpointer
from mmm_workflows.db.postgres_checkpoints import open_postgres_checkpointer
from mmm_workflows.errors import ServiceUnavailable, SettingsError

SECRET = "MARKER-OF-THE-SECRET"
KEY, OTHER_KEY = secrets.token_bytes(32), secrets.token_bytes(32)
THREAD = {"configurable": {"thread_id": "one"}}


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    words: str


class State(BaseModel):
    """Text at the top, within a model and within a list; a number and a None beside it."""

    question: str
    request: Inner
    heard: list[str] = []
    count: int = 0
    nothing: str | None = None
    answer: str = ""


class Place(NamedTuple):
    """A database of checkpoints: how it is opened, and every byte that it holds."""

    open: Callable[..., AbstractAsyncContextManager[Saver]]
    content: Callable[[], bytes]
    rows: Callable[[str, str], list[tuple[object, ...]]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        path = tmp_path / "checkpoints.db"

        def in_file(statement: str, _of_postgres: str) -> list[tuple[object, ...]]:
            connection = sqlite3.connect(path)
            try:
                found = connection.execute(statement).fetchall()
                connection.commit()
                return found
            finally:
                connection.close()

        yield Place(
            lambda **options: open_checkpointer(path, **options),
            lambda: b"".join(f.read_bytes() for f in sorted(tmp_path.iterdir())),
            in_file,
        )
        return
    async with fresh_database() as url:
        yield Place(
            lambda **options: open_postgres_checkpointer(url, **options),
            lambda: every_column(url),
            lambda _of_sqlite, statement: in_server(url, statement),
        )


def in_server(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def every_column(url: str) -> bytes:
    """Every row of every table: as text, and its bytea columns as the bytes they are."""
    found: list[bytes] = []
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public'"
        ).fetchall()
        for table, column in names:
            for (value,) in connection.execute(f'SELECT "{column}" FROM "{table}"'):
                found.append(value if isinstance(value, bytes) else str(value).encode())
    assert len(names) > 20
    return b"\n".join(found)


def ask(state: State) -> dict[str, object]:
    heard = interrupt({"questions": [f"{SECRET} of the interrupt?"]})
    return {"heard": [*state.heard, heard], "count": state.count + 1}


def answer(state: State) -> dict[str, object]:
    words = f"{SECRET} of the answer to {state.heard[0]}"
    return {"answer": words, "request": state.request, "nothing": None}


def compiled(saver: Saver):
    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("answer", answer)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def first(thread: str = "one") -> dict[str, object]:
    return {
        "question": f"{SECRET} of the question of {thread}",
        "request": Inner(words=f"{SECRET} of the request"),
    }


async def run_half(place: Place, key: bytes | None = None) -> None:
    async with place.open(key=key) as saver:
        await compiled(saver).ainvoke(first(), THREAD)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
async def test_a_run_that_waits_goes_on_in_another_process(place: Place, key: bytes | None) -> None:
    await run_half(place, key)
    async with place.open(key=key) as saver:
        graph = compiled(saver)
        waiting = await graph.aget_state(THREAD)
        assert waiting.next == ("ask",)
        assert waiting.interrupts[0].value == {"questions": [f"{SECRET} of the interrupt?"]}
        ended = await graph.ainvoke(Command(resume="yes"), THREAD)
        values = (await graph.aget_state(THREAD)).values
    assert values == ended
    assert values["answer"] == f"{SECRET} of the answer to yes"
    assert values["question"] == first()["question"]
    # Typed again, by the allow-list that the graph's state gives.
    assert values["request"] == Inner(words=f"{SECRET} of the request")
    assert (values["heard"], values["count"], values["nothing"]) == (["yes"], 1, None)


async def test_under_a_key_no_text_of_a_run_is_in_any_column_or_file(place: Place) -> None:
    async with place.open(key=KEY) as saver:
        graph = compiled(saver)
        await graph.ainvoke(first(), THREAD)
        await graph.ainvoke(Command(resume="yes"), THREAD)
        while_open = place.content()
    assert b"one" in while_open  # the thread: what is read is the database
    for content in (while_open, place.content()):
        assert SECRET.encode() not in content


async def test_without_a_key_the_text_is_there_so_that_the_search_for_it_means_something(
    place: Place,
) -> None:
    await run_half(place)
    content = place.content()
    for part in ("question", "request", "interrupt"):
        assert f"{SECRET} of the {part}".encode() in content


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        (KEY, None, "is encrypted, and no CHECKPOINT_KEY is set"),
        (KEY, OTHER_KEY, "under another CHECKPOINT_KEY"),
        (None, KEY, "is not encrypted, though CHECKPOINT_KEY is set"),
    ],
    ids=["key lost", "key changed", "key added"],
)
async def test_a_run_cannot_go_on_under_another_key(
    place: Place, written: bytes | None, read: bytes | None, said: str
) -> None:
    await run_half(place, written)
    async with place.open(key=read) as saver:
        with pytest.raises(SettingsError, match=said) as caught:
            await compiled(saver).aget_state(THREAD)
    assert caught.value.code == "checkpoint_key"
    async with place.open(key=written) as saver:
        assert (await compiled(saver).aget_state(THREAD)).next == ("ask",)


async def test_a_sealed_value_that_was_changed_is_refused(place: Place) -> None:
    await run_half(place, KEY)
    place.rows(
        "UPDATE checkpoints SET checkpoint = CAST(checkpoint || x'00' AS BLOB)",
        "UPDATE checkpoint_blobs SET blob = blob || '\\x00'::bytea WHERE channel = 'question'",
    )
    async with place.open(key=KEY) as saver:
        with pytest.raises(SettingsError, match="or was changed"):
            await compiled(saver).aget_state(THREAD)


async def test_a_plain_value_put_in_the_place_of_a_sealed_one_is_refused(place: Place) -> None:
    await run_half(place, KEY)
    kind, blob = JsonPlusSerializer().dumps_typed([f"{SECRET} forged"])
    place.rows(
        f"UPDATE writes SET type = '{kind}', value = x'{blob.hex()}'",
        f"UPDATE checkpoint_writes SET type = '{kind}', blob = '\\x{blob.hex()}'",
    )
    async with place.open(key=KEY) as saver:
        with pytest.raises(SettingsError, match="is not encrypted"):
            await compiled(saver).aget_state(THREAD)


@pytest.mark.services
async def test_a_plain_value_put_beside_the_sealed_ones_is_refused() -> None:
    async with fresh_database() as url:
        async with open_postgres_checkpointer(url, key=KEY) as saver:
            await compiled(saver).ainvoke(first(), THREAD)
        forged = """jsonb_set(checkpoint, '{channel_values}', '{"count": 7}')"""
        await tell(url, f"UPDATE checkpoints SET checkpoint = {forged}")
        async with open_postgres_checkpointer(url, key=KEY) as saver:
            with pytest.raises(SettingsError, match="is not encrypted"):
                await compiled(saver).aget_state(THREAD)


async def test_a_deleted_thread_is_gone_and_the_others_stay(place: Place) -> None:
    async with place.open() as saver:
        graph = compiled(saver)
        for name in ("gone", "kept"):
            await graph.ainvoke(first(name), {"configurable": {"thread_id": name}})
        await delete_thread(saver, "gone")
        left = await graph.aget_state({"configurable": {"thread_id": "gone"}})
        kept = await graph.aget_state({"configurable": {"thread_id": "kept"}})
    assert left.values == {}
    assert kept.values["question"] == first("kept")["question"]
    assert b"question of gone" not in place.content()


async def test_a_deletion_beside_another_program_that_reads_is_refused_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "EMPTIED_WITHIN_S", 0.1)
    path = tmp_path / "checkpoints.db"

    def on_disk(name: str) -> bool:
        return any(f"question of {name}".encode() in f.read_bytes() for f in tmp_path.iterdir())

    async with open_checkpointer(path) as saver:
        assert isinstance(saver, AsyncSqliteSaver)
        graph = compiled(saver)
        for name in ("gone", "kept"):
            await graph.ainvoke(first(name), {"configurable": {"thread_id": name}})
        with reading(path):
            with pytest.raises(ServiceUnavailable, match="deleted text is still on the disk"):
                await delete_thread(saver, "gone")
            assert on_disk("gone")
        await delete_thread(saver, "gone")
        assert [on_disk(name) for name in ("gone", "kept")] == [False, True]


async def test_a_deletion_that_another_program_s_writing_refused_leaves_the_saver_usable(
    tmp_path: Path,
) -> None:
    path = tmp_path / "checkpoints.db"
    async with open_checkpointer(path) as saver:
        assert isinstance(saver, AsyncSqliteSaver)
        graph = compiled(saver)
        for name in ("gone", "kept"):
            await graph.ainvoke(first(name), {"configurable": {"thread_id": name}})
        await saver.conn.execute("PRAGMA busy_timeout=50")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(ServiceUnavailable, match="could not be deleted"):
                await delete_thread(saver, "gone")
            assert not saver.conn.in_transaction
            other.execute("PRAGMA user_version=1")
            other.execute("COMMIT")
        await graph.aget_state({"configurable": {"thread_id": "kept"}})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA user_version=2")
        await graph.ainvoke(first("next"), {"configurable": {"thread_id": "next"}})
        await delete_thread(saver, "gone")


async def test_threads_at_once_do_not_mix(place: Place) -> None:
    names = [f"t{i}" for i in range(8)]
    async with place.open(key=KEY) as saver:
        graph = compiled(saver)
        threads = [{"configurable": {"thread_id": name}} for name in names]
        await asyncio.gather(
            *(graph.ainvoke(first(n), t) for n, t in zip(names, threads, strict=True))
        )
        ends = await asyncio.gather(
            *(graph.ainvoke(Command(resume=n), t) for n, t in zip(names, threads, strict=True))
        )
    assert [end["answer"] for end in ends] == [f"{SECRET} of the answer to {n}" for n in names]
    assert [end["question"] for end in ends] == [first(n)["question"] for n in names]


OPEN = """
import asyncio, sys
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.postgres_checkpoints import open_postgres_checkpointer

async def main():
    engine = await open_database(sys.argv[1].replace("postgresql", "postgresql+asyncpg"))
    await migrate(engine)
    async with open_postgres_checkpointer(sys.argv[1]):
        pass
    await engine.dispose()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.services
async def test_four_processes_that_find_an_empty_server_set_it_up_once() -> None:
    async with fresh_database() as url:
        started = [
            subprocess.Popen([sys.executable, "-c", OPEN, url], stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        errors = [(await asyncio.to_thread(p.communicate, timeout=120))[1] for p in started]
        assert [p.returncode for p in started] == [0] * 4, errors
        (found,) = await tell(url, "SELECT count(*), max(v) FROM checkpoint_migrations")
        indexes = await tell(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    assert found == (10, 9)
    assert indexes == [(0,)]


@pytest.mark.services
async def test_a_wrong_password_is_told_with_the_place_and_without_the_password() -> None:
    async with fresh_database() as url:
        wrong = url.replace(":pass@", ":hunter2@")
        port = url.rpartition(":")[2].split("/")[0]
        with pytest.raises(ServiceUnavailable, match=rf"127\.0\.0\.1:{port}") as caught:
            async with open_postgres_checkpointer(wrong):
                pytest.fail("it was opened")
    assert "password authentication failed" in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.services
async def test_a_saver_outlives_sessions_that_the_server_ends() -> None:
    async with fresh_database() as url, open_postgres_checkpointer(url) as saver:
        graph = compiled(saver)
        await graph.ainvoke(first(), THREAD)
        await tell(url, END_ALL)
        ended = await graph.ainvoke(Command(resume="yes"), THREAD)
    assert ended["count"] == 1

"""The audit finds whatever was done to the decisions behind our back, on both databases."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from mmm_workflows.cli.app import app
from mmm_workflows.db.chain import ChainReport, content_hash, link_hash
from mmm_workflows.db.engine import begin, open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import RunError
from mmm_workflows.records import Decision, Run


@pytest.fixture
async def store(engine: AsyncEngine) -> RunStore:
    """Two runs of the project shop with six decisions between them, and one of another."""
    made = RunStore(engine)
    await fill(made)
    return made


async def fill(store: RunStore) -> None:
    for name, project in (("a", "shop"), ("b", "shop"), ("c", "other")):
        await store.create(
            Run(
                workflow_id=name, project=project, workflow="eda", seed=1, graph_version="1",
                request={},
            )
        )  # fmt: skip
    for name in ("a", "b", "a", "b", "a", "b", "c"):
        await store.add_decisions(name, [a_decision(f"of {name}")])


def a_decision(question: str) -> Decision:
    return Decision(question=question, options=(), choice="weekly", reason="seven days apart")


async def tamper(engine: AsyncEngine, *statements: str) -> None:
    async with begin(engine) as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def shop(store: RunStore) -> ChainReport:
    (report,) = await store.audit("shop")
    return report


async def test_an_untouched_chain_verifies_and_so_it_does_after_a_deletion(
    store: RunStore,
) -> None:
    before = await shop(store)
    assert (before.decisions, before.deleted, before.broken) == (6, 0, None)
    await store.delete("a")
    after = await shop(store)
    assert (after.decisions, after.deleted, after.broken) == (6, 3, None)
    assert after.head_hash == before.head_hash
    await store.delete_project("shop")
    assert (await shop(store)).deleted == 6
    assert [r.project for r in await store.audit()] == ["other", "shop"]
    assert all(r.broken is None for r in await store.audit())


OF_3 = "WHERE project = 'shop' AND position = 3"


@pytest.mark.parametrize(
    ("done", "position", "said"),
    [
        ((f"UPDATE decisions SET content = replace(content, 'weekly', 'daily') {OF_3}",), 3, "text"),
        ((f"UPDATE decisions SET salt = 'ab' {OF_3}",), 3, "text"),
        ((f"UPDATE decisions SET workflow_id = 'b' {OF_3}",), 3, "run was changed"),
        ((f"UPDATE decisions SET hash_version = 1 {OF_3}",), 3, "text"),
        ((f"UPDATE decisions SET content = NULL {OF_3}",), 3, "not deleted together"),
        ((f"UPDATE decisions SET workflow_id = NULL {OF_3}",), 3, "not deleted together"),
        ((f"DELETE FROM decisions {OF_3}",), 3, "missing"),
        (("DELETE FROM decisions WHERE project = 'shop' AND position = 1",), 1, "missing"),
        (("DELETE FROM decisions WHERE project = 'shop' AND position = 6",), 6, "missing"),
        (("DELETE FROM decisions WHERE project = 'shop' AND position > 2",), 3, "missing"),
        (
            (
                f"DELETE FROM decisions {OF_3}",
                "UPDATE decisions SET position = position - 1 WHERE project = 'shop' "
                "AND position = 4",
                "UPDATE decisions SET position = position - 1 WHERE project = 'shop' "
                "AND position = 5",
                "UPDATE decisions SET position = position - 1 WHERE project = 'shop' "
                "AND position = 6",
                "UPDATE projects SET decisions = 5 WHERE project = 'shop'",
            ),
            3,
            "does not follow",
        ),
        (
            (
                "UPDATE decisions SET position = 99 WHERE project = 'shop' AND position = 2",
                "UPDATE decisions SET position = 2 WHERE project = 'shop' AND position = 5",
                "UPDATE decisions SET position = 5 WHERE project = 'shop' AND position = 99",
            ),
            2,
            "does not follow",
        ),
        (
            (
                "INSERT INTO decisions SELECT project, 7, workflow_id, schema_version, salt, "
                "content, content_hash, prev_hash, hash_version FROM decisions "
                "WHERE project = 'shop' AND position = 6",
            ),
            7,
            "does not follow",
        ),
        (("UPDATE projects SET head_hash = prev_hash FROM (SELECT prev_hash FROM decisions "
          "WHERE project = 'shop' AND position = 2) AS d WHERE project = 'shop'",), 6, "hash"),
        (("UPDATE projects SET decisions = 5 WHERE project = 'shop'",), 6, "inserted"),
        (("UPDATE projects SET decisions = 9 WHERE project = 'shop'",), 7, "missing"),
    ],
)  # fmt: skip
async def test_the_first_broken_link_is_named(
    store: RunStore, engine: AsyncEngine, done: tuple[str, ...], position: int, said: str
) -> None:
    await tamper(engine, *done)
    broken = (await shop(store)).broken
    assert broken is not None
    assert (broken.position, said in broken.reason) == (position, True), broken
    (other,) = await store.audit("other")
    assert other.broken is None


async def test_a_decision_rewritten_with_its_own_hash_is_found_at_the_next(
    store: RunStore, engine: AsyncEngine
) -> None:
    forged = a_decision("of a").model_copy(update={"choice": "daily"}).model_dump_json()
    hashed = content_hash("ab", f"a\n{forged}")
    assert hashed == hashlib.sha256(f"ab\na\n{forged}".encode()).hexdigest()
    async with begin(engine) as connection:
        statement = f"UPDATE decisions SET content = :c, salt = 'ab', content_hash = :h {OF_3}"
        await connection.execute(text(statement), {"c": forged, "h": hashed})
    broken = (await shop(store)).broken
    assert broken is not None
    assert (broken.position, "does not follow" in broken.reason) == (4, True)


async def test_links_of_the_first_version_still_verify_and_go_on(
    store: RunStore, engine: AsyncEngine
) -> None:
    async with begin(engine) as connection:
        query = text("SELECT position, salt, content FROM decisions WHERE project = 'other'")
        ((position, salt, content),) = (await connection.execute(query)).all()
        hashed = content_hash(salt, content)
        await connection.execute(
            text(
                "UPDATE decisions SET hash_version = 1, content_hash = :h "
                "WHERE project = 'other' AND position = :p"
            ),
            {"h": hashed, "p": position},
        )
        await connection.execute(
            text("UPDATE projects SET head_hash = :h WHERE project = 'other'"),
            {"h": link_hash("0" * 64, hashed)},
        )
    await store.add_decisions("c", [a_decision("later")])
    (report,) = await store.audit("other")
    assert (report.decisions, report.broken) == (2, None)


async def test_an_audit_beside_writers_never_sees_half_a_link(store: RunStore) -> None:
    writing = [store.add_decisions("a", [a_decision(str(i))] * 3) for i in range(25)]
    auditing = [shop(store) for _ in range(25)]
    mixed = [work for pair in zip(writing, auditing, strict=True) for work in pair]
    reports = [r for r in await asyncio.gather(*mixed) if r is not None]
    assert [r.broken for r in reports] == [None] * 25
    assert len({r.decisions for r in reports}) > 1
    assert (await shop(store)).decisions == 6 + 75


async def test_an_unknown_project_is_said_to_be_unknown(store: RunStore) -> None:
    with pytest.raises(RunError, match="nobody") as caught:
        await store.audit("nobody")
    assert caught.value.code == "run_not_found"


async def prepared(home: Path, *statements: str) -> None:
    opened = await open_database(f"sqlite+aiosqlite:///{home / 'runs.db'}")
    try:
        await migrate(opened)
        await fill(RunStore(opened))
        await tamper(opened, *statements)
    finally:
        await opened.dispose()


def called(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", "verify", *arguments])
    return result.exit_code, result.output


async def in_thread(*arguments: str) -> tuple[int, str]:
    return await asyncio.to_thread(called, *arguments)


async def test_the_command_says_what_verified_and_exits_0(own_environment: Path) -> None:
    await prepared(own_environment)
    code, said = await in_thread()
    assert code == 0, said
    assert "shop: 6 decisions verified; head " in said
    assert "other: 1 decisions verified" in said
    code, said = await in_thread("--project", "other", "--json")
    report = json.loads(said)
    assert (code, report["verified"], [p["project"] for p in report["projects"]]) == (
        0, True, ["other"],
    )  # fmt: skip


async def test_the_command_names_the_broken_link_and_exits_1(own_environment: Path) -> None:
    await prepared(own_environment, f"DELETE FROM decisions {OF_3}")
    code, said = await in_thread()
    assert (code, "shop: BROKEN at decision 3" in said) == (1, True), said
    assert "other: 1 decisions verified" in said
    assert (await in_thread("--project", "other"))[0] == 0
    code, said = await in_thread("--json")
    assert (code, json.loads(said)["verified"]) == (1, False)
    assert (await in_thread("--project", "nobody"))[0] == 2

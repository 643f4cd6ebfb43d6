"""What is newer ends what it replaces in every graph, and what held then can still be seen."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

import pytest

from mmm_workflows.db.engine import open_database
from mmm_workflows.db.graphrag import Memory
from mmm_workflows.db.keywords import SqlKeywords
from mmm_workflows.db.migrate import migrate
from mmm_workflows.mmm.knowledge import (
    Edge,
    EdgeKind,
    Node,
    NodeKind,
    Passage,
    Period,
    digest,
    node_id,
)
from mmm_workflows.mmm.recall import Recall, Scope

from .conftest import AnyGraph
from .values import day, edge, node

type Part = tuple[list[Node], list[Edge]]


def refreshes(project: str) -> list[Part]:
    """A model of day 1, its refresh of day 3, and a scenario of day 5 on the old one."""
    first = {"workflow_id": "one", "created_at": day(1)}
    second = {"workflow_id": "two", "created_at": day(3)}
    third = {"workflow_id": "three", "created_at": day(5)}
    old = node(project, "old", kind=NodeKind.MODEL, **first)
    tv = node(project, "tv", kind=NodeKind.CHANNEL, **first)
    return [
        (
            [node(project, "run 1", kind=NodeKind.ANALYSIS, **first), old, tv],
            [
                edge(project, "run 1", "old", kind=EdgeKind.PRODUCED, **first),
                edge(project, "old", "tv", kind=EdgeKind.ABOUT, **first),
            ],
        ),
        (
            [
                node(project, "new", kind=NodeKind.MODEL, **second),
                old.model_copy(update=second),
                tv.model_copy(update=second),
            ],
            [
                edge(project, "new", "old", kind=EdgeKind.SUPERSEDES, **second),
                edge(project, "new", "tv", kind=EdgeKind.ABOUT, **second),
            ],
        ),
        (
            [
                node(project, "plan", kind=NodeKind.SCENARIO, **third),
                old.model_copy(update=third),
            ],
            [edge(project, "plan", "old", kind=EdgeKind.BASED_ON, **third)],
        ),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_newer_version_ends_what_made_the_older_one_current_in_whatever_order_they_come(
    graph: AnyGraph, project: str, tmp_path: Path, order: tuple[int, ...]
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    parts = refreshes(project)
    for which in (*order, 0):  # and once more, as after a crash
        await memory.remember(*parts[which], [])
    _, edges = await graph.everything(project)
    assert {f"{e.source} {e.kind} {e.target}": e.expired_at for e in edges} == {
        "run 1 PRODUCED old": day(3),
        "old ABOUT tv": day(3),
        "new SUPERSEDES old": None,
        "new ABOUT tv": None,
        "plan BASED_ON old": None,
    }

    async def about_tv(at: int) -> set[str]:
        _, around = await graph.neighbourhood(project, ["tv"], hops=1, at=day(at))
        return {e.source for e in around}

    assert (await about_tv(2), await about_tv(4)) == ({"old"}, {"new"})
    # What was not known yet is not seen either.
    _, before = await graph.neighbourhood(project, ["old"], hops=1, at=day(1) - timedelta(days=1))
    assert before == []
    await engine.dispose()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_what_a_forgotten_run_had_replaced_is_current_again(
    graph: AnyGraph, project: str, tmp_path: Path, order: tuple[int, ...]
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    parts = refreshes(project)
    for which in order:
        await memory.remember(*parts[which], [])
        if which == 1 and order[0] == 1:
            await graph.forget(project, workflow_id="two")  # before anything else is known
    for _ in range(2):  # and once more, as after a crash
        await graph.forget(project, workflow_id="two")
        _, edges = await graph.everything(project)
        assert {f"{e.source} {e.kind} {e.target}": e.expired_at for e in edges} == {
            "run 1 PRODUCED old": None,
            "old ABOUT tv": None,
            "plan BASED_ON old": None,
        }
    await memory.remember(*parts[1], [])
    _, edges = await graph.everything(project)
    assert {e.source for e in edges if e.expired_at == day(3)} == {"run 1", "old"}
    await engine.dispose()


@pytest.mark.parametrize(("gone", "ended"), [("two", 4), ("four", 3)])
async def test_what_two_runs_replaced_stays_replaced_when_one_of_them_is_forgotten(
    graph: AnyGraph, project: str, tmp_path: Path, gone: str, ended: int
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    fourth = {"workflow_id": "four", "created_at": day(4)}
    again = (
        [
            node(project, "newest", kind=NodeKind.MODEL, **fourth),
            node(project, "old", kind=NodeKind.MODEL, **fourth),
            node(project, "new", kind=NodeKind.MODEL, **fourth),
        ],
        [
            edge(project, "newest", "old", kind=EdgeKind.SUPERSEDES, **fourth),
            edge(project, "newest", "new", kind=EdgeKind.SUPERSEDES, **fourth),
        ],
    )
    for part in (*refreshes(project), again):
        await memory.remember(*part, [])
    await graph.forget(project, workflow_id=gone)
    _, edges = await graph.everything(project)
    found = {f"{e.source} {e.kind} {e.target}": e.expired_at for e in edges}
    assert found["run 1 PRODUCED old"] == found["old ABOUT tv"] == day(ended)
    assert found.get("new ABOUT tv") is None
    await engine.dispose()


async def test_a_run_that_uses_the_old_version_again_makes_it_current_again(
    graph: AnyGraph, project: str, tmp_path: Path
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    for part in refreshes(project):
        await memory.remember(*part, [])
    again = {"workflow_id": "four", "created_at": day(6)}
    await memory.remember(
        [
            node(project, "run 4", kind=NodeKind.ANALYSIS, **again),
            node(project, "old", kind=NodeKind.MODEL, **again),
        ],
        [edge(project, "run 4", "old", kind=EdgeKind.PRODUCED, **again)],
        [],
    )
    _, edges = await graph.everything(project)
    assert [e.expired_at for e in edges if e.source == "run 4"] == [None]
    # ... until something newer comes again.
    last = {"workflow_id": "five", "created_at": day(7)}
    await memory.remember(
        [
            node(project, "newest", kind=NodeKind.MODEL, **last),
            node(project, "old", kind=NodeKind.MODEL, **last),
        ],
        [edge(project, "newest", "old", kind=EdgeKind.SUPERSEDES, **last)],
        [],
    )
    _, edges = await graph.everything(project)
    assert [e.expired_at for e in edges if e.source == "run 4"] == [day(7)]
    await engine.dispose()


async def test_claims_whose_figures_do_not_meet_contradict_each_other_across_runs(
    graph: AnyGraph, project: str, tmp_path: Path
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)

    def claim(name: str, number: int, low: float, high: float, **other: str) -> Node:
        properties = {
            "quantity": "roas", "channel": "tv", "geography": None, "category": None,
            "low": low, "high": high, **other,
        }  # fmt: skip
        return node(
            project, name, created_at=day(number), workflow_id=f"run {number}",
            properties=properties,
        )  # fmt: skip

    written = [
        claim("a", 1, 1.0, 2.0),
        claim("b", 2, 2.0, 3.0),
        claim("c", 3, 2.5, 2.5, geography="Germany"),
        claim("d", 4, 0.5, 0.5, geography="France"),
        claim("e", 5, 9.0, 9.0, channel="radio"),
        node(project, "f", created_at=day(6)),
    ]
    for which in (3, 0, 4, 1, 5, 2, 0, 3):
        await memory.remember([written[which]], [], [])
    _, edges = await graph.everything(project)
    found = {f"{e.source} {e.target}": (e.kind, e.workflow_id, e.evidence) for e in edges}
    assert found == {
        "c a": (EdgeKind.CONTRADICTS, "run 3", "2.5 against 1 to 2: roas of tv"),
        "d a": (EdgeKind.CONTRADICTS, "run 4", "0.5 against 1 to 2: roas of tv"),
        "d b": (EdgeKind.CONTRADICTS, "run 4", "0.5 against 2 to 3: roas of tv"),
    }
    await engine.dispose()


def told(project: str, run: str, number: int, kind: NodeKind, node: str, text: str) -> Passage:
    """A passage of a run of a day, about the three days from that one on."""
    return Passage(
        project=project,
        workflow_id=run,
        created_at=day(number),
        passage_id=digest(run, text),
        text=text,
        kind=kind,
        node_id=node,
        where="/x",
        valid_from=day(number),
        valid_to=day(number + 3),
    )


def fits(project: str, run: str, number: int) -> tuple[list[Node], list[Edge], list[Passage]]:
    """A run that made a model ``run`` and says something of it, of a channel and of a choice."""
    values = {"workflow_id": run, "created_at": day(number)}
    analysis = node_id(project, NodeKind.ANALYSIS, run)
    nodes = [
        node(project, analysis, kind=NodeKind.ANALYSIS, **values),
        node(project, f"model {run}", kind=NodeKind.MODEL, **values),
        node(project, "tv", kind=NodeKind.CHANNEL, **values),
    ]
    edges = [
        edge(project, analysis, f"model {run}", kind=EdgeKind.PRODUCED, **values),
        edge(project, f"model {run}", "tv", kind=EdgeKind.ABOUT, **values),
    ]
    texts = [
        (NodeKind.MODEL, f"model {run}", f"television model {run}"),
        (NodeKind.CHANNEL, "tv", f"television returned 2 in the television model {run}"),
        (NodeKind.DECISION, f"decision {run}", f"television prior {run}"),
        (NodeKind.CLAIM, f"claim {run}", f"television page {run}"),
    ]
    nodes += [node(project, n, kind=k, **values) for k, n, _ in texts[2:]]
    return nodes, edges, [told(project, run, number, *text) for text in texts]


def of_runs(recall: Recall, kind: NodeKind) -> list[str]:
    return [f.passage.workflow_id for f in recall.found if f.passage.kind is kind]


async def test_what_was_superseded_says_by_what_and_stands_below_it(
    graph: AnyGraph, project: str, tmp_path: Path
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    await memory.remember(*fits(project, "old", 1))
    nodes, edges, passages = fits(project, "new", 5)
    # Longer, so that its words count for less.
    passages = [
        p.model_copy(update={"text": f"{p.text} and very much more of it"}) for p in passages
    ]
    await memory.remember(nodes, edges, passages)
    kinds = (NodeKind.MODEL, NodeKind.CHANNEL, NodeKind.DECISION)

    async def recalled(**scope) -> Recall:
        asked = Scope(project=project, **scope)
        return await memory.recall("the television model prior page", scope=asked, k=8)

    before = await recalled()
    assert {kind: of_runs(before, kind) for kind in kinds} == {k: ["old", "new"] for k in kinds}
    assert all(f.superseded is None for f in before.found)

    replaced = edge(
        project, "model new", "model old", kind=EdgeKind.SUPERSEDES, workflow_id="new",
        created_at=day(5), evidence="a refit on newer weeks",
    )  # fmt: skip
    await memory.remember([], [replaced], [])
    after = await recalled()
    assert {kind: of_runs(after, kind) for kind in kinds} == {k: ["new", "old"] for k in kinds}
    ended = {f.passage.kind: f.superseded for f in after.found if f.superseded is not None}
    assert set(ended) == set(kinds), "a page's claim stays what the page says"
    for by in ended.values():
        assert (by.name, by.workflow_id, by.at) == ("Model model new", "new", day(5))
        assert by.evidence == "a refit on newer weeks"
    assert len(after.found) == len(before.found) == 8

    current = await recalled(current=True)
    assert {f.passage.workflow_id for f in current.found if f.passage.kind in kinds} == {"new"}
    # What replaced it was not known then.
    then = await recalled(at=day(4))
    assert {f.passage.workflow_id for f in then.found} == {"old"}
    assert all(f.superseded is None for f in then.found)
    # Made again later, the old one is in use again.
    again = {"workflow_id": "third", "created_at": day(8)}
    run = node(project, node_id(project, NodeKind.ANALYSIS, "third"), **again)
    made = edge(project, run.node_id, "model old", kind=EdgeKind.PRODUCED, **again)
    await memory.remember([run], [made], [])
    assert all(f.superseded is None for f in (await recalled()).found)
    await engine.dispose()


async def test_recall_keeps_to_a_period_and_to_what_was_known(
    graph: AnyGraph, project: str, tmp_path: Path
) -> None:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    memory = Memory(SqlKeywords(engine), graph=graph)
    for run, number in (("first", 1), ("second", 10)):
        nodes, edges, passages = fits(project, run, number)
        about = {"valid_from": day(number), "valid_to": day(number + 3)}
        edges = [e.model_copy(update=about) for e in edges]
        await memory.remember(nodes, edges, passages)

    async def runs(first: int, last: int, **scope) -> set[str]:
        about = Period(first=day(first).date(), last=day(last).date())
        asked = Scope(project=project, about=about, **scope)
        recall = await memory.recall("television", scope=asked, k=20)
        assert all(use.ran for use in recall.ways if use.way != "vectors")
        # Nor is anything reached over an edge of another time.
        assert {e.workflow_id for f in recall.found for e in f.path} <= {
            f.passage.workflow_id for f in recall.found
        }
        return {f.passage.workflow_id for f in recall.found}

    assert await runs(1, 3) == {"first"}
    assert await runs(4, 9) == set()
    assert await runs(3, 10) == {"first", "second"}
    assert await runs(3, 10, at=day(5)) == {"first"}
    await engine.dispose()

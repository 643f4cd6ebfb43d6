"""The text of passages in the run database, found by its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    delete,
    func,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.engine import begin, is_sqlite, scrub, uninterrupted
from mmm_workflows.db.reading import Reader
from mmm_workflows.db.tables import PASSAGES
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.knowledge import Hit, Passage, Period

# Values per statement that every SQLite takes are 32,766.
IDS_AT_ONCE: Final = 10_000
MAX_WORDS: Final = 64
_COMMON = """
    a about after all am an and any are as at be been before but by can could did do does for from
    had has have how i if in into is it its me my no not of on one or our out over shall should so
    some than that the their them then there they this to up us was we were what when where which
    who why will with would you your
"""
# They stand in most sentences and say nothing about which one is meant; to rank every row that
# holds one of them takes most of the time of a search.
COMMON_WORDS: Final = frozenset(_COMMON.split())


class SqlKeywords:
    """Passages of the run database; see ``ports.Keywords``.

    How words are searched differs between databases: ``SEARCHES`` holds one statement for each.

    Args:
        engine: A database that ``migrate`` has brought up to date.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    @uninterrupted
    async def add(self, passages: Sequence[Passage]) -> None:
        """Write passages; the same id is written once, and stays as it was written first."""
        if not passages:
            return
        # Both databases have the clause, and SQLAlchemy a class for each.
        insert = sqlite.insert if is_sqlite(self._engine.url) else postgresql.insert
        statement = insert(PASSAGES).on_conflict_do_nothing(
            index_elements=["project", "passage_id"]
        )
        async with begin(self._engine, write_lock=True) as connection:
            await connection.execute(statement, [_row(passage) for passage in passages])

    async def search(
        self,
        question: str,
        *,
        project: str,
        k: int,
        until: datetime | None = None,
        about: Period | None = None,
    ) -> list[Hit]:
        """The ``k`` passages that share the rarest words with a question, best first.

        How rare a word is, is counted over all projects of the database; nothing of another
        project is returned.

        Raises:
            ServiceUnavailable: Words cannot be searched in this kind of database yet
                (``service_not_supported``).
        """
        words = words_of(question)
        if not words:
            return []
        statement = self._search(words).where(PASSAGES.c.project == project).limit(k)
        if until is not None:
            statement = statement.where(PASSAGES.c.created_at <= until)
        if about is not None:
            statement = statement.where(*_speaks_of(about))
        rows = await self._reader.rows(statement)
        return [Hit(passage_id=row["passage_id"], score=row["score"]) for row in rows]

    async def passages(self, project: str, ids: Sequence[str] | None = None) -> list[Passage]:
        """Passages by their ids, or all of a project, ordered by id."""
        return await self._where(project, PASSAGES.c.passage_id, ids)

    async def about(self, project: str, node_ids: Sequence[str]) -> list[Passage]:
        """The passages about some nodes, ordered by id."""
        return await self._where(project, PASSAGES.c.node_id, node_ids)

    @uninterrupted
    async def forget(self, project: str, *, workflow_id: str | None = None) -> None:
        """Delete what a run wrote, or a whole project, from the file and its log too."""
        statement = delete(PASSAGES).where(PASSAGES.c.project == project)
        if workflow_id is not None:
            statement = statement.where(PASSAGES.c.workflow_id == workflow_id)
        async with begin(self._engine, write_lock=True) as connection:
            await connection.execute(statement)
            if is_sqlite(self._engine.url):
                # A deleted row's words stay in the index until its parts are merged.
                await connection.execute(
                    text("INSERT INTO passages_words(passages_words) VALUES ('optimize')")
                )
        await scrub(self._engine)

    def _search(self, words: list[str]) -> Select[Any]:
        dialect = self._engine.dialect.name
        if dialect not in SEARCHES:
            raise ServiceUnavailable(
                f"Words cannot be searched in {dialect} by this version; it can in "
                f"{', '.join(SEARCHES)}.",
                code="service_not_supported",
            )
        return SEARCHES[dialect](words)

    async def _where(
        self, project: str, column: ColumnElement[str], values: Sequence[str] | None
    ) -> list[Passage]:
        of_project = select(PASSAGES).where(PASSAGES.c.project == project)
        if values is None:
            rows = await self._reader.rows(of_project)
        else:
            rows = []
            for start in range(0, len(values), IDS_AT_ONCE):
                some = column.in_(values[start : start + IDS_AT_ONCE])
                rows += await self._reader.rows(of_project.where(some))
        return sorted((_passage(row) for row in rows), key=lambda passage: passage.passage_id)


def _speaks_of(period: Period) -> tuple[ColumnElement[bool], ...]:
    """What ``Passage.speaks_of`` says."""
    begins, ends = PASSAGES.c.valid_from, PASSAGES.c.valid_to
    return (
        begins.is_(None) | (begins < period.ends),
        ends.is_(None) | (ends > period.begins),
    )


def words_of(question: str) -> list[str]:
    """The words of a question that can tell passages apart; all of them where none can."""
    found = list(dict.fromkeys(re.findall(r"\w+", question.casefold())))
    return ([word for word in found if word not in COMMON_WORDS] or found)[:MAX_WORDS]


def _fts5(words: list[str]) -> Select[Any]:
    """Each word in quotes: without them, FTS5 reads some as operators and columns."""
    index = table("passages_words", literal_column("rowid"))
    # bm25() is the lower, the better.
    score = (-func.bm25(literal_column("passages_words"))).label("score")
    return (
        select(PASSAGES.c.passage_id, score)
        .select_from(PASSAGES)
        .join(index, literal_column("passages_words.rowid") == PASSAGES.c.position)
        .where(text("passages_words MATCH :words"))
        .params(words=" OR ".join(f'"{word}"' for word in words))
        .order_by(score.desc(), PASSAGES.c.passage_id)
    )


def _full_text(words: list[str]) -> Select[Any]:
    """Words are letters, digits and underscores alone, and one argument: no operator of its own."""
    asked = func.to_tsquery(literal_column("'english'"), " | ".join(words))
    found = func.to_tsvector(literal_column("'english'"), PASSAGES.c.text)
    score = func.ts_rank_cd(found, asked).label("score")
    return (
        select(PASSAGES.c.passage_id, score)
        .where(found.op("@@")(asked))
        .order_by(score.desc(), PASSAGES.c.passage_id)
    )


# One arm per database that can search words.
SEARCHES: Final[dict[str, Callable[[list[str]], Select[Any]]]] = {
    "sqlite": _fts5,
    "postgresql": _full_text,
}


def _row(passage: Passage) -> dict[str, object]:
    row: dict[str, object] = passage.model_dump()
    row["kind"] = passage.kind.value
    row["read_from"] = row.pop("where")
    return row


def _passage(row: RowMapping) -> Passage:
    values = {name: value for name, value in row.items() if name not in ("position", "read_from")}
    return Passage.model_validate({**values, "where": row["read_from"]})

"""Tables of databases: copied cell by cell, read only, and named by the settings alone."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from services.postgres_state import fresh_database
from sqlalchemy import create_engine, text
from unit.test_pictures import children

from mmm_workflows.config import Settings, child_environment
from mmm_workflows.errors import DatasetError, MMMError, ServiceUnavailable, SettingsError
from mmm_workflows.mmm.tables import read_table
from mmm_workflows.tools.sources import CHILD, Sources, read_connections
from mmm_workflows.workflows.runner import open_runner

SERVER = pytest.param("postgres", marks=pytest.mark.services)
BOTH = ["sqlite", SERVER]


WEEKLY = (
    "CREATE TABLE weekly (week DATE, sales NUMERIC(14,2), tv FLOAT, clicks BIGINT, note TEXT)",
    "INSERT INTO weekly VALUES ('2024-01-08', 1250.50, 0.1, 9007199254740993, 'a, \"b\"')",
    "INSERT INTO weekly VALUES ('2024-01-01', 1200.25, 12.5, NULL, 'ä ; =1+1')",
)
COPIED = (
    "week,sales,tv,clicks,note\r\n"
    "2024-01-01,1200.25,12.5,,ä ; =1+1\r\n"
    '2024-01-08,1250.5{zero},0.1,9007199254740993,"a, ""b"""\r\n'
)
HOSTILE = [
    "weekly; DROP TABLE weekly", 'weekly" --', "weekly' OR '1'='1", "(SELECT 1)", ".", "..", "a.b.c",
    "main.sqlite_master", "sqlite_master", "sqlite_schema", "pg_catalog.pg_authid", "pg_authid",
    "pg_stat_activity", "information_schema.tables", "\0", "weekly\0", "%s", ":name", "ä" * 300,
]  # fmt: skip


@dataclass(frozen=True)
class Warehouse:
    """A database, as DATA_CONNECTIONS names it."""

    url: str

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite's."""
        return self.url.startswith("sqlite")

    def tell(self, *statements: str) -> None:
        """Carry out what only its owner may."""
        engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as opened:
            for statement in statements:
                opened.execute(text(statement))
        engine.dispose()

    def entry(self, name: str = "warehouse", projects: str = "*") -> str:
        """Its entry in DATA_CONNECTIONS."""
        return f"{name}:{projects}={self.url}"


@pytest.fixture(params=BOTH)
async def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Warehouse]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield Warehouse(f"sqlite:///{tmp_path / 'house.db'}")
        return
    async with fresh_database() as url:
        yield Warehouse(url)


def opened(*entries: str, most_bytes: int = 1 << 20, within_s: float = 60) -> Sources:
    return Sources(
        read_connections(" ".join(entries)), most_bytes=most_bytes,
        environment=child_environment(), within_s=within_s,
    )  # fmt: skip


async def copied(sources: Sources, table: str, folder: Path, *, project: str = "default") -> str:
    file = folder / f"copy-{len(list(folder.iterdir()))}.csv"
    await sources.copy("warehouse", table, file, project=project)
    return file.read_bytes().decode()


async def test_a_table_and_a_view_are_copied_cell_by_cell(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.tell(*WEEKLY, 'CREATE VIEW "Only Sales" AS SELECT week, sales FROM weekly')
    warehouse.tell('CREATE TABLE "a.dotted" AS SELECT * FROM weekly')
    sources = opened(warehouse.entry())
    whole = COPIED.format(zero="" if warehouse.is_file else "0")
    assert (await copied(sources, "Only Sales", tmp_path)).splitlines()[0] == "week,sales"
    schema = "main" if warehouse.is_file else "public"
    for name in ("weekly", f"{schema}.weekly", "a.dotted", f"{schema}.a.dotted"):
        assert await copied(sources, name, tmp_path) == whole


async def test_the_same_rows_in_another_order_are_the_same_bytes(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    # Some are equal to the database and are not written alike.
    kind = "" if warehouse.is_file else "NUMERIC"
    values = ["1.0", "1", "1.00", "2", "-0.0", "0.0"]
    for name, order in (("one", values), ("other", values[::-1])):
        rows = ", ".join(f"({value}, 'A')" for value in order)
        warehouse.tell(
            f"CREATE TABLE {name} (sales {kind}, note TEXT)", f"INSERT INTO {name} VALUES {rows}"
        )
    sources = opened(warehouse.entry())
    before = await copied(sources, "one", tmp_path)
    assert before.count("\r\n") == 7
    assert await copied(sources, "other", tmp_path) == before
    warehouse.tell("UPDATE other SET sales = 3 WHERE sales = 2")
    assert await copied(sources, "other", tmp_path) != before


async def test_whatever_a_text_holds_is_read_again_as_it_was(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    texts = ["a,b", 'a"b', "a\rb", "a\nb", "a\r\nb", "=1+1", "ä€😀", "a;b|c\td", "'", "\\"]
    warehouse.tell("CREATE TABLE odd (at INTEGER, note TEXT)")
    for at, value in enumerate(texts):
        quoted = value.replace("'", "''").replace(":", "\\:")
        warehouse.tell(f"INSERT INTO odd VALUES ({at}, '{quoted}')")
    file = tmp_path / "odd.csv"
    await opened(warehouse.entry()).copy("warehouse", "odd", file, project="default")
    assert read_table(file).column("note").cells == tuple(texts)


@pytest.mark.parametrize("warehouse", [SERVER], indirect=True)
async def test_times_of_a_column_are_all_written_alike(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.tell(
        "CREATE TABLE hourly (at TIMESTAMP, sales INTEGER)",
        "INSERT INTO hourly VALUES ('2024-01-01 00\\:00', 1), ('2024-04-01 01\\:00', 2)",
    )
    copy = await copied(opened(warehouse.entry()), "hourly", tmp_path)
    assert copy == "at,sales\r\n2024-01-01 00:00:00,1\r\n2024-04-01 01:00:00,2\r\n"


async def test_a_hostile_name_is_no_table(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.tell(*WEEKLY)
    sources = opened(warehouse.entry())
    for name in HOSTILE:
        with pytest.raises(DatasetError) as refused:
            await copied(sources, name, tmp_path)
        assert refused.value.code == "dataset_not_found", name
    assert (await copied(sources, "weekly", tmp_path)).count("\r\n") == 3


@pytest.mark.parametrize("warehouse", [SERVER], indirect=True)
async def test_a_view_cannot_write(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.tell(
        *WEEKLY,
        "CREATE FUNCTION ends() RETURNS INTEGER LANGUAGE SQL AS 'DELETE FROM weekly; SELECT 1'",
        "CREATE VIEW trap AS SELECT ends() AS sales",
    )
    with pytest.raises(DatasetError, match="read-only"):
        await copied(opened(warehouse.entry()), "trap", tmp_path)
    assert (await copied(opened(warehouse.entry()), "weekly", tmp_path)).count("\r\n") == 3


async def test_what_is_no_number_text_or_date_is_refused_by_its_column(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    blob = ("BLOB", "x'00ff'") if warehouse.is_file else ("BYTEA", "'\\x00ff'")
    warehouse.tell(
        f"CREATE TABLE odd (week DATE, thing {blob[0]})",
        f"INSERT INTO odd VALUES ('2024-01-01', {blob[1]})",
        'CREATE TABLE parted (week DATE, "tv;radio" INTEGER)',
    )
    sources = opened(warehouse.entry())
    with pytest.raises(DatasetError, match=r"column 'thing' of 'odd' holds a \w+"):
        await copied(sources, "odd", tmp_path)
    with pytest.raises(DatasetError, match=r"'tv;radio' of 'parted' has a ';'") as refused:
        await copied(sources, "parted", tmp_path)
    assert refused.value.code == "dataset_header_invalid"
    if warehouse.is_file:
        return
    warehouse.tell("CREATE TABLE zoned AS SELECT now() AS at, 1 AS sales")
    with pytest.raises(DatasetError, match="column 'at' of 'zoned' holds a time with a time zone"):
        await copied(sources, "zoned", tmp_path)
    warehouse.tell("CREATE TABLE nested AS SELECT '{}'::json AS thing, 1 AS sales")
    with pytest.raises(DatasetError, match=r"'nested' of 'warehouse' cannot be copied: .*json"):
        await copied(sources, "nested", tmp_path)


async def test_a_table_larger_than_an_upload_is_refused(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.tell(*WEEKLY)
    with pytest.raises(DatasetError, match="as a CSV file") as refused:
        await copied(opened(warehouse.entry(), most_bytes=100), "weekly", tmp_path)
    assert refused.value.code == "dataset_too_large"
    # A row for each of the thousand, and each as long as a file may be.
    wide = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT i, hex(zeroblob(500000)) AS note FROM n"
        if warehouse.is_file
        else "SELECT i, repeat('x', 1000000) AS note FROM generate_series(1, 1000) AS i"
    )
    warehouse.tell(f"CREATE VIEW wide AS {wide}")
    with pytest.raises(DatasetError, match="more than 1 MB") as refused:
        await copied(opened(warehouse.entry()), "wide", tmp_path)
    assert refused.value.code == "dataset_too_large"


# Of one row that never comes: rows without end fill what is sorted, which ends it too.
ENDLESS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0)
SELECT count(*) AS i FROM n
"""
COPIES = """
import asyncio, pathlib, sys
from mmm_workflows.config import child_environment
from mmm_workflows.tools.sources import Sources, read_connections
sources = Sources(read_connections(sys.argv[1]), most_bytes=1000, environment=child_environment())
asyncio.run(sources.copy("warehouse", "endless", pathlib.Path(sys.argv[2]), project="p"))
"""


async def test_a_copy_ends_with_the_process_that_wanted_it(tmp_path: Path) -> None:
    warehouse = Warehouse(f"sqlite:///{tmp_path / 'house.db'}")
    warehouse.tell(f"CREATE VIEW endless AS {ENDLESS}")
    command = [sys.executable, "-c", COPIES, warehouse.entry(), str(tmp_path / "copy.csv")]
    parent = subprocess.Popen(command)
    async with asyncio.timeout(60):
        while not (copying := _copying(tmp_path)):
            assert parent.poll() is None
            await asyncio.sleep(0.05)
        parent.kill()
        parent.wait()
        while copying & _copying(tmp_path):
            await asyncio.sleep(0.05)


def _copying(folder: Path) -> set[int]:
    """The processes that copy and have a file in a folder open."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if CHILD in (place / "cmdline").read_text() and any(
                file.readlink().is_relative_to(folder) for file in (place / "fd").iterdir()
            ):
                found.add(int(place.name))
    return found


async def test_a_view_that_never_ends_is_given_up_and_so_is_one_that_nobody_waits_for(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    endless = ENDLESS if warehouse.is_file else "SELECT pg_sleep(600)::text AS i"
    warehouse.tell(f"CREATE VIEW endless AS {endless}".replace("::", "\\:\\:"))
    with pytest.raises(DatasetError, match="2 s") as refused:
        await copied(opened(warehouse.entry(), within_s=2), "endless", tmp_path)
    assert refused.value.code == "dataset_too_large"
    going = asyncio.create_task(copied(opened(warehouse.entry()), "endless", tmp_path))
    while not any(CHILD in command for command in children()):
        assert not going.done()
        await asyncio.sleep(0.01)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert not any(CHILD in command for command in children())


async def test_a_connection_is_open_to_its_projects_alone(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.tell(*WEEKLY)
    sources = opened(warehouse.entry(projects="brand-a+brand-b"))
    assert sources.names("brand-b") == ("warehouse",)
    assert (await copied(sources, "weekly", tmp_path, project="brand-a")).startswith("week,")
    refusals = []
    for project, connection in (("brand-c", "warehouse"), ("brand-c", "nowhere")):
        with pytest.raises(DatasetError) as refused:
            await sources.copy(connection, "weekly", tmp_path / "x.csv", project=project)
        assert refused.value.code == "connection_unknown"
        refusals.append(refused.value.message.replace(connection, "NAME"))
    assert refusals[0] == refusals[1] and "It has none" in refusals[0]
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:secret-word@127.0.0.1:1/mmm", "sqlite:////nowhere/secret-word.db",
        f"postgresql://reader:secret-word@{'h' * 70}/mmm",
    ],
)  # fmt: skip
async def test_a_database_that_is_not_there_is_told_without_its_address(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ServiceUnavailable, match="'warehouse' cannot be reached") as refused:
        await copied(opened(f"warehouse:*={url}"), "weekly", tmp_path)
    assert "secret-word" not in refused.value.message and "127.0.0.1" not in refused.value.message
    assert "secret-word" not in caplog.text and "a copy from warehouse failed" in caplog.text


async def test_a_file_that_is_busy_or_no_database_is_the_operator_s(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c"
    folder.mkdir()
    file = folder / "house.db"
    entry = f"warehouse:*=sqlite:///{str(file).replace(' ', '%20').replace('?', '%3F')}"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE weekly (sales INTEGER)")
        other.execute("INSERT INTO weekly VALUES (1)")
        assert await copied(opened(entry), "weekly", tmp_path) == "sales\r\n1\r\n"
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ServiceUnavailable, match="cannot be read at the moment"):
            await copied(opened(entry), "weekly", tmp_path)
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(ServiceUnavailable, match="cannot be read at the moment"):
        await copied(opened(entry), "weekly", tmp_path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("warehouse=postgresql://u:secret-word@h/d", "Entry 1 .* NAME:PROJECTS=URL"),
        ("a:*=postgresql://u:secret-word@h:port/d", "Entry 1"),
        ("a:*=postgresql://u:secret-word@h/", "Entry 1"),
        ("a:*=postgresql://u:x@secret-word@h/d", "Entry 1"),
        ("a:*=sqlite:////x.db b", "Entry 2"),
        ("a:*=sqlite:////x.db,a:p=sqlite:////secret-word.db", "names a more than once"),
        ("a:*=sqlite:///secret-word.db", "'a' .* no whole path"),
        ("a:*=sqlite:////x?secret-word.db", "'a' .* options"),
        ("a:*=postgresql://u@h/d?password=secret-word", "'a' .* options .* sslmode"),
        ("a:*=mysql://u:secret-word@h/d", "'a' .* 'mysql'; postgresql and sqlite"),
    ],
)
async def test_a_setting_that_cannot_be_read_is_refused_at_the_start_without_its_secrets(
    settings: Settings, said: str, told: str
) -> None:
    wrong = settings.model_copy(update={"data_connections": SecretStr(said)})
    with pytest.raises(SettingsError, match=told) as refused:
        async with open_runner(wrong):
            pass
    assert "secret-word" not in refused.value.message
    assert not settings.home.exists()


async def test_a_copy_is_an_upload_that_says_which_row_a_cell_stands_in(
    settings: Settings, warehouse: Warehouse
) -> None:
    warehouse.tell(*WEEKLY)
    named = settings.model_copy(update={"data_connections": SecretStr(warehouse.entry())})
    async with open_runner(named) as runner:
        kept = await runner.uploads.copy_table("warehouse", "weekly")
        assert await runner.uploads.copy_table("warehouse", "weekly") == kept
        assert await runner.shelf.path_of("default", kept.dataset_id) == kept.path
        warehouse.tell("DELETE FROM weekly")
        with pytest.raises(MMMError) as refused:
            await runner.uploads.copy_table("warehouse", "weekly")
    assert refused.value.code == "dataset_no_rows"
    table = read_table(Path(kept.path))
    assert Path(kept.path).name == "warehouse.weekly.csv" and kept.columns == table.names
    assert table.where("sales", 1) == "row 3 of warehouse.weekly.csv"

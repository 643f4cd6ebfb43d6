"""Tables of databases over REST and on the command line: by a name of the settings alone."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest
from api.answers import ended, problem
from api.servers import CLI, StartServer
from recovery.workers import until

from mmm_workflows.keys import make_key

KEY, ENTRY = make_key("brand", ["brand-a"])
WEEKS = 60


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with some weeks of sales and media."""
    path = tmp_path_factory.mktemp("data") / "sales.db"
    weeks = [
        ((date(2023, 1, 2) + timedelta(weeks=n)).isoformat(), 100 + n % 7, n % 5, n % 3)
        for n in range(WEEKS)
    ]
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("CREATE TABLE weekly (date DATE, sales FLOAT, tv FLOAT, radio FLOAT)")
        opened.executemany("INSERT INTO weekly VALUES (?, ?, ?, ?)", weeks)
    return path


@pytest.fixture(scope="module")
def client(
    start_server: StartServer, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Who has a key for brand-a, at a server with a database for it and one for another."""
    named = f"DATA_CONNECTIONS=warehouse:brand-a=sqlite:///{database} hidden:brand-b=sqlite:///{database}"
    command = ["env", named, f"API_KEYS={ENTRY}", *CLI, "serve"]
    with (
        start_server(command, tmp_path_factory.mktemp("home")) as address,
        httpx.Client(
            base_url=f"http://{address}", headers={"X-API-Key": KEY}, timeout=60
        ) as asking,
    ):
        yield asking


def _copy(client: httpx.Client, **asked: str) -> httpx.Response:
    body = {"connection": "warehouse", "table": "weekly", "project": "brand-a", **asked}
    return client.post("/datasets", json=body)


def test_a_copied_table_is_data_for_eda_that_names_it(client: httpx.Client) -> None:
    kept = _copy(client)
    assert kept.status_code == 201, kept.text
    upload = kept.json()
    assert upload["columns"] == ["date", "sales", "tv", "radio"]
    assert _copy(client, table="main.weekly").json()["sha256"] == upload["sha256"]
    listed = client.get("/datasets").json()["datasets"]
    assert upload["dataset_id"] in {dataset["dataset_id"] for dataset in listed}
    body = {
        "data_sources": [upload["dataset_id"]], "target_variable": "sales",
        "media_channels": ["tv", "radio"], "project": "brand-a", "workflow_id": "from-a-table",
    }  # fmt: skip
    assert client.post("/eda/start", json=body).status_code == 202
    run = ended(client.get, "from-a-table")
    assert run["status"] == "succeeded", run
    assert run["result"]["sources"] == [
        {"name": "warehouse.weekly.csv", "sha256": upload["sha256"]}
    ]


def test_what_is_not_named_is_refused(client: httpx.Client) -> None:
    hidden = problem(_copy(client, connection="hidden"), 422, "connection_unknown")
    nowhere = problem(_copy(client, connection="nowhere"), 422, "connection_unknown")
    assert hidden["detail"].replace("hidden", "nowhere") == nowhere["detail"]
    assert "It has warehouse." in hidden["detail"]
    problem(_copy(client, project="brand-b", connection="hidden"), 403, "project_forbidden")
    told = problem(_copy(client, table="monthly"), 422, "dataset_not_found")
    assert "It has weekly." in told["detail"]
    for asked in ({"connection": "sqlite:////etc/passwd"}, {"url": "sqlite:////x"}, {"table": ""}):
        problem(_copy(client, **asked), 422, "request_invalid")


def test_a_database_that_went_away_is_said_without_its_place(
    client: httpx.Client, database: Path
) -> None:
    aside = database.rename(database.with_suffix(".away"))
    try:
        told = problem(_copy(client), 503, "service_unavailable")
    finally:
        aside.rename(database)
    assert "'warehouse' cannot be reached" in told["detail"]
    assert str(database) not in told["detail"]


def test_a_copy_ends_when_its_caller_leaves(client: httpx.Client, database: Path) -> None:
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute(
            "CREATE VIEW endless AS WITH RECURSIVE n(i) AS "
            # Of one row that never comes: rows without end fill what is sorted, which ends it too.
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT count(*) AS i FROM n"
        )
    body = json.dumps({"connection": "warehouse", "table": "endless", "project": "brand-a"})
    with socket.create_connection((client.base_url.host, client.base_url.port)) as caller:
        caller.sendall(
            f"POST /datasets HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        until(lambda: bool(_copies(database)), within_s=60)
    until(lambda: not _copies(database), within_s=60)


def _copies(database: Path) -> list[str]:
    """What copies from a database."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_copy = b"source_child" in (place / "cmdline").read_bytes()
            if is_copy and database in [file.readlink() for file in (place / "fd").iterdir()]:
                found.append(place.name)
    return found


def test_the_command_prints_a_path_that_data_takes(
    own_environment: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_CONNECTIONS", f"warehouse:*=sqlite:///{database}")
    command = [*CLI, "copy-table", "warehouse"]
    done = subprocess.run([*command, "weekly"], capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert path.is_relative_to(own_environment) and path.read_text().count("\n") == WEEKS + 1
    refused = subprocess.run([*command, "monthly"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "has no table 'monthly'" in refused.stderr

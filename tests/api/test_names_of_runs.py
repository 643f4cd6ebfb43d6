"""Which names a caller may give to a run, and what it is told of a name that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.answers import ended, problem
from api.servers import CLI, StartServer

QUERY = {"query": "Build MMM for beverage brand"}


@pytest.fixture
def client(served: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served}", timeout=120) as opened:
        yield opened


@pytest.mark.parametrize(
    "name",
    ["autumn.research", "autumn.eda", "autumn.modeling", "autumn.whatif", "a.b.eda", "once-0123"],
)
def test_a_name_that_a_run_makes_for_itself_is_not_to_be_taken(
    client: httpx.Client, name: str
) -> None:
    body = {**QUERY, "workflow_id": name}
    problem(client.post("/research/start", json=body), 422, "workflow_id_invalid")
    problem(client.get(f"/workflow/{name}"), 404, "run_not_found")


@pytest.mark.parametrize("name", ["research", "autumn-eda", "autumn.eda.2", "at-once-1"])
def test_a_name_that_only_looks_like_one_is_taken(client: httpx.Client, name: str) -> None:
    body = {**QUERY, "workflow_id": name}
    assert client.post("/research/start", json=body).status_code == 202


def test_a_part_is_gone_on_with_by_its_name(client: httpx.Client) -> None:
    table = b"Date,Sales,TV\n2024-01-01,1,2\n2024-01-08,2,3\n"
    uploaded = client.post("/upload", files={"file": ("sales.csv", table)}).json()
    body = {
        **QUERY, "user_query": "What if we increase TV spend by 20%?", "workflow_id": "whole",
        "data_sources": [uploaded["path"]], "target_variable": "Sale", "media_channels": ["TV"],
    }  # fmt: skip
    assert client.post("/pipeline/start", json=body).status_code == 202
    assert ended(client.get, "whole")["error"]["code"] == "dataset_column_unknown"
    assert client.post("/workflow/whole.eda/resume").status_code == 202
    assert ended(client.get, "whole.eda")["error"]["code"] == "dataset_column_unknown"


def test_of_a_name_that_is_taken_no_more_is_told_where_it_is_of_another_project(
    client: httpx.Client,
) -> None:
    body = {**QUERY, "workflow_id": "taken", "project": "a"}
    assert client.post("/research/start", json=body).status_code == 202
    told = [
        problem(client.post("/research/start", json={**body, **more}), 409, "run_conflict")[
            "detail"
        ]
        for more in ({"project": "b"}, {"seed": 7}, {"query": "Build MMM for shoes"})
    ]
    assert len(set(told)) == 1
    assert "project" not in told[0]


def test_who_has_started_too_much_can_still_cancel(
    start_server: StartServer, tmp_path: Path
) -> None:
    with (
        start_server(["env", "STARTS_PER_MINUTE=3", *CLI, "serve"], tmp_path) as address,
        httpx.Client(base_url=f"http://{address}", timeout=120) as client,
    ):
        body = {**QUERY, "review": True, "workflow_id": "runaway"}
        assert client.post("/research/start", json=body).status_code == 202
        assert ended(client.get, "runaway")["status"] == "waiting"
        codes = [client.post("/workflow/runaway/resume").status_code for _ in range(12)]
        assert 429 in codes, "to go on with a run is a start"
        assert client.post("/workflow/runaway/cancel").status_code == 202
        assert ended(client.get, "runaway")["status"] == "cancelled"

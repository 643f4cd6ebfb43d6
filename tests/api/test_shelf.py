"""What a run left behind, uploads by project, pages of runs, and events as a stream."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from api.answers import ended

from mmm_workflows.api.cursor import read_cursor, write_cursor
from mmm_workflows.records import Run

QUERY = {"query": "Build MMM for beverage brand"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def client(served: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served}", timeout=60) as opened:
        yield opened


def _weekly() -> bytes:
    days = [date(2023, 1, 2) + timedelta(weeks=i) for i in range(60)]
    rows = [f"{d},{100 + i % 7},{i % 5},{i % 3}" for i, d in enumerate(days)]
    return ("date,sales,tv,radio\n" + "\n".join(rows) + "\n").encode()


@pytest.fixture(scope="module")
def eda(served: str) -> dict:
    """A run of EDA whose source is named by its dataset_id."""
    with httpx.Client(base_url=f"http://{served}", timeout=60) as client:
        kept = client.post("/upload", files={"file": ("weekly.csv", _weekly())}).json()
        body = {
            "data_sources": [kept["dataset_id"]], "target_variable": "sales",
            "media_channels": ["tv", "radio"], "workflow_id": "by-id",
        }  # fmt: skip
        accepted = client.post("/eda/start", json=body)
        assert accepted.status_code == 202, accepted.text
        run = ended(client.get, "by-id")
        assert run["status"] == "succeeded", run["error"]
        return run


def test_an_upload_is_named_by_its_id_and_listed_with_its_columns(
    client: httpx.Client, eda: dict
) -> None:
    rows = client.get("/datasets").json()["datasets"]
    row = next(r for r in rows if r["dataset_id"] == sha256(_weekly()).hexdigest())
    assert row["columns"] == ["date", "sales", "tv", "radio"]
    assert (row["name"], row["project"], row["size_bytes"]) == ("weekly.csv", "default", len(_weekly()))  # fmt: skip
    assert eda["result"]["mff_data_path"]
    unknown = client.post("/eda/start", json={"data_sources": ["0" * 64]})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "dataset_not_found")
    assert len(client.get("/datasets?limit=1").json()["datasets"]) == 1


def test_artifacts_are_listed_and_downloaded_as_they_were_kept(
    client: httpx.Client, eda: dict
) -> None:
    listed = client.get("/workflow/by-id/artifacts").json()["artifacts"]
    assert [a["artifact_id"] for a in listed] == [a["artifact_id"] for a in eda["result"]["artifacts"]]  # fmt: skip
    kinds = set()
    for artifact in listed:
        got = client.get(artifact["href"])
        assert got.status_code == 200, got.text
        assert got.headers["content-disposition"].startswith("attachment")
        assert got.headers["x-content-type-options"] == "nosniff"
        kinds.add(got.headers["content-type"])
        if got.headers["content-type"] == "application/zip":
            names = zipfile.ZipFile(io.BytesIO(got.content)).namelist()
            assert any(name.endswith(".mff.json") for name in names)
        else:
            assert sha256(got.content).hexdigest() == artifact["sha256"]
    assert kinds >= {"application/zip", "application/json", "image/svg+xml"}


@pytest.mark.parametrize("name", ["0" * 64, "..%2F..%2Fruns.db", "%00", "%2Fetc%2Fpasswd"])
def test_nothing_but_an_artifact_of_the_run_is_downloaded(
    client: httpx.Client, eda: dict, name: str
) -> None:
    got = client.get(f"/workflow/by-id/artifacts/{name}")
    assert got.status_code == 404
    assert got.headers["content-type"] == "application/problem+json"


def test_a_changed_artifact_is_not_handed_out(client: httpx.Client, eda: dict) -> None:
    chart = Path(eda["result"]["visualizations"][-1]["svg_path"])
    listed = client.get("/workflow/by-id/artifacts").json()["artifacts"]
    artifact = next(a for a in listed if a["path"] == str(chart))
    before = chart.read_bytes()
    chart.write_bytes(b"other")
    try:
        got = client.get(artifact["href"])
        assert (got.status_code, got.json()["code"]) == (409, "artifact_damaged")
    finally:
        chart.write_bytes(before)


def test_decisions_and_lineage_of_a_run_are_told(client: httpx.Client, eda: dict) -> None:
    told = client.get("/workflow/by-id/decisions").json()["decisions"]
    assert told == eda["result"]["decisions"] and told
    lines = client.get("/workflow/by-id/lineage").json()["lines"]
    assert any("weekly.csv" in line for line in lines), lines
    found = client.get("/memory/search", params={"question": "sales tv radio"}).json()
    assert found["scope"]["project"] == "default" and found["found"]


def test_pages_of_runs_neither_skip_nor_repeat_while_runs_come_in(client: httpx.Client) -> None:
    def start(name: str) -> None:
        body = {**QUERY, "project": "pages", "workflow_id": name}
        assert client.post("/research/start", json=body).status_code == 202

    for i in range(5):
        start(f"page-{i}")
    seen, address = [], "/workflows?project=pages&limit=2"
    while address:
        page = client.get(address).json()
        seen += [run["workflow_id"] for run in page["runs"]]
        address = page["next"]
        start(f"late-{len(seen)}")
    assert seen == [f"page-{i}" for i in (4, 3, 2, 1, 0)]
    bad = client.get("/workflows?cursor=%00x")
    assert (bad.status_code, bad.json()["code"]) == (422, "request_invalid")


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    run = Run(workflow_id="a.b-c_d", workflow="eda", seed=1, graph_version="1", request={})
    assert read_cursor(write_cursor(run)) == (run.created_at, run.workflow_id)


def _read_stream(client: httpx.Client, address: str, **headers: str) -> list[dict]:
    seen = []
    with client.stream("GET", address, headers={**STREAM, **headers}) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("id: "):
                number = int(line.removeprefix("id: "))
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
                assert seen[-1]["seq"] == number
    return seen


def test_events_come_as_a_stream_and_go_on_after_the_last_id(client: httpx.Client) -> None:
    client.post("/research/start", json={**QUERY, "workflow_id": "streamed"})
    seen = _read_stream(client, "/workflow/streamed/events")
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["status"] == "succeeded"
    rest = _read_stream(client, "/workflow/streamed/events", **{"Last-Event-ID": "2"})
    assert rest == seen[2:]
    done = client.get("/workflow/streamed/events", headers={**STREAM, "Last-Event-ID": str(len(seen))})  # fmt: skip
    assert (done.status_code, done.content) == (204, b"")
    bad = client.get("/workflow/streamed/events", headers={**STREAM, "Last-Event-ID": "x"})
    assert (bad.status_code, bad.json()["code"]) == (422, "request_invalid")


def test_a_project_is_removed_whole_and_a_run_of_its_name_is_not(client: httpx.Client) -> None:
    body = {**QUERY, "project": "gone", "workflow_id": "of-gone"}
    assert client.post("/research/start", json=body).status_code == 202
    ended(client.get, "of-gone")
    assert client.delete("/project/gone").json()["deleted"] == 1
    assert client.get("/workflow/of-gone").status_code == 404
    assert client.delete("/project/gone").status_code == 404
    client.post("/research/start", json={**QUERY, "workflow_id": "twin"})
    ended(client.get, "twin")
    assert client.delete("/project/twin").status_code == 404
    assert client.get("/workflow/twin").status_code == 200

"""REST: what is accepted, what is refused, and how each refusal reads."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from api.answers import ended, problem

from mmm_workflows.workflows.registry import WORKFLOWS

REPOSITORY = Path(__file__).parents[2]
QUERY = {"query": "Build MMM for beverage brand"}


@pytest.fixture
def client(served: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served}", timeout=30) as opened:
        yield opened


def _upload(client: httpx.Client, content: bytes, name: str = "sales.csv") -> httpx.Response:
    return client.post("/upload", files={"file": (name, content)})


def test_health_says_which_version_answers(client: httpx.Client) -> None:
    said = client.get("/health").json()
    assert said.pop("sandbox") in ("bubblewrap", "guard", "none")
    assert said == {"status": "ok", "records": "ok", "version": "0.1.0", "generated_by": "rules"}


@pytest.mark.slow
def test_a_connection_that_is_kept_answers_after_a_pause(served: str) -> None:
    host, _, port = served.partition(":")
    kept = HTTPConnection(host, int(port), timeout=10)
    kept.request("GET", "/health/live")
    kept.getresponse().read()
    first = kept.sock
    time.sleep(6)  # a server that is left as it comes closes it after 5
    kept.request("GET", "/health/live")
    assert (kept.getresponse().status, kept.sock) == (200, first)
    kept.close()


def test_every_workflow_of_the_registry_has_a_start(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {f"/{name}/start" for name in WORKFLOWS} <= set(paths)


def test_a_run_is_accepted_listed_shown_and_removed(client: httpx.Client) -> None:
    answer = client.post("/research/start", json={**QUERY, "workflow_id": "listed", "seed": 7})
    assert answer.status_code == 202
    links = answer.json()["links"]
    run = ended(client.get, "listed")
    assert run["status"] == "succeeded"
    assert run["result"]["seed"] == 7
    assert run["memory"] in ("queued", "kept")
    assert {**client.get(links["run"]).json(), "memory": run["memory"]} == run
    events = client.get(links["events"], params={"after": 2}).json()["events"]
    assert [e["seq"] for e in events] == list(range(3, 3 + len(events)))
    rows = client.get("/workflows", params={"workflow": "research"}).json()["runs"]
    assert "listed" in {r["workflow_id"] for r in rows}
    assert all(r["result"] is None for r in rows)
    assert client.delete("/workflow/listed").json() == {"deleted": 1, "memory_delayed": None}
    problem(client.get("/workflow/listed"), 404, "run_not_found")
    problem(client.delete("/workflow/listed"), 404, "run_not_found")


def test_the_same_start_twice_is_one_run_and_another_is_refused(client: httpx.Client) -> None:
    body = {**QUERY, "workflow_id": "twice"}
    assert client.post("/research/start", json=body).status_code == 202
    first = ended(client.get, "twice")
    assert client.post("/research/start", json=body).status_code == 202
    assert client.get("/workflow/twice").json() == first
    problem(client.post("/research/start", json={**body, "seed": 1}), 409, "run_conflict")


def test_a_question_is_answered_once(client: httpx.Client) -> None:
    client.post("/research/start", json={**QUERY, "review": True, "workflow_id": "asked"})
    waiting = ended(client.get, "asked")
    assert waiting["status"] == "waiting"
    assert "Is this plan right?" in waiting["result"]["questions"][0]
    answered = client.post("/workflow/asked/decide", json={"answer": "yes"})
    assert answered.status_code == 202
    assert ended(client.get, "asked")["status"] == "succeeded"
    problem(client.post("/workflow/asked/decide", json={"answer": "yes"}), 409, "run_state")
    problem(client.post("/workflow/asked/cancel"), 409, "run_state")


def test_a_failed_run_shows_its_error_and_can_be_resumed(client: httpx.Client) -> None:
    uploaded = _upload(client, b"Date,Sales,TV\n2024-01-01,1,2\n2024-01-08,2,3\n").json()
    body = {
        "data_sources": [uploaded["path"]],
        "target_variable": "Sale",
        "media_channels": ["TV"],
        "workflow_id": "broken",
    }
    assert client.post("/eda/start", json=body).status_code == 202
    run = ended(client.get, "broken")
    assert run["status"] == "failed"
    assert run["error"]["code"] == "dataset_column_unknown"
    assert "'Sales'" in run["error"]["message"]
    assert run["result"] is None
    assert client.post("/workflow/broken/resume").status_code == 202
    assert ended(client.get, "broken")["error"]["code"] == "dataset_column_unknown"


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/research/start", {}, "query"),
        ("/research/start", {"query": ""}, "query"),
        ("/research/start", {**QUERY, "querry": 1}, "querry"),
        ("/research/start", {**QUERY, "depth": "deep"}, "depth"),
        ("/eda/start", {"data_sources": []}, "data_sources"),
        ("/modeling/start", {"mff_data_path": 3}, "mff_data_path"),
        ("/whatif/start", {"user_query": "x"}, "model_artifact_path"),
    ],
)
def test_an_unreadable_request_names_its_field(
    client: httpx.Client, path: str, body: dict, word: str
) -> None:
    told = problem(client.post(path, json=body), 422, "request_invalid")
    assert any(word in field["where"] for field in told["fields"])


def test_no_json_and_unknown_addresses_are_problems_too(client: httpx.Client) -> None:
    json_type = {"content-type": "application/json"}
    answer = client.post("/research/start", content=b"{not json", headers=json_type)
    problem(answer, 422, "request_invalid")
    problem(client.get("/nowhere"), 404, "address_unknown")
    problem(client.get("/research/start"), 405, "address_unknown")
    problem(client.get("/workflow/nobody"), 404, "run_not_found")
    for action in ("resume", "cancel"):
        problem(client.post(f"/workflow/nobody/{action}"), 404, "run_not_found")
    bad_id = {**QUERY, "workflow_id": "../etc"}
    problem(client.post("/research/start", json=bad_id), 422, "workflow_id_invalid")
    bad_project = {**QUERY, "project": "a/b"}
    problem(client.post("/research/start", json=bad_project), 422, "project_invalid")


def test_a_path_outside_of_its_folder_is_refused(client: httpx.Client, tmp_path: Path) -> None:
    inside = Path(_upload(client, b"Date,Sales\n2024-01-01,1\n").json()["path"])
    link = inside.with_name("link.csv")
    link.symlink_to("/etc/passwd")
    paths = ["/etc/passwd", "data/sales.csv", f"{inside.parent}/../../../../runs.db", str(link)]
    for path in paths:
        problem(client.post("/eda/start", json={"data_sources": [path]}), 403, "path_forbidden")
    for body, start in [
        ({"mff_data_path": str(inside)}, "modeling"),
        (
            {"model_artifact_path": "/tmp", "mff_data_path": "/tmp", "user_query": "x"},
            "whatif",
        ),
        ({"actuals": "/etc/passwd"}, "track"),
        ({"actuals": str(link)}, "track"),
        ({"actuals": str(inside), "model_artifact_path": "/tmp"}, "track"),
    ]:
        problem(client.post(f"/{start}/start", json=body), 403, "path_forbidden")
    nul = client.post("/track/start", json={"actuals": "a\0b"})
    problem(nul, 422, "request_invalid")
    link.unlink()


def test_an_address_in_a_body_is_refused_and_not_repeated(client: httpx.Client) -> None:
    for address in (
        "postgresql://me:secret-word@db/sales",
        "s3://bucket/sales.csv",
        "file:///etc/passwd",
    ):
        answer = client.post("/eda/start", json={"data_sources": [address]})
        told = problem(answer, 403, "path_forbidden")
        assert "POST /datasets" in told["detail"] and address not in answer.text


def test_an_upload_is_kept_under_its_hash_whatever_its_name(client: httpx.Client) -> None:
    content = b"Date,Sales\n2024-01-01,1\n"
    names = ["../../etc/passwd", "a.csv", "..", "C:\\x\\y.csv", "x" * 300 + ".csv", "é\n.csv"]
    answers = [_upload(client, content, name).json() for name in names]
    assert len({a["sha256"] for a in answers}) == 1
    assert len({a["path"] for a in answers}) == 1
    assert answers[0]["columns"] == ["Date", "Sales"]
    assert answers[0]["size_bytes"] == len(content)
    assert answers[0]["sha256"] in answers[0]["path"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "dataset_empty"),
        (b"\xef\xbb\xbf", "dataset_empty"),
        (b",,,\n,,,\n", "dataset_empty"),
        (b"," * 50_000, "dataset_unreadable"),
        (b"a,b\n1," + b"2" * (1 << 21), "dataset_unreadable"),
        (gzip.compress(b"0" * (1 << 24)), "dataset_unreadable"),
        ("Date,Sales\n1,2\n".encode("utf-16"), "dataset_unreadable"),
        (b"Date,Sales\n", "dataset_no_rows"),
        (b"PK\x03\x04\x00\x00binary\xff", "dataset_unreadable"),
        (b"Date,Date\n1,2\n", "dataset_header_invalid"),
    ],
)
def test_an_upload_that_is_no_table_is_refused(
    client: httpx.Client, content: bytes, code: str
) -> None:
    problem(_upload(client, content), 422, code)


def test_a_request_that_is_too_long_is_refused_before_it_is_read(client: httpx.Client) -> None:
    long = {"query": "x" * (2 << 20)}
    problem(client.post("/research/start", json=long), 413, "request_too_large")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        while sent < 200 << 20:
            sent += 1 << 20
            yield b"x" * (1 << 20)

    try:
        answer = client.post(
            "/upload",
            content=endless(),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
    except httpx.WriteError:
        # The server closed the connection while the client was still sending.
        assert sent < 200 << 20
    else:
        problem(answer, 413, "request_too_large")
    assert client.get("/health").status_code == 200

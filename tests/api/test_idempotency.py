"""One key, one run: whoever sends a start again gets the run of the first time."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import httpx
from api.answers import ended
from api.servers import CLI, StartServer

QUERY = {"query": "Build MMM for beverage brand"}


def _key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def _start(url: str, key: str, **more: object) -> httpx.Response:
    return httpx.post(f"{url}/research/start", json={**QUERY, **more}, headers=_key(key))


def _get(url: str, path: str) -> httpx.Response:
    return httpx.get(url + path)


async def test_twenty_equal_starts_at_once_are_one_run(served: str) -> None:
    body = {**QUERY, "project": "at-once"}
    async with httpx.AsyncClient(base_url=f"http://{served}", timeout=60) as client:
        answers = await asyncio.gather(
            *(client.post("/research/start", json=body, headers=_key("k-1")) for _ in range(20))
        )
        assert {a.status_code for a in answers} == {202}, [a.text for a in answers]
        assert len({a.json()["workflow_id"] for a in answers}) == 1
        listed = (await client.get("/workflows?project=at-once")).json()["runs"]
    assert len(listed) == 1


def test_another_request_under_a_key_is_refused(served: str) -> None:
    url = f"http://{served}"
    first = _start(url, "k-2").json()
    for more in ({"query": "Build MMM for shoes"}, {"seed": 7}, {"depth": "quick"}):
        refused = _start(url, "k-2", **more)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    eda = httpx.post(
        f"{url}/ask/start", json={"mff_data_path": "x", "question": "y"}, headers=_key("k-2")
    )
    assert eda.status_code == 403
    assert _start(url, "k-2").json()["workflow_id"] == first["workflow_id"]
    elsewhere = _start(url, "k-2", project="other")
    assert elsewhere.json()["workflow_id"] != first["workflow_id"]
    assert _start(url, "k-3").json()["workflow_id"] != first["workflow_id"]


def test_a_key_and_a_workflow_id_or_a_key_that_is_none_are_refused(served: str) -> None:
    url = f"http://{served}"
    for refused in (
        _start(url, "k-4", workflow_id="own"),
        _start(url, ""),
        _start(url, "a b"),
        _start(url, "k" * 256),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")


def test_a_run_that_failed_is_not_started_anew_by_a_copy_of_its_request(served: str) -> None:
    url = f"http://{served}"
    table = b"Date,Sales,TV\n2024-01-01,1,2\n2024-01-08,2,3\n"
    kept = httpx.post(f"{url}/upload", files={"file": ("s.csv", table)}).json()
    body = {"data_sources": [kept["path"]], "target_variable": "None", "media_channels": ["TV"]}
    ids = set()
    for source in (kept["path"], kept["dataset_id"]):
        asked = {**body, "data_sources": [source]}
        answer = httpx.post(f"{url}/eda/start", json=asked, headers=_key("k-5"))
        assert answer.status_code == 202, answer.text
        ids.add(answer.json()["workflow_id"])
        run = ended(partial(_get, url), answer.json()["workflow_id"])
        assert run["status"] == "failed"
        ids.add(run["updated_at"])
    assert len(ids) == 2


def test_a_key_holds_over_a_restart(start_server: StartServer, tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        with start_server([*CLI, "serve"], tmp_path) as address:
            answer = _start(f"http://{address}", "k-6").json()
            ids.add(answer["workflow_id"])
            ended(partial(_get, f"http://{address}"), answer["workflow_id"])
    assert len(ids) == 1

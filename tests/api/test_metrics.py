"""What the service counts of itself: the right number of each, and no word of a caller's."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from api.servers import CLI, StartServer
from api.sockets import connect
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from mmm_workflows.api.ledger import Ledger
from mmm_workflows.api.measures import Measures
from mmm_workflows.keys import make_key
from mmm_workflows.records import Backlog, RunCounts, RunStatus, now

type Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of(served: str) -> Samples:
    answer = httpx.get(f"http://{served}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return _samples(answer.text)


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_the_template_of_their_route(served: str) -> None:
    route = "/workflow/{workflow_id}"
    before = _of(served)
    for number in range(3):
        httpx.get(f"http://{served}/workflow/none-{number}?token=hidden")
    httpx.get(f"http://{served}/no/such/path-{'x' * 500}")
    httpx.request("BREW", f"http://{served}/workflow/none")
    after = _of(served)

    def grown(name: str, **labels: str) -> float:
        return _value(after, name, **labels) - _value(before, name, **labels)

    assert grown("mmm_requests_total", method="GET", route=route, status="404") == 3
    assert grown("mmm_request_seconds_count", method="GET", route=route) == 3
    assert grown("mmm_requests_total", method="GET", route="other", status="404") == 1
    labels = {value for _, pairs in after for _, value in pairs}
    assert not [word for word in labels if re.search("none-|hidden|no/such|BREW", word)]
    # This very request is one of those that are open.
    assert _value(after, "mmm_requests_open") == 1
    assert _value(after, "process_resident_memory_bytes") > 1e6


async def test_runs_and_events_are_counted_in_the_database(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server([*CLI, "serve"], tmp_path) as served:
        async with httpx.AsyncClient(base_url=f"http://{served}") as client:
            body = {"query": "Build MMM for beverage brand", "review": True, "workflow_id": "r1"}
            assert (await client.post("/research/start", json=body)).status_code == 202
            async with connect(f"ws://{served}/ws/r1") as socket:
                async for message in socket:
                    if '"waiting"' in str(message):
                        break
                seen = _samples((await client.get("/metrics")).text)
                events = (await client.get("/workflow/r1/events")).json()["events"]
    assert _value(seen, "mmm_runs", status="waiting") == 1
    assert _value(seen, "mmm_runs", status="running") == 0
    assert _value(seen, "mmm_events") == len(events) > 1


def test_with_keys_only_one_of_every_project_reads_them(
    start_server: StartServer, tmp_path: Path
) -> None:
    (root, root_entry), (brand, brand_entry) = make_key("root"), make_key("brand", ["brand-a"])
    keys = f"API_KEYS={root_entry},{brand_entry}"
    with start_server(["env", keys, *CLI, "serve"], tmp_path) as served:
        told = {
            key: httpx.get(f"http://{served}/metrics", headers={"x-api-key": key}).status_code
            for key in (root, brand, "wrong")
        }
        assert told == {root: 200, brand: 403, "wrong": 401}
        assert httpx.get(f"http://{served}/metrics").status_code == 401


async def test_a_socket_is_counted_while_it_is_open() -> None:
    measures, seen = Measures(), []

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(_value(_samples(measures.text().decode()), "mmm_sockets_open"))
        raise ConnectionResetError

    app = SimpleNamespace(state=SimpleNamespace(measures=measures))
    with pytest.raises(ConnectionResetError):
        await Ledger(socket)({"type": "websocket", "app": app}, _never, _never)
    assert seen == [1.0]
    assert _value(_samples(measures.text().decode()), "mmm_sockets_open") == 0.0


async def _never(*_: object) -> Message:
    raise AssertionError("nothing is received or sent")


def test_two_applications_of_a_process_count_apart() -> None:
    one, other = Measures(), Measures()
    one.answered("GET", "/health", 200, 0.01)
    assert _value(
        _samples(one.text().decode()), "mmm_requests_total",
        method="GET", route="/health", status="200",
    ) == 1  # fmt: skip
    assert b'route="/health"' not in other.text()


@pytest.mark.parametrize("method", ["BREW", "\x00", "get"])
def test_an_invented_method_is_no_label(method: str) -> None:
    measures = Measures()
    measures.answered(method, "other", 405, 0.01)
    assert b'method="other"' in measures.text()


def test_counts_are_taken_from_the_database_once_in_a_while() -> None:
    measures = Measures()
    assert measures.are_stale
    counts = RunCounts(runs=dict.fromkeys(RunStatus, 2), events=7)
    oldest = now() - timedelta(seconds=90)
    measures.take_counts(counts, Backlog(waiting=3, oldest_at=oldest))
    assert not measures.are_stale
    seen = _samples(measures.text().decode())
    assert (_value(seen, "mmm_events"), _value(seen, "mmm_memory_outbox")) == (7, 3)
    assert 90 <= _value(seen, "mmm_memory_outbox_oldest_seconds") < 100
    measures.take_counts(counts, Backlog(waiting=0))
    emptied = _samples(measures.text().decode())
    assert _value(emptied, "mmm_memory_outbox") == 0
    assert _value(emptied, "mmm_memory_outbox_oldest_seconds") == 0

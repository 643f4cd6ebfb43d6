"""Texts that are JSON only by a parser's kindness, and addresses that no store can look up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.api.strict import read_json

JSON = {"content-type": "application/json"}
DEEP = b"[" * 5000 + b"]" * 5000
LEVELS = b'{"a":' * 70 + b"1" + b"}" * 70
PLACES = [
    ("/research/start", b'{"query": "x", "workflow_id": %s}'),
    ("/research/start", b'{"query": %s}'),
    ("/eda/start", b'{"data_sources": ["x"], "research_plan": {"a": %s}}'),
    ("/modeling/start", b'{"mff_data_path": "x", "feature_transformations": {"a": [%s]}}'),
    ("/models/any/scenario", b'{"changes": [{"channel": "TV", "kind": "set", "amount": %s}]}'),
    ("/models/any/optimize", b'{"bounds": {"TV": {"low": %s}}}'),
    ("/models/any/optimize", b'{"bounds": {%s: {"low": 1}}}'),
    ("/workflow/any/decide", b'{"answer": %s}'),
]
VALUES = [
    b"NaN", b"-Infinity", b"1e999", b"9" * 30, b"9" * 5000, b'"\\ud800"', b'"a\\u0000b"', b'"\xff"',
    DEEP, LEVELS, b"{", b"",
]  # fmt: skip


@pytest.fixture
def client(served: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served}", timeout=60) as opened:
        yield opened


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0] + place[1][:14].decode())
def test_what_is_hardly_json_is_refused_as_a_problem(
    client: httpx.Client, place: tuple[str, bytes]
) -> None:
    path, form = place
    for value in VALUES:
        answer = client.post(path, content=form.replace(b"%s", value), headers=JSON)
        assert 400 <= answer.status_code < 500, (value[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "/workflow/%00", "/workflow/a%00b", "/workflow/%ff", "/workflow/%ed%a0%80", f"/workflow/{'x' * 5000}",
        "/workflow/x/events?after=99999999999999999999", "/workflow/x/events?after=NaN",
        "/workflow/x/events?after=-1", "/workflows?project=%00", "/workflows?workflow=%00",
        "/workflows?status=%00", "/workflows?limit=1e9", "/workflows?cursor=AAAA",
        "/workflows?cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxMDowMCB4", "/datasets?project=..%2F..",
        "/memory/search?question=%00", f"/memory/search?question={'x' * 2000}",
        "/memory/search?question=x&project=%2F", "/project/%00", "/workflow/x/artifacts/%00",
        "/workflow/..%2F..%2Fetc%2Fpasswd/artifacts/x",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_looked_up_is_a_problem_too(
    client: httpx.Client, address: str
) -> None:
    answer = client.get(address)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "form", "piece"),
    [
        ("/research/start", b'{"query": "x", "media_channels": [%s]}', b"1"),
        ("/models/any/scenario", b'{"changes": [%s]}', b"{}"),
        ("/eda/start", b'{"data_sources": [%s]}', b'"/a"'),
    ],
)
def test_a_request_that_is_wrong_in_very_many_places_is_answered_shortly(
    client: httpx.Client, path: str, form: bytes, piece: bytes
) -> None:
    many = b",".join([piece] * 100_000)
    answer = client.post(path, content=form.replace(b"%s", many), headers=JSON)
    assert answer.status_code == 422
    assert "more than 20000 values" in answer.json()["detail"]
    fewer = b",".join([piece] * 9_000)
    answer = client.post(path, content=form.replace(b"%s", fewer), headers=JSON)
    assert answer.status_code in (403, 422)
    assert len(answer.content) < 20_000
    assert len(answer.json().get("fields", [])) <= 20


def test_a_path_of_very_many_parts_is_not_looked_up(client: httpx.Client) -> None:
    answer = client.post("/eda/start", json={"data_sources": ["/a" * 100_000]})
    assert (answer.status_code, answer.json()["code"]) == (403, "path_forbidden")


def test_a_header_that_is_no_text_is_refused(client: httpx.Client) -> None:
    body = {"query": "x"}
    headers = [(b"idempotency-key", b"\xff\xfe")]
    answer = client.post("/research/start", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner
        ),
        max_leaves=20,
    )
)  # fmt: skip
def test_every_plain_value_is_read_as_it_was_written(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value

"""No secret is read in a log, whoever wrote it there and in whichever form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.keys import make_key
from mmm_workflows.masking import LONGEST_TEXT, Mask

KEY, _ = make_key("someone")
SECRET = "S3cr3t-Pa55word"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization:Basic {}",
        "AUTHORIZATION = {}",
        "headers=[(b'authorization', b'Bearer {}'), (b'host', b'x')]",
        "{{'Authorization': 'Bearer {}', 'Accept': '*/*'}}",
        '{{"authorization": "Bearer {}"}}',
        "curl -H 'x-api-key: {}' http://localhost",
        "GET /workflows?api_key={}&limit=3",
        "GET /x?limit=3&token={}",
        "GET /x?key={}",
        "postgresql+asyncpg://mmm:{}@db:5432/mmm refused",
        "redis://:{}@cache:6379/0",
        "neo4j://neo4j:with@{}@graph:7687",
        "password={} host=db",
        "password = '{}' user='x'",
        "NEO4J_PASSWORD: {}",
        '{{"refresh_token": "{}"}}',
        'body: {{\\"password\\": \\"{}\\"}}',
        "bearer {}",
        "Cookie: session={}",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_is_named_as_a_secret_is_hidden(text: str) -> None:
    masked = Mask().text(text.format(SECRET))
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        f"key.{KEY}",
        "sk-proj-0123456789abcdefghij",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.s5Tq_abc",
    ],
)
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"({secret})", f"'{secret}',", f"x\n{secret}\ny", f"/ws/{secret}?after=1"):
        assert secret.removeprefix("key.") not in Mask().text(text), text


def test_the_secrets_of_the_settings_are_hidden_in_any_text_and_short_words_are_not() -> None:
    mask = Mask([SECRET, "mmm"])
    assert mask.text(f"dsn {SECRET}x of mmm") == "dsn ***x of mmm"
    assert SECRET not in json.dumps(mask.value({"a": [{"b": (SECRET, ValueError(SECRET))}]}))


def test_what_lies_below_a_secret_name_is_hidden_whole() -> None:
    shown = Mask().value({
        "password": {"x": [SECRET]}, "api_key": SECRET.encode(), "x-key": SECRET, "Token": 12345,
        "tokens": 7, "has_password": True, "caller": "alice",
    })  # fmt: skip
    assert shown == {
        "password": "***", "api_key": "***", "x-key": "***", "Token": "***",
        "tokens": 7, "has_password": True, "caller": "alice",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "run r1: fit_failed: the fit raised an error",
        "GET /workflow/r1/events?after=3 took 12 ms",
        "used 300 tokens in 3 calls, max_tokens=2048",
        "http://localhost:8000/docs and mail@example.org",
        "the key of 'brand' does not open the project",
        "Upload a file to get a path under mmm_workflows/api/routes/uploads.py",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert Mask().text(text) == text


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_known_secret_is_hidden_between_any_texts(before: str, after: str) -> None:
    assert SECRET not in Mask([SECRET]).text(before + SECRET + after)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_every_value_becomes_strict_json(value: object) -> None:
    json.dumps(Mask().value(value), allow_nan=False).encode("ascii")


@pytest.mark.parametrize(
    "piece", ["a", "://", "authorization: ", "password='", "-----BEGIN PRIVATE KEY-----", "?key=",
              "eyJaaaaaaaaa.", "token_-", "bearer ", "\\"],
)  # fmt: skip
def test_a_long_hostile_text_costs_little_and_is_cut(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    # Quadratic work on this text takes longer than a test may.
    assert len(Mask([SECRET]).text(text)) <= LONGEST_TEXT + 100

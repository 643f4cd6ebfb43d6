"""What the tests of this folder read from a server's answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from mmm_workflows.errors import CODES

# Far more than a quick run takes on a busy machine.
LOOKS = 3000


def ended(get: Callable[[str], httpx.Response], workflow_id: str) -> dict:
    """A run as it is shown once nobody works on it or is about to."""
    for _ in range(LOOKS):
        run: dict = get(f"/workflow/{workflow_id}").json()
        if run["status"] not in ("queued", "running"):
            return run
        time.sleep(0.1)
    raise AssertionError(f"{workflow_id} did not end")


def problem(answer: httpx.Response, status: int, code: str) -> dict:
    """The body of an error, which is whole."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["title"] == CODES[code]
    assert body["type"].endswith(code)
    assert "Traceback" not in body["detail"]
    return body

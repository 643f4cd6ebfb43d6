"""A served home that holds runs, a model and files, and requests of schemathesis that name them.

What is drawn at random names what is nowhere: it is refused, and no answer that succeeds is seen.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
from hypothesis.strategies import sampled_from
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from under_load.model import FITTED, prepare

from mmm_workflows.config import Settings
from mmm_workflows.records import DEFAULT_PROJECT

ENDS_WITHIN_S: Final = 120
QUERY: Final = {"query": "Build MMM for beverage brand"}
DECIDE: Final = "POST /workflow/{workflow_id}/decide"
DELETE_PROJECT: Final = "DELETE /project/{project}"
# What these take is used up by it, so that each has runs of its own.
USED_UP: Final = (
    "DELETE /workflow/{workflow_id}", "POST /workflow/{workflow_id}/cancel",
    DECIDE, "POST /workflow/{workflow_id}/resume", DELETE_PROJECT,
)  # fmt: skip
# A drawn one forbids the start of which everything else is in order.
LEFT_OUT: Final = frozenset({"project", "workflow_id", "replay"})
QUERIES: Final = {
    "GET /workflows": ({}, {"limit": 2}, {"workflow": "eda"}, {"status": "waiting"}),
    "GET /datasets": ({}, {"limit": 1}),
    "GET /memory/search": ({"question": "sales tv radio"}, {"question": "brand", "limit": 2}),
}
# Each of them takes a minute of both cores; that it was accepted is all that is asked here.
FITS: Final = ("/modeling/start", "/pipeline/start")
# About half of all requests: those that are to have a wrong path or body keep it.
NAMES_KNOWN: Final = sampled_from((True, True, True, False))
# Of which a choice among a few is made.
DRAWN_OF: Final = 2520


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What a home holds that a request may name.

    Attributes:
        places: By operation, values of the parameters of its path.
        queries: By operation, its query.
        bodies: By operation, fields of its body.
        used_up: By operation, values that only it uses, each for one request.
    """

    places: Mapping[str, tuple[dict[str, str], ...]]
    queries: Mapping[str, tuple[dict[str, Any], ...]]
    bodies: Mapping[str, tuple[dict[str, Any], ...]]
    used_up: Mapping[str, list[dict[str, str]]]

    def put_into(self, case: Case, draw: Random) -> None:
        """Make a request name what there is; one that is to have a wrong path or body keeps it."""
        label, is_right = case.operation.label, case.meta.generation.mode.is_positive
        # Always as many and of the same range: what is drawn must not depend on what was used up.
        of_path, of_query, of_body, of_key = (draw.randrange(DRAWN_OF) for _ in range(4))
        path = case.meta.components.get(ParameterLocation.PATH)
        if path is not None and path.mode.is_negative:
            return
        if is_right and self.used_up.get(label):
            case.path_parameters = self.used_up[label].pop()
        elif label in self.places:
            case.path_parameters = dict(_one_of(self.places[label], of_path))
        if is_right and label in self.queries:
            case.query = dict(_one_of(self.queries[label], of_query))
        if is_right and label in self.bodies and isinstance(case.body, dict):
            is_model = label.startswith("POST /models/")
            drawn = {} if is_model else {n: v for n, v in case.body.items() if n not in LEFT_OUT}
            case.body = {**drawn, **_one_of(self.bodies[label], of_body)}
            if of_key % 2:
                # Short ones are drawn again and again, with another request each time.
                case.headers.pop("Idempotency-Key", None)


def _one_of(values: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    return values[number % len(values)]


def spare(case: Case) -> None:
    """Keep a request from removing the project that all others ask about."""
    if case.path_parameters.get("project") == DEFAULT_PROJECT:
        case.path_parameters = {"project": "another"}


def write_home(home: Path) -> None:
    """Keep a model, the run that has it, and a database in a home that is not served yet."""
    asyncio.run(prepare(Settings(_env_file=None, mmm_home=home)))
    database = home / "warehouse.db"
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("CREATE TABLE weekly (date TEXT, sales INTEGER)")
        opened.execute("INSERT INTO weekly VALUES ('2024-01-01', 1)")
    # Read by a server that is started in this folder.
    (home / ".env").write_text(f"DATA_CONNECTIONS=warehouse:*=sqlite:///{database}\n")


def seed(address: str, *, spare: int) -> Seeds:
    """What a served home holds, which has what ``write_home`` keeps, once it holds runs too.

    Args:
        address: Host and port of the server.
        spare: How many requests of each operation that uses up what it names can succeed.

    Raises:
        RuntimeError: A run that was started did not come where it should.
    """
    with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        upload = _sent(client.post("/upload", files={"file": ("weekly.csv", table())}))
        eda = _run(
            client, "eda", "succeeded", data_sources=[upload["dataset_id"]],
            target_variable="sales", media_channels=["tv", "radio"],
        )  # fmt: skip
        research = _run(client, "research", "succeeded", **QUERY)
        waiting = _run(client, "research", "waiting", **QUERY, review=True)
        names = [eda["workflow_id"], research["workflow_id"], waiting["workflow_id"]]
        artifacts = [
            {"workflow_id": name, "artifact_id": artifact["artifact_id"]}
            for name in (eda["workflow_id"], research["workflow_id"])
            for artifact in _sent(client.get(f"/workflow/{name}/artifacts"))["artifacts"]
        ]
        model = _sent(client.get(f"/workflow/{FITTED}"))["result"]["model_artifact_path"]
        return Seeds(
            places=_places(names, artifacts),
            queries=QUERIES,
            bodies=_bodies(upload, eda["result"]["mff_data_path"], model),
            used_up={label: list(_spare(client, label, spare)) for label in USED_UP},
        )


def stop_a_fit(address: str, case: Case, answer: httpx.Response | Any) -> None:  # noqa: ANN401
    """Cancel what a request has started where that would take the machine."""
    if answer.status_code == 202 and case.operation.path in FITS:
        started = answer.json()["workflow_id"]
        httpx.post(f"http://{address}/workflow/{started}/cancel", timeout=60)


def never_answered(labels: Iterable[str], successes: Mapping[str, int]) -> list[str]:
    """The operations that no request has seen succeed, as faults."""
    return [f"{label} was never answered with 2xx" for label in labels if not successes.get(label)]


def table() -> bytes:
    """A year and more of weeks, that EDA takes."""
    days = [date(2023, 1, 2) + timedelta(weeks=week) for week in range(60)]
    rows = [f"{d},{100 + week % 7},{week % 5},{week % 3}" for week, d in enumerate(days)]
    return ("date,sales,tv,radio\n" + "\n".join(rows) + "\n").encode()


def _places(
    names: list[str], artifacts: list[dict[str, str]]
) -> dict[str, tuple[dict[str, str], ...]]:
    parts = ("", "/events", "/artifacts", "/decisions", "/lineage")
    runs = tuple({"workflow_id": name} for name in names)
    return {
        **{f"GET /workflow/{{workflow_id}}{part}": runs for part in parts},
        "GET /workflow/{workflow_id}/artifacts/{artifact_id}": tuple(artifacts),
        # One that waits, for answers that are none.
        DECIDE: runs[-1:],
        "POST /models/{model_id}/scenario": ({"model_id": FITTED},),
        "POST /models/{model_id}/optimize": ({"model_id": FITTED},),
    }


def _bodies(upload: dict[str, Any], mff: str, model: str) -> dict[str, tuple[dict[str, Any], ...]]:
    sources = tuple({"data_sources": [upload[name]]} for name in ("dataset_id", "path"))
    change = {"channel": "TV_Spend", "kind": "multiply", "amount": 1.2}
    return {
        "POST /research/start": ({},),
        "POST /eda/start": sources,
        "POST /pipeline/start": sources,
        "POST /modeling/start": ({"mff_data_path": mff},),
        "POST /whatif/start": ({"mff_data_path": mff, "model_artifact_path": model},),
        "POST /ask/start": ({"mff_data_path": mff},),
        "POST /track/start": tuple(
            {"actuals": path, "model_artifact_path": model} for path in (upload["path"], mff)
        ),
        "POST /models/{model_id}/scenario": (
            {"changes": [change]}, {"question": "What if we increase TV spend by 20%?"},
        ),
        "POST /models/{model_id}/optimize": (
            {}, {"total": 600_000}, {"question": "How should we allocate 600k?"},
        ),
        DECIDE: ({"answer": "yes"}, {}),
        "POST /datasets": ({"connection": "warehouse", "table": "weekly"},),
        "POST /upload": ({"file": table().decode()},),
    }  # fmt: skip


def _spare(client: httpx.Client, label: str, count: int) -> Iterable[dict[str, str]]:
    """Runs that wait, cancelled ones to go on with, or projects with a run."""
    for number in range(count):
        project = f"spare-{number}" if label == DELETE_PROJECT else DEFAULT_PROJECT
        run = _run(client, "research", "waiting", **QUERY, review=True, project=project)
        name = run["workflow_id"]
        if label.endswith("/resume"):
            _sent(client.post(f"/workflow/{name}/cancel"))
        yield {"project": project} if label == DELETE_PROJECT else {"workflow_id": name}


def _run(client: httpx.Client, workflow: str, status: str, **body: object) -> dict[str, Any]:
    name = _sent(client.post(f"/{workflow}/start", json=body))["workflow_id"]

    def look() -> dict[str, Any]:
        return _sent(client.get(f"/workflow/{name}"))

    run = _until(look, lambda run: run["status"] not in ("queued", "running"))
    if run["status"] != status:
        raise RuntimeError(f"The run of {workflow} is {run['status']}, not {status}: {run}")
    return run


def _until(
    look: Callable[[], dict[str, Any]], is_there: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    until = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < until:
        found = look()
        if is_there(found):
            return found
        time.sleep(0.05)
    raise RuntimeError(f"A run did not end within {ENDS_WITHIN_S} s: {look()}")


def _sent(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.url} was answered with {answer.text[:500]}")
    body: dict[str, Any] = answer.json()
    return body

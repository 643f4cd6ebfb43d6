"""Every route of the description, asked with the key of another project: nothing of a stranger's is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from api.test_models import UP, note_model
from pydantic import SecretStr
from workflows.test_whatif import make_model

from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.keys import make_key

ROOT, ROOT_ENTRY = make_key("root")
BRAND, BRAND_ENTRY = make_key("brand", ["brand-a"])
OWNER = "brand-b"
TABLE = b"date,sales,tv\n2024-01-01,1,2\n2024-01-08,2,3\n"
# What tells of the service alone.
OF_NOBODY = {"health", "live", "ready"}
BODIES: dict[str, dict[str, Any]] = {
    "decide": {"answer": "yes"},
    "run_scenario": UP,
    "optimize_budget": {},
    "start_research": {"query": "Build MMM for shoes", "replay": "{output}"},
    "start_eda": {"data_sources": ["{upload}"]},
    "start_modeling": {"mff_data_path": "{output}"},
    "start_whatif": {"model_artifact_path": "{model}", "mff_data_path": "{output}", "user_query": "x"},
    "start_track": {"actuals": "{upload}", "model_artifact_path": "{model}"},
    "start_ask": {"mff_data_path": "{output}", "question": "x"},
    "start_pipeline": {"query": "x", "user_query": "x", "data_sources": ["{upload}"]},
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Names and paths as a caller writes them: a stranger's, or ones that are nowhere."""

    names: dict[str, str]

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def without(self, text: str) -> str:
        """A text that was answered, with each of the names and paths taken out."""
        for name, value in sorted(self.names.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(value, f"{{{name}}}")
        return text


@dataclass(frozen=True)
class House:
    client: httpx.AsyncClient
    foreign: Place
    absent: Place
    operations: list[tuple[str, str, str]]

    async def ask(self, method: str, path: str, body: object, place: Place) -> httpx.Response:
        content = place.filled(json.dumps(body)) if body is not None else None
        return await self.client.request(
            method, place.filled(path), content=content,
            headers={"X-API-Key": BRAND, "content-type": "application/json"},
        )  # fmt: skip


@pytest.fixture
async def house(settings: Settings, tmp_path: Path) -> AsyncIterator[House]:
    """A stranger's upload, run that waits, artifact and model, beside nothing of the caller's own."""
    keys = SecretStr(f"{ROOT_ENTRY},{BRAND_ENTRY}")
    app = create_app(settings.model_copy(update={"api_keys": keys, "starts_per_minute": 1000}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):  # fmt: skip
        root = {"X-API-Key": ROOT}
        kept = await client.post(
            "/upload", files={"file": ("hidden.csv", TABLE)}, data={"project": OWNER}, headers=root
        )
        query = {"query": "Build MMM for hidden shoes", "project": OWNER, "workflow_id": "secret"}
        assert (await client.post("/research/start", json=query, headers=root)).status_code == 202
        inside = await app.state.opening.house()
        await note_model(inside.runner, make_model(tmp_path), "fitted", OWNER)
        artifact = await inside.runner.services.artifacts.put_file(
            OWNER, "chart", b"<svg/>", workflow_id="secret", name="hidden.svg"
        )
        await inside.runner.services.runs.register_artifact(artifact)
        model = settings.models / OWNER / "fitted"
        model.mkdir(parents=True)
        foreign = {
            "workflow_id": "secret", "model_id": "fitted", "artifact_id": artifact.artifact_id,
            "project": OWNER, "upload": kept.json()["path"], "output": artifact.path, "model": str(model),
        }  # fmt: skip
        absent = {
            "workflow_id": "no-such-run", "model_id": "no-such-model", "artifact_id": "0" * 64, "project": "brand-x",
            "upload": str(settings.uploads / "brand-x" / "a" / "b.csv"),
            "output": str(settings.outputs / "brand-x" / "a"), "model": str(settings.models / "brand-x" / "a"),
        }  # fmt: skip
        described = app.openapi()["paths"].items()
        operations = [
            (op["operationId"], method.upper(), path)
            for path, methods in described for method, op in methods.items()
        ]  # fmt: skip
        yield House(client, Place(foreign), Place(absent), operations)


async def test_no_route_tells_a_stranger_s_from_what_is_nowhere(house: House) -> None:
    asked = 0
    for name, method, path in house.operations:
        if "{" not in path and not name.startswith("start_"):
            continue
        asked += 1
        own = {"project": "brand-a"} if name.startswith("start_") else {}
        body = {**BODIES[name], **own} if name in BODIES else None
        told = await house.ask(method, path, body, house.foreign)
        nothing = await house.ask(method, path, body, house.absent)
        expected = 403 if "project" in path or name.startswith("start_") else 404
        assert (told.status_code, nothing.status_code) == (expected, expected), (name, told.text)
        assert house.foreign.without(told.text) == house.absent.without(nothing.text), name
        for header in ("content-type", "retry-after", "cache-control"):
            assert told.headers.get(header) == nothing.headers.get(header)
    assert asked >= 20
    # It is all still there, and as it was.
    for path in ("/workflow/secret", "/workflow/secret/artifacts", "/workflows", "/datasets"):
        seen = await house.client.get(path, headers={"X-API-Key": ROOT})
        assert seen.status_code == 200 and ("secret" in seen.text or "hidden" in seen.text)


async def test_a_start_under_a_stranger_s_name_or_in_its_project_is_told_no_more(
    house: House,
) -> None:
    for name, method, path in house.operations:
        if name.startswith("start_"):
            body = {**BODIES[name], "project": "{project}"}
            told = await house.ask(method, path, body, house.foreign)
            nothing = await house.ask(method, path, body, house.absent)
            assert (told.status_code, told.json()["code"]) == (403, "project_forbidden"), name
            assert house.foreign.without(told.text) == house.absent.without(nothing.text)
    body = {"query": "Build MMM for shoes", "workflow_id": "secret", "project": "brand-a"}
    told = await house.ask("POST", "/research/start", body, house.foreign)
    assert (told.status_code, told.json()["code"]) == (409, "run_conflict")
    assert OWNER not in told.text and "hidden" not in told.text


async def test_what_is_of_no_run_tells_nothing_of_a_stranger(house: House) -> None:
    rest = [o for o in house.operations if "{" not in o[2] and not o[0].startswith("start_")]
    told_of = {
        "upload": 403, "copy_table": 403, "list_runs": 403, "list_datasets": 403, "search_memory": 403, "metrics": 403,
    }  # fmt: skip
    assert {name for name, _, _ in rest} == {*told_of, *OF_NOBODY}
    brand = {"X-API-Key": BRAND}
    for name, method, path in rest:
        plain = await house.client.request(method, path, headers=brand)
        assert not any(word in plain.text for word in ("secret", "hidden", OWNER)), name
        if name in OF_NOBODY:
            continue
        for project in (OWNER, "brand-x"):
            asked: dict[str, Any] = {"params": {"project": project, "question": "hidden shoes"}}
            if name == "upload":
                asked = {"files": {"file": ("a.csv", TABLE)}, "data": {"project": project}}
            if name == "copy_table":
                asked = {"json": {"connection": "hidden", "table": "x", "project": project}}
            answer = await house.client.request(method, path, headers=brand, **asked)
            assert answer.status_code == told_of[name], (name, answer.text)
            assert "secret" not in answer.text and "hidden" not in answer.text

"""Scenarios and budgets over REST, answered at once on the draws of a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from workflows.test_whatif import Fitted, make_model

from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.mmm.optimize import optimize
from mmm_workflows.mmm.query import bounds_of, interpret
from mmm_workflows.mmm.results import FitVerdict
from mmm_workflows.mmm.scenario import Change, ChangeKind, run_scenario
from mmm_workflows.mmm.windows import DEFAULT_PERIODS, make_reference, next_periods
from mmm_workflows.records import MODEL, Artifact, Run
from mmm_workflows.workflows.instant import Instant, ScenarioAsked
from mmm_workflows.workflows.runner import Runner

UP = {"changes": [{"channel": "TV_Spend", "kind": "multiply", "amount": 1.2}]}


async def note_model(runner: Runner, fitted: Fitted, workflow_id: str, project: str) -> str:
    """Write down a run that has fitted a model, as Modeling does."""
    run = Run(
        workflow_id=workflow_id, workflow="modeling", project=project, seed=1,
        graph_version="1", request={},
    )  # fmt: skip
    await runner.services.runs.create(run)
    artifact = Artifact(
        project=project, artifact_id=f"of-{workflow_id}", kind=MODEL, path=str(fitted.model),
        sha256="0" * 64, size_bytes=1, workflow_id=workflow_id,
    )  # fmt: skip
    await runner.services.runs.register_artifact(artifact)
    return artifact.artifact_id


@pytest.fixture
def fitted(tmp_path: Path) -> Fitted:
    return make_model(tmp_path)


@pytest.fixture
async def client(settings: Settings, fitted: Fitted) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened,
    ):
        house = await app.state.opening.house()
        await note_model(house.runner, fitted, "fit", "default")
        yield opened


async def test_a_typed_scenario_is_what_the_language_computes(
    client: httpx.AsyncClient, fitted: Fitted
) -> None:
    answer = await client.post("/models/fit/scenario", json=UP)
    assert answer.status_code == 200, answer.text
    draws = fitted.draws
    reference = make_reference(draws, next_periods(draws, DEFAULT_PERIODS[draws.frequency]))
    change = Change(channel="TV_Spend", kind=ChangeKind.MULTIPLY, amount=1.2)
    truth = run_scenario(draws, reference, [change], name="Your scenario")
    assert answer.json()["scenario"] == truth.model_dump(mode="json")
    assert answer.json()["fit_verdict"] == "pass" and answer.json()["cautions"] == []


async def test_the_id_of_the_model_and_that_of_its_run_are_one(client: httpx.AsyncClient) -> None:
    by_run, by_id = [await client.post(f"/models/{i}/scenario", json=UP) for i in ("fit", "of-fit")]
    assert by_run.json() == by_id.json()
    unknown = await client.post("/models/none/scenario", json=UP)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")


async def test_plain_words_and_their_typed_form_give_one_answer(
    client: httpx.AsyncClient, fitted: Fitted
) -> None:
    question = "What if we increase TV spend by 20%?"
    spoken = await client.post("/models/fit/scenario", json={"question": question})
    typed = await client.post("/models/fit/scenario", json=UP)
    assert spoken.json()["scenario"] == typed.json()["scenario"]
    assert "TV" in spoken.json()["echo"]
    asked = interpret("How should we allocate 600k?", fitted.draws)
    assert asked.window is not None and asked.total is not None
    reference = make_reference(fitted.draws, asked.window)
    bounds = bounds_of(fitted.draws, reference, asked, asked.total)
    truth = optimize(fitted.draws, reference, asked.total, bounds).model_dump(mode="json")
    for body in ({"question": "How should we allocate 600k?"}, {"total": 600e3}):
        found = await client.post("/models/fit/optimize", json=body)
        assert found.status_code == 200, found.text
        assert found.json()["optimization"] == truth


async def test_bounds_and_totals_are_kept(client: httpx.AsyncClient) -> None:
    usual = (await client.post("/models/fit/optimize", json={})).json()["optimization"]
    assert sum(usual["allocation"].values()) == pytest.approx(usual["total"])
    fixed = 0.9 * usual["reference_totals"]["TV_Spend"]
    body = {"bounds": {"TV_Spend": {"low": fixed, "high": fixed}}}
    found = (await client.post("/models/fit/optimize", json=body)).json()["optimization"]
    assert found["allocation"]["TV_Spend"] == pytest.approx(fixed)
    assert sum(found["allocation"].values()) == pytest.approx(usual["total"])


@pytest.mark.parametrize(
    ("what", "body", "code"),
    [
        ("scenario", {}, "request_invalid"),
        ("scenario", {**UP, "question": "x"}, "request_invalid"),
        ("scenario", {"question": "Should we be happy?"}, "query_unclear"),
        ("scenario", {"question": "How should we allocate 2m?"}, "query_invalid"),
        ("scenario", {"changes": [{"channel": "X", "kind": "add", "amount": 1}]}, "query_invalid"),
        (
            "scenario",
            {"changes": [{"channel": "TV_Spend", "kind": "add", "amount": -1e15}]},
            "query_invalid",
        ),
        (
            "scenario",
            {"changes": [{"channel": "TV_Spend", "kind": "set", "amount": 1e300}]},
            "request_invalid",
        ),
        (
            "scenario",
            {**UP, "window": {"start": "1999-01-04", "end": "1999-03-01"}},
            "query_invalid",
        ),
        ("optimize", {"total": 1e15}, "query_out_of_reach"),
        ("optimize", {"total": -1}, "request_invalid"),
        ("optimize", {"bounds": {"X": {"low": 1}}}, "query_invalid"),
        ("optimize", {"question": "What if we increase TV spend by 20%?"}, "query_invalid"),
    ],
)
async def test_what_cannot_be_carried_out_is_refused(
    client: httpx.AsyncClient, what: str, body: dict, code: str
) -> None:
    answer = await client.post(f"/models/fit/{what}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


async def test_what_is_kept_of_a_window_changes_no_answer(tmp_path: Path) -> None:
    model = make_model(tmp_path).model
    windows = [
        {"start": "2025-06-02", "end": "2025-08-25"},
        {"start": "2026-01-05", "end": "2026-03-02"},
        {"start": "2024-01-01", "end": "2024-01-01"},
    ]
    asked = [
        ScenarioAsked.model_validate({"changes": [{**UP["changes"][0], "amount": a}], "window": w})
        for a in (0.5, 1.0, 1.7)
        for w in windows
    ]
    with Instant() as warm:
        first = [await warm.scenario(model, a) for a in asked]
        again = [await warm.scenario(model, a) for a in reversed(asked)]
    assert first == again[::-1]
    for answer, each in zip(first, asked, strict=True):
        with Instant() as cold:
            assert await cold.scenario(model, each) == answer
    assert len({a.scenario.outcome.delta.mean for a in first}) == 7  # a plan of 1.0 changes nothing


async def test_a_failed_fit_is_said_with_every_answer(tmp_path: Path) -> None:
    failed = make_model(tmp_path, verdict=FitVerdict.FAIL)
    with Instant() as instant:
        answer = await instant.scenario(failed.model, ScenarioAsked.model_validate(UP))
    assert answer.fit_verdict is FitVerdict.FAIL
    assert "failed its diagnostics" in answer.cautions[0]


async def test_a_damaged_model_is_refused_and_an_unused_one_makes_room(tmp_path: Path) -> None:
    asked = ScenarioAsked.model_validate(UP)
    models = []
    for name, margin in (("a", None), ("b", 0.5), ("c", 0.4)):
        (tmp_path / name).mkdir()
        models.append(make_model(tmp_path / name, margin=margin).model)
    with Instant(models=2) as instant:
        answers = [await instant.scenario(m, asked) for m in models]
        assert len({a.model_id for a in answers}) == 3
        assert instant.models_open == 2
        (models[0] / "draws.npz").write_bytes(b"other")
        with pytest.raises(Exception, match=r"draws\.npz"):
            await instant.scenario(models[0], asked)


async def test_many_at_once_open_a_model_once_and_agree(tmp_path: Path) -> None:
    model = make_model(tmp_path).model
    asked = ScenarioAsked.model_validate(
        {**UP, "window": {"start": "2025-06-02", "end": "2025-08-25"}}
    )
    with Instant() as instant:
        answers = await asyncio.gather(*(instant.scenario(model, asked) for _ in range(20)))
        assert instant.models_open == 1
    assert all(a == answers[0] for a in answers)

"""Spans of what the service does: nested as it happened, without a word of the data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mmm_workflows import traces
from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.errors import FitFailed, MMMError
from mmm_workflows.workflows.contracts import EdaRequest, ResearchRequest
from mmm_workflows.workflows.runner import open_runner


class _Kept(InMemorySpanExporter):
    """Keeps what it was given after its end, too."""

    def shutdown(self) -> None:
        """Nothing: the spans are looked at afterwards."""


@pytest.fixture(name="exporter")
def in_memory() -> Iterator[_Kept]:
    """Spans that were ended."""
    yield _Kept()


def _parents(spans: tuple[ReadableSpan, ...]) -> dict[str, str | None]:
    names = {s.context.span_id: s.name for s in spans if s.context}
    return {s.name: names[s.parent.span_id] if s.parent else None for s in spans}


async def test_a_run_and_its_steps_are_spans_of_one_trace(
    exporter: _Kept, settings: Settings
) -> None:
    with traces.sent_to(exporter):
        async with open_runner(settings) as runner:
            request = ResearchRequest(query="a secret question")
            await runner.start("research", request, workflow_id="r1", project="brand")
    spans = exporter.get_finished_spans()
    assert len({s.context.trace_id for s in spans if s.context}) == 1
    parents = _parents(spans)
    assert parents.pop("run research") is None
    assert set(parents) == {
        f"step {step}"
        for step in ("initialize", "web_search", "generate_plan", "collect_feedback", "finalize")
    }
    assert set(parents.values()) == {"run research"}
    (run,) = [s for s in spans if s.name == "run research"]
    assert dict(run.attributes or {}) == {"mmm.workflow_id": "r1", "mmm.project": "brand"}
    assert "secret" not in "".join(s.to_json() for s in spans)


async def test_a_step_that_fails_is_marked_by_the_kind_of_its_error_alone(
    exporter: _Kept, settings: Settings
) -> None:
    with traces.sent_to(exporter):
        async with open_runner(settings) as runner:
            with pytest.raises(MMMError):
                await runner.start("eda", EdaRequest(data_sources=("private-name.csv",)))
    failed = {
        s.name: s.status.description for s in exporter.get_finished_spans() if not s.status.is_ok
    }
    assert failed and set(failed.values()) == {"DatasetError"}
    assert "private-name" not in "".join(s.to_json() for s in exporter.get_finished_spans())


async def test_a_request_is_named_by_its_route(exporter: _Kept, settings: Settings) -> None:
    app = create_app(settings)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    with traces.sent_to(exporter):
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            assert (await client.get("/workflow/none?token=hidden")).status_code == 404
    (request,) = exporter.get_finished_spans()
    assert request.name == "GET /workflow/{workflow_id}"
    assert (request.attributes or {})["mmm.status"] == 404
    assert "hidden" not in request.to_json()


def test_spans_nest_and_what_others_trace_goes_nowhere(exporter: _Kept) -> None:
    with traces.sent_to(exporter), pytest.raises(FitFailed), traces.span("fit", key="k"):
        with traces.span("model call", model="m"):
            pass
        with trace.get_tracer("a library").start_as_current_span("not ours"):
            pass
        raise FitFailed("with 12 rows of someone's data")
    spans = exporter.get_finished_spans()
    assert _parents(spans) == {"model call": "fit", "fit": None}
    assert spans[-1].status.description == "FitFailed"


def test_without_a_collector_nothing_is_traced(exporter: _Kept) -> None:
    with traces.sent_to(exporter):
        pass
    with traces.span("after", key="k") as entered:
        entered.told("renamed", status=1)
    assert exporter.get_finished_spans() == ()


def test_a_collector_without_the_extra_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MMMError, match="EXTRAS=otel") as told:
        traces.collector("http://localhost:4318")
    assert told.value.code == "settings_invalid"


def test_tracing_loads_nothing_while_it_is_off() -> None:
    code = "import mmm_workflows.traces, sys; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

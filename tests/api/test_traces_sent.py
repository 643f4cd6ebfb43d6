"""Spans of a live server, as a collector receives them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from api.answers import ended
from api.servers import CLI, StartServer


class _Collector(ThreadingHTTPServer):
    received: list[tuple[str, bytes]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(name="collector")
def listening() -> Iterator[_Collector]:
    with _Collector(("127.0.0.1", 0), _Handler) as collector:
        collector.received = []
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_a_collector_without_the_packages_for_it_is_said_before_the_service_starts() -> None:
    without = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None; "
        "from mmm_workflows.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, "serve"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "EXTRAS=otel" in done.stderr and "Traceback" not in done.stderr


def test_a_collector_receives_requests_and_runs_when_the_service_stops(
    start_server: StartServer, tmp_path: Path, collector: _Collector
) -> None:
    endpoint = f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{collector.server_port}"
    with start_server(["env", endpoint, *CLI, "serve"], tmp_path) as served:
        body = {"query": "what nobody else may read", "workflow_id": "r1"}
        assert httpx.post(f"http://{served}/research/start", json=body).status_code == 202
        run = ended(lambda path: httpx.get(f"http://{served}{path}"), "r1")
        assert run["status"] == "succeeded", run["error"]
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    sent = b"".join(body for _, body in collector.received)
    for name in (b"POST /research/start", b"GET /workflow/{workflow_id}", b"run research", b"step"):
        assert name in sent, name
    assert b"nobody else" not in sent

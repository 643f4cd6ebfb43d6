"""Several processes over one run database: servers that leave the work to others, and workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from api.answers import ended

REPOSITORY = Path(__file__).parents[2]
CLI = (sys.executable, "-c", "from mmm_workflows.cli import main; main()")
QUERY = {"query": "Build MMM for beverage brand"}

type StartServer = Callable[[Sequence[str], Path], AbstractContextManager[str]]


@contextmanager
def a_worker(home: Path) -> Iterator[None]:
    environment = {**os.environ, "MMM_HOME": str(home)}
    with subprocess.Popen(
        [*CLI, "worker"], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert "taking runs" in process.stderr.readline()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def _start(address: str, workflow_id: str, **more: object) -> None:
    body = {**QUERY, "workflow_id": workflow_id, **more}
    answer = httpx.post(f"http://{address}/research/start", json=body, timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


def _run(address: str, workflow_id: str) -> dict:
    run: dict = httpx.get(f"http://{address}/workflow/{workflow_id}", timeout=30).json()
    return run


def _end(address: str, workflow_id: str) -> str:
    """How a run has ended, or that it waits."""
    return str(
        ended(lambda path: httpx.get(f"http://{address}{path}", timeout=30), workflow_id)["status"]
    )


def test_servers_without_workers_keep_what_they_accept_until_a_worker_comes(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERS", "0")
    with start_server([*CLI, "serve"], tmp_path) as one:
        _start(one, "kept")
        _start(one, "dropped")
    with start_server([*CLI, "serve"], tmp_path) as other:
        _start(other, "asked", review=True)
        dropped = httpx.post(f"http://{other}/workflow/dropped/cancel", timeout=30)
        assert dropped.json()["status"] == "cancelled"
        again = httpx.post(f"http://{other}/workflow/kept/resume", timeout=30)
        assert (again.status_code, again.json()["code"]) == (409, "run_busy")
        assert _run(other, "kept")["status"] == "queued"
        with a_worker(tmp_path):
            assert _end(other, "kept") == "succeeded"
            assert _end(other, "asked") == "waiting"
            answer = {"answer": "yes"}
            told = httpx.post(f"http://{other}/workflow/asked/decide", json=answer, timeout=30)
            # A worker takes it at once.
            assert told.json()["status"] in ("queued", "running")
            assert _end(other, "asked") == "succeeded"
        assert _end(other, "dropped") == "cancelled"
        assert httpx.post(f"http://{other}/workflow/dropped/resume", timeout=30).status_code == 202
        assert _run(other, "dropped")["status"] == "queued"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_server_that_is_stopped_in_mid_fit_puts_the_run_back_and_the_next_goes_on(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAIN_S", "0.2")
    uvicorn = (sys.executable, "-m", "uvicorn", "mmm_workflows.api.main:app")
    with start_server(uvicorn, tmp_path) as one:
        uploaded = httpx.post(
            f"http://{one}/upload",
            files={"file": ("sales.csv", (REPOSITORY / "data" / "sales.csv").read_bytes())},
            timeout=30,
        ).json()
        body = {
            "workflow_id": "p1",
            "query": "Build MMM for CPG brand",
            "user_query": "What if we increase TV spend by 20%?",
            "data_sources": [uploaded["path"]],
            "target_variable": "Sales",
            "media_channels": ["TV_Spend", "Digital_Spend"],
            "depth": "quick",
        }
        assert httpx.post(f"http://{one}/pipeline/start", json=body, timeout=30).is_success
        _wait(lambda: _fits(tmp_path) != [])
    assert _fits(tmp_path) == []
    with start_server([*CLI, "serve"], tmp_path) as other:
        # It was queued, and is taken without a word of anybody.
        _wait(lambda: _fits(tmp_path) != [])
        assert _run(other, "p1")["status"] == "running"
        log = httpx.get(f"http://{other}/workflow/p1/events", timeout=30).json()["events"]
        assert [e["seq"] for e in log] == list(range(1, len(log) + 1))
        assert [e["status"] for e in log].count("queued") == 1
        assert httpx.post(f"http://{other}/workflow/p1/cancel", timeout=30).status_code == 202
        assert _end(other, "p1") == "cancelled"
        assert _fits(tmp_path) == []


def _fits(home: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "mmm_workflows.fit_process" in command and str(home) in command:
            found.append(command)
    return found


def _wait(reached: Callable[[], bool]) -> None:
    for _ in range(2400):
        if reached():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that")

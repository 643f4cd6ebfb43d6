"""Real servers, each in its own process group on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parents[2]
STARTS_WITHIN_S = 300
CLI = (sys.executable, "-c", "from mmm_workflows.cli import main; main()")

type StartServer = Callable[[Sequence[str], Path], AbstractContextManager[str]]


@contextmanager
def free_port() -> Iterator[int]:
    """A port that nobody else is given as long as the block lasts; a server may listen on it."""
    with socket.socket() as held:
        # So that another socket with this option may have the port, as each server of asyncio's has.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def server(command: Sequence[str], home: Path) -> Iterator[str]:
    log = home / "log"
    environment = {**os.environ, "MMM_HOME": str(home), "MMM_CACHE": str(REPOSITORY / ".cache")}
    with (
        free_port() as port,
        log.open("wb") as said,
        subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=home, env=environment, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}", process)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            code = process.wait(timeout=120)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert code in (0, -signal.SIGTERM), log.read_text()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            httpx.get(f"{address}/health", timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"no answer within {STARTS_WITHIN_S} s")

"""The processes of the service: started with one environment, killed, stopped, and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parents[2]
CLI = (sys.executable, "-c", "from mmm_workflows.cli import main; main()")
STARTS_WITHIN_S = 120
ENDS_WITHIN_S = 60


class Process:
    """One command that can be started again; what it says goes to one log.

    Args:
        arguments: Of the command line of ``mmm-workflows``.
        environment: All that it sees.
        log: Where it says something.
    """

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._command = (*CLI, *arguments)
        self.environment = environment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.pids: list[int] = []

    @property
    def is_up(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, in a session of its own."""
        assert not self.is_up
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=REPOSITORY, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.pids.append(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone; nothing to do where it has ended."""
        if self.is_up:
            assert self._process is not None
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(ENDS_WITHIN_S)

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        if self._process is not None:
            self._process.wait(ENDS_WITHIN_S)

    def stop(self) -> None:
        """Tell it to stop and wait until it has."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self) -> str:
        """All that it said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Api(Process):
    """``mmm-workflows serve``, always on the same port."""

    def __init__(self, environment: Mapping[str, str], log: Path, *, workers: int) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        environment = {**environment, "WORKERS": str(workers)}
        super().__init__(("serve", "--port", str(port)), environment, log)

    def until_open(self) -> None:
        """Wait until it lists runs."""
        until, runs = time.monotonic() + STARTS_WITHIN_S, f"http://{self.address}/workflows?limit=1"
        with httpx.Client(timeout=30, trust_env=False) as client:
            while time.monotonic() < until:
                assert self.is_up, f"the API ended by itself: {self.said()[-2000:]}"
                with suppress(httpx.TransportError):
                    if client.get(runs).is_success:
                        return
                time.sleep(0.1)
        raise AssertionError("the API does not answer")


class WorkerProcess(Process):
    """``mmm-workflows worker``."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        super().__init__(("worker", "--at-once", "2"), dict(environment), log)

    def until_open(self) -> None:
        """Wait until it takes runs."""
        until = time.monotonic() + STARTS_WITHIN_S
        while self.said().count("taking runs") < len(self.pids):
            assert self.is_up, f"the worker ended by itself: {self.said()[-2000:]}"
            assert time.monotonic() < until, "the worker takes no runs"
            time.sleep(0.1)


_HELD: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody is given as long as this process lives; a server may listen on it."""
    held = socket.socket()
    # So that another socket with this option may have the port, as each server of asyncio's has.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    port: int = held.getsockname()[1]
    return port


def left_over(sessions: set[int], folder: Path) -> list[str]:
    """What still runs of sessions whose first process has ended, or names a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state, _, _, session = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        is_ours = int(session) in sessions or str(folder) in command
        if is_ours and state != "Z" and int(entry.name) != os.getpid():
            found.append(f"{entry.name}: {command}")
    return found

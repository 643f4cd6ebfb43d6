"""Servers of one test's own, which it may kill and start again on their data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from neo4j import GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError
from redis import Redis
from redis.exceptions import RedisError

from .state import CACHE

SCRIPTS = Path(__file__).parent
START_S = 120


class PrivateServer:
    """A server that a script of this folder started with a state file of its own."""

    def __init__(self, service: str, state_file: Path) -> None:
        self.state = dict(line.split("=", 1) for line in state_file.read_text().splitlines())
        self._prefix = service.upper()
        self._state_file = state_file
        self._pid = int(self.state[f"{self._prefix}_PID"])
        self._command = self._found_command()
        self._own: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def _found_command(self) -> list[str]:
        if self._prefix == "REDIS":  # writes its state over the words that it was started with
            folder, port = self.state["REDIS_FOLDER"], urlsplit(self.state["REDIS_URL"]).port
            return [
                f"{folder}/redis-server", "--bind", "127.0.0.1", "--port", str(port),
                "--dir", folder, "--save", "", "--appendonly", "no",
            ]  # fmt: skip
        command = Path(f"/proc/{self._pid}/cmdline").read_bytes()
        return [os.fsdecode(part) for part in command.split(b"\0")[:-1]]

    def kill(self) -> None:
        """End it as a crash does; it is gone when this returns."""
        os.kill(self._pid, signal.SIGKILL)
        self._is_killed = True
        if self._own is not None:
            self._own.wait()
        until = time.monotonic() + START_S
        while self._takes_connections() and time.monotonic() < until:
            time.sleep(0.02)

    def start_again(self) -> None:
        """The same command on the same data; nothing to do where it runs."""
        if self._is_killed:
            self._is_killed = False
            with (self._state_file.with_suffix(".log")).open("ab") as log:
                self._own = subprocess.Popen(self._command, stdout=log, stderr=log)
            self._pid = self._own.pid
            self.state[f"{self._prefix}_PID"] = str(self._pid)
            lines = [f"{name}={value}\n" for name, value in self.state.items()]
            self._state_file.write_text("".join(lines))
        until = time.monotonic() + START_S
        while not (self._takes_connections() and self._answers()):
            assert self._own is None or self._own.poll() is None, "the server did not start again"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.2)

    def _answers(self) -> bool:
        """Whether it is ready: a port is open before that."""
        if self._prefix == "CHROMA":
            with suppress(httpx.HTTPError):
                return httpx.get(f"{self.state['CHROMA_URL']}/api/v2/heartbeat").is_success
            return False
        if self._prefix == "REDIS":
            with suppress(RedisError), Redis.from_url(self.state["REDIS_URL"]) as client:
                return bool(client.ping())
            return False
        auth = (self.state["NEO4J_USER"], self.state["NEO4J_PASSWORD"])
        with (
            suppress(DriverError, Neo4jError),
            GraphDatabase.driver(self.state["NEO4J_URI"], auth=auth) as driver,
        ):
            driver.execute_query("RETURN 1", database_="neo4j")
            return True
        return False

    def _takes_connections(self) -> bool:
        name = {"NEO4J": "NEO4J_URI", "CHROMA": "CHROMA_URL", "REDIS": "REDIS_URL"}[self._prefix]
        parts = urlsplit(self.state[name])
        try:
            with socket.create_connection((parts.hostname, parts.port), timeout=2):
                return True
        except OSError:
            return False

    def reap(self) -> None:
        """Take the exit status of a process that was started here."""
        if self._own is not None:
            self._own.wait(START_S)


@contextmanager
def private_server(service: str, folder: Path) -> Iterator[PrivateServer]:
    """One that nobody else uses; skipped where it cannot be started, failed where it must."""
    state_file, cache = folder / f"{service}.env", folder / "cache"
    # Its log is its own; the programs of the shared cache are not fetched again.
    (cache / "neo4j").mkdir(parents=True)
    for jars in (CACHE / "neo4j").glob("*/lib"):
        (cache / "neo4j" / jars.parent.name).symlink_to(jars.parent)
    environment = {**os.environ, "MMM_SERVICES_CACHE": str(cache)}
    up = subprocess.run(
        ["bash", str(SCRIPTS / f"{service}_up.sh"), str(state_file)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if up.returncode:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(up.stderr)
    server = PrivateServer(service, state_file)
    try:
        yield server
    finally:
        down = ["bash", str(SCRIPTS / f"{service}_down.sh"), str(state_file)]
        subprocess.run(down, env=environment, check=True)
        server.reap()

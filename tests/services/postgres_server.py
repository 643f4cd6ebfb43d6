"""A PostgreSQL of a test's own, which it may stop, kill and start again on the same port and data."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .postgres_state import postgres_url

HERE = Path(__file__).parent
START_TRIES = 40


class OwnPostgres:
    """The server that ``postgres_up.sh`` wrote a state file for."""

    def __init__(self, state: Path) -> None:
        self._state = state
        found = dict(line.split("=", 1) for line in state.read_text().splitlines())
        self.url = found["DATABASE_URL"]
        self._pid = int(found["POSTGRES_PID"])
        self._folder = Path(found["POSTGRES_FOLDER"])
        port = re.search(r":(\d+)/", self.url)
        assert port is not None
        self._port = port[1]

    async def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """End it: its sessions are ended, or (immediate) it leaves as in a crash."""
        await asyncio.to_thread(self._control, "stop", "--mode", mode)

    async def kill(self) -> None:
        """Kill the server's first process with SIGKILL; the others end by themselves."""
        os.kill(self._pid, signal.SIGKILL)
        await asyncio.to_thread(_wait_for_end, self._pid)

    async def start(self) -> None:
        """Start it again; what a kill left behind is recovered from its log."""
        options = f"-h 127.0.0.1 -p {self._port} -c unix_socket_directories='' -c fsync=off"
        for tried in range(START_TRIES):
            try:
                await asyncio.to_thread(
                    self._control, "start", "--log", str(self._folder / "log"), "-o", options
                )
                break
            except subprocess.CalledProcessError:
                # Processes of the killed server may still hold its memory.
                if tried == START_TRIES - 1:
                    raise
                await asyncio.sleep(0.25)
        pid = (self._folder / "data" / "postmaster.pid").read_text().splitlines()[0]
        content = self._state.read_text()
        self._state.write_text(content.replace(f"POSTGRES_PID={self._pid}", f"POSTGRES_PID={pid}"))
        self._pid = int(pid)

    def _control(self, *arguments: str) -> None:
        program = max(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
        as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_server, str(program), "--pgdata", str(self._folder / "data"), "--wait", "--silent",
             *arguments],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, cwd="/",
        )  # fmt: skip


@contextmanager
def own_postgres(folder: Path) -> Iterator[OwnPostgres]:
    """A server for the length of a block, its state file in a folder of the test."""
    postgres_url()  # where no server can be had, the test is skipped or failed
    state = folder / "postgres.env"
    subprocess.run(
        ["bash", HERE / "postgres_up.sh", state], check=True, capture_output=True, timeout=300
    )
    try:
        yield OwnPostgres(state)
    finally:
        subprocess.run(["bash", HERE / "postgres_down.sh", state], check=True, timeout=120)
        assert not state.exists()


def _version(program: Path) -> int:
    return int(program.parts[-3])


def _wait_for_end(pid: int) -> None:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise TimeoutError(f"process {pid} did not end")

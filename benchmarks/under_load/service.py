"""A served API on a home of its own, and what it takes of the machine."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from under_load.caller import Caller, calling

REPOSITORY: Final = Path(__file__).parents[2]
CLI: Final = (sys.executable, "-c", "from mmm_workflows.cli import main; main()")
STARTS_WITHIN_S: Final = 90
TICKS: Final = os.sysconf("SC_CLK_TCK")


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a service that lets one caller ask without end."""
    return {
        **os.environ, "MMM_HOME": str(home), "MMM_CACHE": str(REPOSITORY / ".cache"),
        "REQUESTS_PER_MINUTE": "1000000", "STARTS_PER_MINUTE": "1000000",
    }  # fmt: skip


@dataclass(frozen=True)
class Service:
    """A service that answers."""

    port: int
    pid: int
    caller: Caller

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cpu_s(self) -> float:
        """CPU that its process alone has taken."""
        return sum(self._ticks()[:2]) / TICKS

    @property
    def children_cpu_s(self) -> float:
        """CPU of all processes that it started: fits and drawings, ended or not."""
        return (sum(self._ticks()[2:]) + sum(map(sum, _below(self.pid)))) / TICKS

    def _ticks(self) -> list[int]:
        """Its own user and system time, and those of its children that have ended."""
        return _stat(self.pid)[1]

    @property
    def resident_mb(self) -> float:
        """What of its process is in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


def _stat(pid: int) -> tuple[int, list[int]]:
    """The parent of a process, and its ticks: its own user and system, its ended children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def _below(pid: int) -> list[list[int]]:
    """The ticks of each process that lives and descends from this one."""
    living = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            living[int(place.name)] = _stat(int(place.name))
    found, parents = [], {pid}
    while parents:
        children = {child for child, (parent, _) in living.items() if parent in parents}
        found += [living[child][1] for child in children]
        parents = children
    return found


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Service]:
    """A service on this home, whose house is open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(  # noqa: ASYNC220 - nothing else waits yet
            [*CLI, "serve", "--port", str(port)],
            cwd=home, env=environment_of(home), stdout=log, stderr=log, start_new_session=True,
        ) as process,
        calling(port) as caller,
    ):  # fmt: skip
        try:
            await _until_open(caller, process, home)
            yield Service(port, process.pid, caller)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


async def _until_open(caller: Caller, process: subprocess.Popen[bytes], home: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < until:
        if (await caller.ask(caller.get("/workflows"))).status == 200:
            return
        await asyncio.sleep(0.2)
    said = (home / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
    raise SystemExit(f"the service did not start within {STARTS_WITHIN_S} s; it said:\n{said}")


def busy_s() -> float:
    """CPU that this whole machine has spent since it was started."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _, _, irq, soft, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + soft + steal) / TICKS

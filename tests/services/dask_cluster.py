"""A Dask cluster of real processes on this machine: a scheduler and workers that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

DASK = Path(sys.executable).parent / "dask"
START_S = 120


class Cluster:
    """A scheduler with one process per worker; ``address`` is what DASK_SCHEDULER takes."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            **environment,
        }
        self._file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(self._file),
        )  # fmt: skip
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = self._address()

    def add_worker(self) -> Self:
        """Start one worker with one thread, without a nanny that would start it again."""
        number = len(self.workers)
        self.workers.append(
            self._start(
                "worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                "--local-directory", str(self._folder / f"worker-{number}"),
            )
        )  # fmt: skip
        return self

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many have said that the scheduler knows them."""
        for _ in range(START_S * 10):
            if (self._folder / "worker.log").read_text().count("Registered to:") >= count:
                return
            time.sleep(0.1)
        raise TimeoutError("the Dask workers did not start")

    def kill_one_that_fits(self) -> None:
        """Kill a worker that has a child process, as at a power cut."""
        worker = next(w for w in self.workers if w.poll() is None and _children(w.pid))
        worker.kill()
        worker.wait()

    def close(self) -> None:
        """End every process of it."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [DASK, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, cwd=self._folder,
            )  # fmt: skip

    def _address(self) -> str:
        for _ in range(START_S * 10):
            if self._file.exists() and self._file.stat().st_size:
                return str(json.loads(self._file.read_text())["address"])
            assert self.scheduler.poll() is None, (self._folder / "scheduler.log").read_text()
            time.sleep(0.1)
        raise TimeoutError("the Dask scheduler did not start")


def _children(pid: int) -> list[str]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since it was listed
            found += children.read_text().split()
    return found


@contextmanager
def dask_cluster(
    folder: Path, *, workers: int, environment: Mapping[str, str]
) -> Iterator[Cluster]:
    """A cluster with so many workers on this machine, gone after the block."""
    cluster = Cluster(folder, environment)
    try:
        for _ in range(workers):
            cluster.add_worker()
        if workers:
            cluster.wait_for_workers(workers)
        yield cluster
    finally:
        cluster.close()

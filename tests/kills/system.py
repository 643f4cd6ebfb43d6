"""The whole service on servers of its own: PostgreSQL, Redis, Neo4j, Chroma, an API and a worker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
from services.postgres_server import OwnPostgres, own_postgres
from services.private import PrivateServer, private_server

from mmm_workflows.config import Settings

from .phases import Seen, Victim
from .processes import REPOSITORY, Api, Process, WorkerProcess, left_over

ENDS_WITHIN_S = 600.0
POLL_S = 0.005
STANDING = "SELECT status, coalesce(step, '-'), last_seq FROM runs WHERE workflow_id = %s"
WORKERS = 2
# One channel over little more than a year: the run counts, not the fit.
TABLE = "\n".join(
    ",".join(row.split(",")[:3])
    for row in (REPOSITORY / "data" / "sales.csv").read_text().splitlines()[:60]
)
KEPT_MODELS = REPOSITORY / ".cache" / "kills"
FINAL = ("succeeded", "failed", "cancelled")


class PhaseMissed(AssertionError):
    """A run had succeeded before it was seen in its phase, so that nothing could be killed there."""


class System:
    """The service under test.

    Attributes:
        faults: What its processes did that they must not, whoever was killed.
    """

    def __init__(
        self, folder: Path, postgres: OwnPostgres, servers: dict[Victim, PrivateServer], chroma: str
    ) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.data = folder / "data"
        self.data.mkdir()
        self.faults: list[str] = []
        self._postgres, self._servers = postgres, servers
        self.variables = {
            "MMM_HOME": str(self.home),
            "MMM_CACHE": str(REPOSITORY / ".cache"),
            "DATA_DIRS": str(self.data),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": servers[Victim.REDIS].state["REDIS_URL"],
            **{n: servers[Victim.NEO4J].state[n] for n in ("NEO4J_URI", "NEO4J_USER")},
            "NEO4J_PASSWORD": servers[Victim.NEO4J].state["NEO4J_PASSWORD"],
            "CHROMA_URL": chroma,
            "LEASE_S": "10",
            "DRAIN_S": "0.3",
        }
        known = {name.upper() for name in Settings.model_fields}
        environment = {n: v for n, v in os.environ.items() if n not in known} | self.variables
        self._front = Api(environment, folder / "api.log", workers=0)
        self._alone = Api(environment, folder / "alone.log", workers=WORKERS)
        self.worker = WorkerProcess(environment, folder / "worker.log")
        self.api = self._front
        self._model: Path | None = None
        # One for all: a new one reads the certificates of the world first.
        self._client = httpx.Client(timeout=60, trust_env=False)

    @property
    def executor(self) -> Process:
        """Who works on runs: the worker, or the API where there is none."""
        return self.worker if self.api is self._front else self.api

    @property
    def settings(self) -> Settings:
        """The same settings for this process."""
        given: dict[str, Any] = {name.lower(): value for name, value in self.variables.items()}
        return Settings(_env_file=None, **given)

    def open_for(self, victim: Victim) -> None:
        """Start what is not up: API and worker, or the API alone where that is to be killed."""
        wanted = self._alone if victim is Victim.API else self._front
        if self.api is not wanted:
            self.api.stop()
            self.worker.stop()
            self.api = wanted
        processes: list[Api | WorkerProcess] = [self.api]
        if victim is not Victim.API:
            processes.append(self.worker)
        for process in processes:
            if not process.is_up:
                process.start()
        for process in processes:
            process.until_open()

    def kill(self, victim: Victim) -> None:
        """End the victim with SIGKILL."""
        if victim is Victim.POSTGRES:
            asyncio.run(self._postgres.kill())
        elif victim in self._servers:
            self._servers[victim].kill()
        else:
            (self.api if victim is Victim.API else self.worker).kill()

    def start_again(self, victim: Victim) -> None:
        """Start the victim again on what it left."""
        if victim is Victim.POSTGRES:
            asyncio.run(self._postgres.start())
        elif victim in self._servers:
            self._servers[victim].start_again()
        self.open_for(victim)

    def until(self, seen: Seen | None, name: str) -> str:
        """Wait until something stands in the run database; where the run stands then.

        Nothing else is done between this look and the kill that follows it.
        """
        until = time.monotonic() + ENDS_WITHIN_S
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            while True:
                is_seen = seen is None or connection.execute(seen.query, {"name": name}).fetchone()
                run = connection.execute(STANDING, (name,)).fetchone()
                assert run is not None
                if is_seen:
                    return " ".join(str(value) for value in run)
                if run[0] == "succeeded":
                    raise PhaseMissed(f"{name} has succeeded, and the phase was not seen")
                assert run[0] not in FINAL, f"{name} is {run[0]}, and the phase was not seen"
                assert time.monotonic() < until, "the phase was not reached"
                time.sleep(POLL_S)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the run database answers."""
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[call-overload]

    def ask(self, method: str, path: str, **body: object) -> httpx.Response:
        """Ask the API until it gives an answer that is not of a service that is away."""
        until = time.monotonic() + ENDS_WITHIN_S
        while True:
            with suppress(httpx.TransportError):
                url = f"http://{self.api.address}{path}"
                answer = self._client.request(method, url, json=body or None)
                if answer.status_code == 500:
                    self.faults.append(f"{method} {path} was answered 500: {answer.text[:300]}")
                if answer.status_code < 500:
                    return answer
            assert time.monotonic() < until, f"no answer to {method} {path}"
            time.sleep(0.1)

    def start_run(self, workflow: str, name: str, **body: object) -> None:
        """Have a run accepted."""
        answer = self.ask("POST", f"/{workflow}/start", workflow_id=name, **body)
        assert answer.status_code == 202, answer.text

    def run(self, name: str) -> dict[str, Any]:
        """A run as the API shows it."""
        shown: dict[str, Any] = self.ask("GET", f"/workflow/{name}").json()
        return shown

    def until_ended(self, name: str, *statuses: str) -> dict[str, Any]:
        """A run once it has ended, or has one of these statuses."""
        until = time.monotonic() + ENDS_WITHIN_S
        while (run := self.run(name))["status"] not in (statuses or FINAL):
            assert time.monotonic() < until, f"{name} is still {run['status']} at {run['step']}"
            time.sleep(0.1)
        return run

    def pipeline(self, name: str, *, query: str, seed: int) -> None:
        """Start all four workflows on the small table, in a project of that name."""
        (self.data / "small.csv").write_text(TABLE)
        self.start_run(
            "pipeline", name, project=name, seed=seed, depth="quick",
            query="Build MMM for CPG brand", user_query=query, start_from="rules",
            data_sources=[str(self.data / "small.csv")], target_variable="Sales",
            media_channels=["TV_Spend"],
        )  # fmt: skip

    def give_model(self, project: str) -> None:
        """Let a project find the fit that was made once, as if it were its own."""
        if self._model is None:
            if KEPT_MODELS.exists():
                shutil.copytree(KEPT_MODELS, self.home / "models" / "first", dirs_exist_ok=True)
            self.pipeline("first", query="What if we increase TV spend by 20%?", seed=1)
            run = self.until_ended("first")
            assert run["status"] == "succeeded", run["error"]
            self._model = Path(run["result"]["modeling"]["model_artifact_path"])
            # A fit takes longer than a cell: a later call finds it again, where the code is the same.
            shutil.copytree(self._model, KEPT_MODELS / self._model.name, dirs_exist_ok=True)
        shutil.copytree(self._model, self.home / "models" / project / self._model.name)

    def orphans(self) -> list[str]:
        """Processes of executors that have ended, and every fit."""
        ended = [p for p in (self._front, self._alone, self.worker) if p.pids]
        pids = {pid for p in ended for pid in (p.pids[:-1] if p.is_up else p.pids)}
        return left_over(pids, self.home / "models")

    def complaints(self) -> Counter[str]:
        """The tracebacks in the logs, each by the error that it ends with."""
        logs = [process.log for process in (self._front, self._alone, self.worker)]
        return Counter(told for log in logs if log.exists() for told in _tracebacks(log))

    def close(self) -> None:
        """Stop API and worker."""
        self._client.close()
        self.api.stop()
        self.worker.stop()


def _tracebacks(log: Path) -> Iterator[str]:
    """Of a log of JSON lines, some of which hold a traceback; one of plain lines may follow."""
    is_inside = False
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            is_inside = True
        elif is_inside and not line.startswith((" ", "{")) and line:
            yield f"{log.stem}: {line}"
            is_inside = False
        elif line.startswith("{") and "Traceback (most recent call last)" in line:
            try:
                entry = json.loads(line)
            except ValueError:  # its process was killed in the middle of it
                yield f"{log.stem}: {line}"
                continue
            last = str(entry.get("exception", entry["event"])).rstrip().splitlines()[-1]
            yield f"{log.stem}: {entry['event'].strip()}: {last}"


@contextmanager
def a_system(folder: Path) -> Iterator[System]:
    """The service with servers in folders of its own; all is stopped and gone after the block."""
    with ExitStack() as stack:
        servers = {}
        for service in ("neo4j", "redis", "chroma"):
            place = folder / service
            place.mkdir()
            servers[service] = stack.enter_context(private_server(service, place))
        (folder / "postgres").mkdir()
        postgres = stack.enter_context(own_postgres(folder / "postgres"))
        victims = {victim: servers[victim] for victim in (Victim.REDIS, Victim.NEO4J)}
        system = System(folder, postgres, victims, servers["chroma"].state["CHROMA_URL"])
        stack.callback(system.close)
        yield system

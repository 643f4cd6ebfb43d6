"""One executor per mode, and after every test the proof that nothing was left behind."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_harness import MODES, Outside, job_folders, job_processes, make_executor, require

from mmm_workflows.tools.code_executor import CodeExecutor
from mmm_workflows.tools.sandbox.mode import SandboxMode


@pytest.fixture(params=MODES, ids=[mode.value for mode in MODES])
def mode(request: pytest.FixtureRequest) -> SandboxMode:
    require(request.param)
    return request.param


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where job folders are made; shared, so that the environment is prepared once."""
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture
def executor(jobs: Path, mode: SandboxMode) -> CodeExecutor:
    return make_executor(jobs, mode)


@pytest.fixture(autouse=True)
def nothing_is_left(jobs: Path) -> Iterator[None]:
    before = set(job_processes())
    yield
    assert job_folders(jobs) == []
    assert set(job_processes()) <= before


@pytest.fixture
def outside() -> Iterator[Outside]:
    with tempfile.TemporaryDirectory(prefix="mmm-outside-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text("secret", encoding="utf-8")
        secret.chmod(0o666)
        os.utime(secret, (1, 1))
        abstract_name = f"mmm-{os.getpid()}-{time.monotonic_ns()}"
        with (
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_UNIX) as unix,
            socket.socket(socket.AF_UNIX) as abstract,
        ):
            unix.bind(str(folder / "socket"))
            (folder / "socket").chmod(0o777)
            abstract.bind(f"\0{abstract_name}")
            unix.listen()
            abstract.listen()
            target = folder / "target.json"
            said = {
                "secret": str(secret), "folder": name, "port": tcp.getsockname()[1],
                "unix": str(folder / "socket"), "abstract": abstract_name,
                "parent": os.getpid(), "group": os.getpgrp(),
            }  # fmt: skip
            target.write_text(json.dumps(said), encoding="utf-8")
            yield Outside(folder, secret, target, tcp, unix, abstract)

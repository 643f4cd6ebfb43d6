"""Servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from api.servers import CLI, StartServer, server

PATIENT_S = 60.0


@pytest.fixture(scope="package", autouse=True)
def patient_callers() -> Iterator[None]:
    """Whoever names no time waits for a minute: a busy machine is silent for more than 5 s."""
    # Of one object every call and client has its times, and httpx has no setting for them.
    default = httpx._config.DEFAULT_TIMEOUT_CONFIG
    with pytest.MonkeyPatch.context() as patch:
        for wait in ("connect", "read", "write", "pool"):
            patch.setattr(default, wait, PATIENT_S)
        yield


@pytest.fixture(scope="session")
def start_server() -> StartServer:
    """Start a command with ``--port`` and give its address; it must end in peace."""
    return server


@pytest.fixture(scope="module")
def served(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a home of its own."""
    with start_server([*CLI, "serve"], tmp_path_factory.mktemp("served")) as address:
        yield address

"""Servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api.servers import CLI, StartServer, server


@pytest.fixture(scope="session")
def start_server() -> StartServer:
    """Start a command with ``--port`` and give its address; it must end in peace."""
    return server


@pytest.fixture(scope="module")
def served(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a home of its own."""
    with start_server([*CLI, "serve"], tmp_path_factory.mktemp("served")) as address:
        yield address

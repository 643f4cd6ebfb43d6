"""Where the real Neo4j server is that neo4j_up.sh started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("MMM_SERVICES_CACHE", "~/.cache/mmm-workflows-services")).expanduser()
NAMES = ("NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD")


def neo4j_state() -> dict[str, str]:
    """Address, user and password, from TEST_NEO4J_... or the file that the script writes.

    Without a server the test is skipped, or failed under REQUIRE_SERVICES=1.
    """
    found = {name: os.environ[f"TEST_{name}"] for name in NAMES if f"TEST_{name}" in os.environ}
    path = CACHE / "neo4j.env"
    if not found and path.exists():
        found = dict(line.split("=", 1) for line in path.read_text().splitlines())
    if not set(NAMES) <= set(found):
        missing = "no real Neo4j server: run tests/services/neo4j_up.sh"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found

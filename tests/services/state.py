"""Where the real servers are that the scripts of this folder started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("MMM_SERVICES_CACHE", "~/.cache/mmm-workflows-services")).expanduser()


def state_of(service: str, *names: str, label: str) -> dict[str, str]:
    """What a server is reached by: from TEST_NAME variables, or the file that its script writes.

    Without a server the test is skipped, or failed under REQUIRE_SERVICES=1.
    """
    found = {name: os.environ[f"TEST_{name}"] for name in names if f"TEST_{name}" in os.environ}
    path = CACHE / f"{service}.env"
    if not found and path.exists():
        found = dict(line.split("=", 1) for line in path.read_text().splitlines())
    if not set(names) <= set(found):
        missing = f"no real {label}: run tests/services/{service}_up.sh"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found

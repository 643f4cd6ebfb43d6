"""Where the real Chroma server is that chroma_up.sh started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("MMM_SERVICES_CACHE", "~/.cache/mmm-workflows-services")).expanduser()


def chroma_url() -> str:
    """Its address, from TEST_CHROMA_URL or the file that the script writes.

    Without a server the test is skipped, or failed under REQUIRE_SERVICES=1.
    """
    found = os.environ.get("TEST_CHROMA_URL")
    path = CACHE / "chroma.env"
    if found is None and path.exists():
        found = dict(line.split("=", 1) for line in path.read_text().splitlines())["CHROMA_URL"]
    if not found:
        missing = "no real Chroma server: run tests/services/chroma_up.sh"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found

"""The JavaScript of the specification, run as it stands by node against a live server."""

from __future__ import annotations

import os
import shutil
import subprocess

import httpx
import pytest
from spec_text import ADDRESS, snippet

# From this version on a WebSocket is there as in a browser; from the other behind a flag.
WITH_WEBSOCKET, BEHIND_A_FLAG = 22, 20
# Where Debian's node-ws lies, for an older node.
WS_PACKAGE = "globalThis.WebSocket = require('/usr/share/nodejs/ws');\n"


def _node() -> tuple[list[str], str]:
    """The command, and what must stand before a script that is written for a browser."""
    node = shutil.which("node")
    if node is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("node is absent; `make services` installs it")
        pytest.skip("node is absent")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(said.removeprefix("v").partition(".")[0])
    if major >= WITH_WEBSOCKET:
        return [node], ""
    if major >= BEHIND_A_FLAG:
        return [node, "--experimental-websocket"], ""
    return [node], WS_PACKAGE


def test_the_javascript_of_the_specification_reads_status_and_progress(served: str) -> None:
    command, before = _node()
    started = httpx.post(f"http://{served}/research/start", json={"query": "Build MMM for shoes"})
    workflow_id = started.json()["workflow_id"]
    script = snippet("javascript", "new WebSocket").replace(ADDRESS, served)
    script = script.replace("{workflow_id}", workflow_id)
    done = subprocess.run(
        [*command, "-e", before + script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["Status: succeeded", "Progress: 1"], done.stdout
    assert {line.partition(":")[0] for line in lines} == {"Status", "Progress"}

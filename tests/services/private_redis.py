"""A Redis of one test's own, which it may end and start again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SERVICES = Path(__file__).parent


class Server:
    """A Redis of this test's own, so that it may be killed."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.up()
        self.port = self.url.rpartition(":")[2]

    def up(self, port: str = "") -> None:
        told = subprocess.run(
            ["bash", str(SERVICES / "redis_up.sh"), str(self._state)],
            check=True, capture_output=True, text=True, timeout=120,
            env={**os.environ, **({"REDIS_PORT": port} if port else {})},
        )  # fmt: skip
        said = dict(line.split("=", 1) for line in told.stdout.splitlines())
        self.url, self.pid = said["REDIS_URL"], int(said["REDIS_PID"])

    def down(self) -> None:
        subprocess.run(["bash", str(SERVICES / "redis_down.sh"), str(self._state)], check=True)

"""The API on this machine: without keys it listens on loopback and nowhere else."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Longer than a fit needs to be ended, shorter than a person's patience.
GRACE_S: Final = 5


def serve(port: int) -> None:
    """Serve until interrupted."""
    import uvicorn

    uvicorn.run(
        "mmm_workflows.api.main:app", host=LOOPBACK, port=port, timeout_graceful_shutdown=GRACE_S
    )

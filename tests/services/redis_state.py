"""Where the real Redis is that redis_up.sh started."""

from __future__ import annotations

from .state import state_of


def redis_url() -> str:
    """Its address."""
    return state_of("redis", "REDIS_URL", label="Redis")["REDIS_URL"]

"""Readers for tests: a resolver of a handful of names, and the loopback interface let through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.fetcher import HttpPageReader

from .site import HOST

AGENT = "mmm-workflows (+https://example.org/contact)"
MAX_BYTES = 2_000_000
NAMES = {
    "site.test": [HOST],
    "other.test": [HOST],
    "private.test": ["10.0.0.5"],
    "half.test": ["93.184.216.34", "192.168.0.1"],
    "metadata.test": ["169.254.169.254"],
    "nobody.test": [],
}


async def lookup(host: str, port: int) -> Sequence[str]:
    """A resolver of a handful of names."""
    if host not in NAMES:
        raise OSError(-2, "Name or service not known")
    return NAMES[host]


def reader_for(port: int, cache_dir: Path, **options: object) -> HttpPageReader:
    """A reader in a hurry that may also read from the loopback interface at ``port``."""
    guard = AddressGuard(allowed=frozenset({(HOST, port)}), lookup=lookup)
    return HttpPageReader(guard, cache_dir, **{"user_agent": AGENT, "pause_s": 0.0, **options})

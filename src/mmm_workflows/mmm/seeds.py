"""One root seed per run; every other seed is spawned from it by name."""

from __future__ import annotations

from hashlib import blake2b


def child_seed(root: int, name: str) -> int:
    """A seed for the named part of a run: equal names give equal seeds, in 32 bits."""
    digest = blake2b(f"{root}/{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")

"""The decision chain: each link hides its text behind a salt and holds the hash before it."""

from __future__ import annotations

import hashlib
from typing import Final

GENESIS: Final = "0" * 64


def content_hash(salt: str, content: str) -> str:
    """The hash of a decision's text; without the salt a short text cannot be guessed from it."""
    return hashlib.sha256(f"{salt}\n{content}".encode()).hexdigest()


def link_hash(prev_hash: str, hashed_content: str) -> str:
    """The hash of a link, which the next link holds as its ``prev_hash``."""
    return hashlib.sha256(f"{prev_hash}\n{hashed_content}".encode()).hexdigest()

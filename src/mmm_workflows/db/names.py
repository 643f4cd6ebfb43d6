"""Names as they may stand in a folder, whatever they were."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

NAME_LENGTH: Final = 100


def safe_name(name: str) -> str:
    """A file name that is one on every system: ASCII, one part, not hidden, its suffix kept."""
    last = re.split(r"[/\\]", name)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")
    stem, dot, suffix = cleaned.rpartition(".")
    if dot and len(suffix) <= 10:
        return f"{stem[: NAME_LENGTH - len(suffix) - 1]}.{suffix}"
    return cleaned[:NAME_LENGTH] or "file"

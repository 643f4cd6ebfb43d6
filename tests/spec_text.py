"""The specification that this project was built to, and the pieces of code that stand in it."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
KEPT = Path(__file__).with_name("SPEC.md")
GIVEN = REPOSITORY.parent / "shared" / "SPEC.md"
# Where a snippet says that the service is.
ADDRESS = "localhost:8000"


def snippet(language: str, holds: str) -> str:
    """The one block of a language that holds these words, as it stands."""
    text = KEPT.read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if holds in block]
    return str(found)

"""The kept copy of the specification is the given one, and the README shows its snippets unchanged."""

from __future__ import annotations

import pytest
from spec_text import GIVEN, KEPT, REPOSITORY, snippet

SNIPPETS = [
    ("python", "run_mmm_pipeline"),
    ("bash", "# Start research workflow"),
    ("javascript", "new WebSocket"),
    ("bash", "OLLAMA_BASE_URL="),
    ("bash", "uvicorn mmm_workflows.api.main:app"),
    ("bash", "python scripts/init_db.py"),
]


def test_the_copy_is_the_specification() -> None:
    if not GIVEN.is_file():
        pytest.skip("the specification does not lie beside this checkout")
    assert KEPT.read_bytes() == GIVEN.read_bytes()


@pytest.mark.parametrize(("language", "holds"), SNIPPETS)
def test_the_readme_shows_the_snippets_as_they_are_specified(language: str, holds: str) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"```{language}\n{snippet(language, holds)}```" in readme

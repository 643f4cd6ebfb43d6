"""Documents that are generated, or that must keep their word."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
HEADINGS = [
    "# MMM Workflows",
    "## Overview",
    "## Architecture",
    "## Technology Stack",
    "## Installation",
    "### Prerequisites",
    "### Quick Start",
    "### Full Docker Deployment",
    "## Usage",
    "### Python API",
    "### REST API",
    "### WebSocket (Real-time Updates)",
    "## Workflows",
    "### 1. Research Agent",
    "### 2. EDA Agent",
    "### 3. Modeling Agent",
    "### 4. What-If Agent",
    "## Configuration",
    "## Project Structure",
    "## GraphRAG Knowledge Persistence",
    "### Knowledge Flow",
    "## Development",
    "### Running Tests",
    "### Code Formatting",
    "### Type Checking",
    "## License",
    "## Contributing",
    "## References",
]
BLOCK = re.compile(r"```(?:bash|python|javascript)\n(.*?)```\n(<!-- .*? -->)?", re.DOTALL)


def _generator() -> object:
    spec = importlib.util.spec_from_file_location(
        "make_docs", REPOSITORY / "scripts" / "make_docs.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["errors.md", "settings.md"])
def test_a_generated_page_is_up_to_date(name: str) -> None:
    written = (REPOSITORY / "docs" / "guide" / name).read_text(encoding="utf-8")
    assert written == _generator().PAGES[name](), "run scripts/make_docs.py"  # type: ignore[attr-defined]


def test_the_readme_keeps_the_headings_in_their_order() -> None:
    outside_code = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert re.findall(r"^#+ .*$", outside_code, flags=re.MULTILINE) == HEADINGS


def test_every_command_of_the_readme_is_run_by_something_or_marked_as_not_run() -> None:
    blocks = BLOCK.findall(README)
    assert len(blocks) == README.count("```bash") + README.count("```python") + README.count(
        "```javascript"
    )
    makefile = (REPOSITORY / "Makefile").read_text()
    for block, mark in blocks:
        if mark.startswith("<!-- not run: "):
            continue
        runner = mark.removeprefix("<!-- run by: ").removesuffix(" -->")
        if runner.startswith("make "):
            target = re.search(rf"^{runner[5:]}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
            assert target is not None, mark
            tools = {line.split()[0] for line in block.splitlines() if line}
            assert all(tool in target.group(1) for tool in tools), (mark, tools)
        else:
            assert (REPOSITORY / runner).is_file(), f"{mark!r} after\n{block}"


PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert link.startswith(("http://", "https://")) or (page.parent / link).exists(), link

"""Write examples/replay: recorded searches and pages, so that Research can be tried without the web.

The pages were written for this purpose; their publishers stand under reserved domains.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from mmm_workflows.mmm.pages import SearchHit, text_sha256
from mmm_workflows.mmm.planning import find_category, propose_plan
from mmm_workflows.mmm.search_plan import plan_searches
from mmm_workflows.tools.record import Record, RecordedHits, RecordedPage

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "tests" / "unit" / "mmm" / "pages"
TARGET = ROOT / "examples" / "replay"
QUESTION = "Build MMM for beverage brand"


def main() -> None:
    """Record every query of the question with every page that speaks of its channel."""
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    record = Record(TARGET)
    pages = [_read(path) for path in sorted(SOURCE.glob("*.txt"))]
    for fields, text in pages:
        page = RecordedPage(
            final_url=fields["url"],
            title=fields["title"],
            sha256=text_sha256(text),
            fetched_at=datetime.fromisoformat(fields["fetched"]).replace(tzinfo=UTC),
            content_type="text/html",
            size_bytes=len(text.encode()),
            how="http",
        )
        record.keep_page(fields["url"], page, text)
    plan = propose_plan(QUESTION).plan
    category = find_category(QUESTION).name
    channels = [c.name for c in plan.channels]
    for query in plan_searches(channels, category=category, country=plan.geography).queries:
        word = (query.channel or "season").lower()
        hits = tuple(
            SearchHit(title=fields["title"], url=fields["url"])
            for fields, text in pages
            if word in text.lower()
        )
        record.keep_search(query.text, RecordedHits(hits=hits, limit=10))


def _read(path: Path) -> tuple[dict[str, str], str]:
    head, text = path.read_text(encoding="utf-8").split("---\n", 1)
    return dict(line.split(": ", 1) for line in head.strip().splitlines()), text.strip()


if __name__ == "__main__":
    main()

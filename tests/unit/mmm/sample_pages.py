"""Pages written for the tests; their publishers stand under domains that are reserved for that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mmm_workflows.mmm.pages import Page, text_sha256
from mmm_workflows.mmm.source_tiers import SourceTier

FOLDER = Path(__file__).parent / "pages"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))
HOSTS = {
    "journal.example.org": SourceTier.PEER_REVIEWED,
    "university.example.edu": SourceTier.META_ANALYSIS,
    "radio-sellers.example.com": SourceTier.VENDOR,
    "clickvendor.example.com": SourceTier.VENDOR,
}


def make_page(
    text: str,
    *,
    title: str = "A page",
    url: str = "https://www.page.example.org/a",
    fetched: str = "2026-02-03",
) -> Page:
    """A page as a reader adapter would return it."""
    return Page(
        url=url,
        final_url=url,
        title=title,
        text=text,
        sha256=text_sha256(text),
        fetched_at=datetime.fromisoformat(fetched).replace(tzinfo=UTC),
        content_type="text/html",
        size_bytes=len(text.encode()),
        how="http",
    )


def sample_page(name: str) -> Page:
    """One of the pages of the folder."""
    head, text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("---\n", 1)
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines())
    return make_page(
        text.strip(), title=fields["title"], url=fields["url"], fetched=fields["fetched"]
    )

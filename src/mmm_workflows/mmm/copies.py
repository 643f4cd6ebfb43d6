"""Which folders of this machine are copies of what machines share: a mark beside each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MARKS: Final = ".shared"


def mark_copy(root: Path, place: str, store: str) -> None:
    """Note that ``<project>/<id>`` below ``root`` is a copy of what lies in a store, by its id."""
    mark = _mark(root, place)
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.write_text(store, encoding="ascii")
    mark.chmod(0o600)


def marked_copies(root: Path, store: str) -> list[str]:
    """The places, as ``<project>/<id>``, that were noted below ``root`` as copies of a store."""
    marks = (m for m in root.glob(f"*/{MARKS}/*") if m.read_text(encoding="ascii") == store)
    return sorted(f"{m.parents[1].name}/{m.name}" for m in marks)


def unmark_copy(root: Path, place: str) -> None:
    """Take the note back, once the copy is gone."""
    _mark(root, place).unlink(missing_ok=True)


def _mark(root: Path, place: str) -> Path:
    project, _, name = place.partition("/")
    return root / project / MARKS / name

"""The decision chain: each link hides its text behind a salt and holds the hash before it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.records import Decision

GENESIS: Final = "0" * 64
# What a link's hash covers: 1 the text, 2 the run as well, so that no link changes its run.
HASH_VERSION: Final = 2


@dataclass(frozen=True, kw_only=True)
class Link:
    """One decision as it is stored; text, salt and run are None once its run was deleted."""

    position: int
    workflow_id: str | None
    schema_version: int
    hash_version: int
    salt: str | None
    content: str | None
    content_hash: str
    prev_hash: str


@dataclass(frozen=True, kw_only=True)
class Break:
    """The first link that does not hold, counted from 1, and what is wrong with it."""

    position: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """What a recomputed chain says: its length, how many texts were deleted, its head and break."""

    project: str
    decisions: int
    deleted: int
    head_hash: str
    broken: Break | None


def content_hash(salt: str, content: str) -> str:
    """The hash of a text; without the salt a short one cannot be guessed from it."""
    return hashlib.sha256(f"{salt}\n{content}".encode()).hexdigest()


def hashed_text(workflow_id: str, content: str, *, hash_version: int) -> str:
    """What ``content_hash`` is taken of: a decision's text, with its run from version 2 on."""
    return content if hash_version == 1 else f"{workflow_id}\n{content}"


def link_hash(prev_hash: str, hashed_content: str) -> str:
    """The hash of a link, which the next link holds as its ``prev_hash``."""
    return hashlib.sha256(f"{prev_hash}\n{hashed_content}".encode()).hexdigest()


def continued(
    workflow_id: str, decisions: Sequence[Decision], *, before: int, head: str
) -> tuple[list[Link], str]:
    """Links that continue a chain of ``before`` links after ``head``, and the new head."""
    links: list[Link] = []
    for position, decision in enumerate(decisions, start=before + 1):
        salt, content = secrets.token_hex(16), decision.model_dump_json()
        text = hashed_text(workflow_id, content, hash_version=HASH_VERSION)
        hashed = content_hash(salt, text)
        links.append(
            Link(
                position=position,
                workflow_id=workflow_id,
                schema_version=decision.schema_version,
                hash_version=HASH_VERSION,
                salt=salt,
                content=content,
                content_hash=hashed,
                prev_hash=head,
            )
        )
        head = link_hash(head, hashed)
    return links, head


def verify(project: str, links: Iterable[Link], *, decisions: int, head_hash: str) -> ChainReport:
    """Recompute a project's chain and compare it with what the project says of it.

    Args:
        project: Whose chain it is.
        links: Its links by position.
        decisions: How many links the project says that there are.
        head_hash: The hash that the project says its last link has.
    """
    head, count, deleted = GENESIS, 0, 0
    broken: Break | None = None
    for count, link in enumerate(links, start=1):
        broken = broken or _break_at(count, link, head)
        head = link_hash(link.prev_hash, link.content_hash)
        deleted += link.content is None
    broken = broken or _break_at_end(count, head, decisions, head_hash)
    return ChainReport(
        project=project, decisions=count, deleted=deleted, head_hash=head, broken=broken
    )


def _break_at(position: int, link: Link, head: str) -> Break | None:
    if link.position != position:
        reason = f"it is missing; the next one there is {link.position}"
    elif link.prev_hash != head:
        reason = "it does not follow on the one before it: one of the two was changed or moved"
    else:
        return _break_of_text(link)
    return Break(position=position, reason=reason)


def _break_of_text(link: Link) -> Break | None:
    if link.content is None and link.salt is None and link.workflow_id is None:
        return None
    if link.content is None or link.salt is None or link.workflow_id is None:
        reason = "its text, salt and run were not deleted together"
        return Break(position=link.position, reason=reason)
    text = hashed_text(link.workflow_id, link.content, hash_version=link.hash_version)
    if content_hash(link.salt, text) == link.content_hash:
        return None
    return Break(position=link.position, reason="its text or its run was changed")


def _break_at_end(count: int, head: str, decisions: int, head_hash: str) -> Break | None:
    if count < decisions:
        gone = f"it is missing; the project counts {decisions}"
        return Break(position=count + 1, reason=gone)
    if count > decisions:
        added = f"it was inserted; the project counts {decisions}"
        return Break(position=decisions + 1, reason=added)
    if head != head_hash:
        changed = "its hash is not the one that the project holds: one of the two was changed"
        return Break(position=count, reason=changed)
    return None

"""Who may ask: keys, each with the projects it opens; their hashes alone are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.errors import SettingsError
from mmm_workflows.records import NAME

PREFIX: Final = "mmm_"
KEY_BYTES: Final = 32
EVERY_PROJECT: Final = "*"
# As a setting names projects: all, or some joined by '+'.
PROJECTS: Final = rf"\*|{NAME}(?:\+{NAME})*"
_ENTRY: Final = re.compile(rf"(?P<name>{NAME}):(?P<projects>{PROJECTS}):(?P<hash>[0-9a-f]{{64}})")


@dataclass(frozen=True)
class Caller:
    """Who asks, and for which projects; None is for all of them."""

    name: str
    projects: frozenset[str] | None = None

    @property
    def is_nobody(self) -> bool:
        """Whether nothing is open to it."""
        return self.projects == frozenset()

    def may_see(self, project: str) -> bool:
        """Whether a project is open to this caller."""
        return self.projects is None or project in self.projects


# Who asks without a key where keys are set, and is told only what everybody may know.
NOBODY: Final = Caller("nobody", frozenset())
# Whoever sits at this machine, where no keys are set.
NOBODY_ELSE: Final = Caller("local")


@dataclass(frozen=True)
class Entry:
    """One key: its hash, and whom it lets in."""

    sha256: str
    caller: Caller

    def __str__(self) -> str:
        """As API_KEYS holds it."""
        projects = self.caller.projects
        opens = EVERY_PROJECT if projects is None else "+".join(sorted(projects))
        return f"{self.caller.name}:{opens}:{self.sha256}"


class Keyring:
    """The keys that are let in; empty where none are set."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)

    def __bool__(self) -> bool:
        """Whether any key is set."""
        return bool(self._entries)

    def find(self, key: str) -> Caller | None:
        """Whose key this is; it takes as long for a wrong one as for a right one."""
        presented, found = sha256_of(key), None
        for entry in self._entries:
            if hmac.compare_digest(presented, entry.sha256):
                found = entry.caller
        return found


def read_keys(text: str) -> Keyring:
    """The keys of API_KEYS: ``NAME:PROJECTS:SHA256``, with commas or spaces between them.

    Raises:
        SettingsError: An entry has another form, or a name stands twice; no entry is repeated in
            the message.
    """
    entries = []
    for position, said in enumerate(text.replace(",", " ").split(), start=1):
        read = _ENTRY.fullmatch(said)
        if read is None:
            raise SettingsError(
                f"Entry {position} of API_KEYS cannot be read. Expected NAME:PROJECTS:HASH, with "
                "'*' or names joined by '+' for the projects and the 64 hex digits of the key's "
                "SHA-256. `mmm-workflows new-key NAME` makes a key with its entry."
            )
        entries.append(Entry(read["hash"], Caller(read["name"], projects_of(read["projects"]))))
    names = [entry.caller.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(
            f"API_KEYS names {', '.join(twice)} more than once. Rename all but one."
        )
    return Keyring(entries)


def projects_of(said: str) -> frozenset[str] | None:
    """The projects that a setting names as ``PROJECTS`` has it; None: all of them."""
    return None if said == EVERY_PROJECT else frozenset(said.split("+"))


def make_key(name: str, projects: Sequence[str] = ()) -> tuple[str, Entry]:
    """A new key, to be shown once, and its entry for API_KEYS.

    Raises:
        SettingsError: The name or a project has characters that are not allowed.
    """
    for word in (name, *projects):
        if re.fullmatch(NAME, word) is None:
            raise SettingsError(
                f"{word!r} cannot be used for a key: a name takes 1 to 100 letters, digits, '.', "
                "'_' and '-', beginning with a letter or a digit."
            )
    # 256 random bits: a plain hash of them cannot be turned around, so it need not be slow.
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, Entry(sha256_of(key), Caller(name, frozenset(projects) or None))


def sha256_of(key: str) -> str:
    """The hash under which a key is known."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()

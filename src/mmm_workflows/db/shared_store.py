"""The store in between machines that share no folder: one object per file, and one per folder.

``<place>/file/<name>`` is a file as it is, ``<place>/folder/<name>.zip`` a folder packed without
compression, so that a folder too appears whole or not at all. What comes back is checked before it
becomes a path of this machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from mmm_workflows.db.content import files_in
from mmm_workflows.db.names import safe_name
from mmm_workflows.errors import ServiceUnavailable, UserError
from mmm_workflows.ports import Exchange, SharedFile, SharedFiles

STORE_SCHEMA_VERSION: Final = 1
MARK: Final = "mmm-workflows.json"
FILE, FOLDER, ZIP = "file", "folder", ".zip"


class Named(NamedTuple):
    """What the name of an object says: where it lies, as what, and what it is called."""

    place: str
    is_folder: bool
    name: str


@dataclass
class _Identity:
    """Which store it is: one for all of its parts, read once."""

    store_id: str | None = None


class SharedStore:
    """Places in files that machines share, below one of its parts; see ``ports.Exchange``."""

    def __init__(
        self, files: SharedFiles, part: str = "", identity: _Identity | None = None
    ) -> None:
        self._files = files
        self._part = part
        self._identity = identity or _Identity()

    @property
    def where(self) -> str:
        """The store, for a reader; without passwords."""
        return self._files.where

    def part(self, name: str) -> Exchange:
        """The same store, with every place below ``name``."""
        return self.below(name)

    def below(self, name: str) -> SharedStore:
        """The same as ``part``, for those who also list what lies there."""
        return SharedStore(self._files, f"{self._part}{name}/", self._identity)

    def put(self, place: str, path: Path) -> None:
        """Lay a file or folder down at a place, in the stead of what lay there under its name."""
        if path.is_dir():
            with tempfile.TemporaryDirectory() as scratch:
                packed = Path(scratch) / "folder"
                _pack(path, packed)
                self._files.put(f"{self._part}{place}/{FOLDER}/{path.name}{ZIP}", packed)
        else:
            self._files.put(f"{self._part}{place}/{FILE}/{path.name}", path)

    def bring(self, place: str, into: Path) -> Path | None:
        """Copy what lies at a place into a folder; its path there, None where nothing lies.

        Raises:
            UserError: What lies there was not laid down by ``put`` (``artifact_damaged``).
        """
        for entry in self.entries(place):
            named = self.named(entry)
            if named.place != place:
                raise self._hostile(place, f"has an entry {entry.name!r}")
            target = into / named.name
            if not named.is_folder:
                if not self._files.get(entry.name, target):
                    return None
                # When it was kept, not when it came here.
                os.utime(target, (entry.changed_at.timestamp(),) * 2)
                target.chmod(0o600)
                return target
            packed = into / f"{named.name}{ZIP}"
            if not self._files.get(entry.name, packed):
                return None
            self._unpack(place, packed, target)
            packed.unlink()
            return target
        return None

    def named(self, entry: SharedFile) -> Named:
        """What the name of an object below this part says.

        Raises:
            UserError: ``put`` gives no such names (``artifact_damaged``).
        """
        place, _, rest = entry.name.removeprefix(self._part).rpartition("/")
        place, _, kind = place.rpartition("/")
        is_folder = kind == FOLDER and rest.endswith(ZIP)
        name = rest.removesuffix(ZIP) if is_folder else rest
        if (kind != FILE and not is_folder) or safe_name(name) != name:
            raise self._hostile(place, f"has an entry {entry.name!r}")
        return Named(place, is_folder, name)

    def has(self, place: str) -> bool:
        """Whether something lies at a place."""
        return bool(self.entries(place))

    @property
    def store_id(self) -> str:
        """What tells this store from another one at the same address.

        Raises:
            ServiceUnavailable: It cannot be used, or has no mark.
        """
        if self._identity.store_id is None:
            self._identity.store_id = self._mark_there()
        return self._identity.store_id

    def gone(self, places: Sequence[str]) -> list[str]:
        """Those of some places, each ``<project>/<id>``, at which nothing lies any more.

        Raises:
            ServiceUnavailable: The store cannot be used; one that was emptied tells nothing.
        """
        projects = dict.fromkeys(place.partition("/")[0] for place in places)
        there = {self.named(entry).place for p in projects for entry in self.entries(p)}
        self.check()
        return [place for place in places if place not in there]

    def remove(self, place: str) -> None:
        """Remove what lies at a place or below it."""
        self._files.remove(f"{self._part}{place}")

    def entries(self, place: str) -> list[SharedFile]:
        """What lies at a place or below it; the name of each begins with that of this part."""
        return self._files.entries(f"{self._part}{place}")

    def open(self) -> None:
        """Mark the store as one of ours, or read the mark that it has.

        Raises:
            ServiceUnavailable: It cannot be used, or a newer version marked it (``store_schema``).
        """
        if self._marked_as() is None:
            with tempfile.TemporaryDirectory() as scratch:
                mark = Path(scratch) / MARK
                own = {"schema_version": STORE_SCHEMA_VERSION, "store_id": secrets.token_hex(16)}
                mark.write_text(json.dumps(own))
                self._files.put(MARK, mark)
        self._files.sweep()

    def sweep(self, kept_for: timedelta) -> None:
        """Remove what was laid down in this part longer ago than that."""
        before = datetime.now(UTC) - kept_for
        old = [entry.name for entry in self.entries("") if entry.changed_at < before]
        for place in {name.removeprefix(self._part).partition("/")[0] for name in old}:
            self.remove(place)

    def check(self) -> None:
        """See that the store is there, and that it is the one that was opened.

        Raises:
            ServiceUnavailable: It cannot be used, has lost its mark, or is another one.
        """
        if self._mark_there() != self.store_id:
            raise ServiceUnavailable(
                f"The store of artifacts {self.where} (ARTIFACTS_URL) is another one than this "
                "process has opened. Bring that one back, or start again to use it as it is."
            )

    def _mark_there(self) -> str:
        found = self._marked_as()
        if found is None:
            raise ServiceUnavailable(
                f"The store of artifacts {self.where} (ARTIFACTS_URL) has lost its file {MARK}, so "
                "it was emptied or is another one. Bring it back, or start again to use it as it is."
            )
        return found

    def _marked_as(self) -> str | None:
        with tempfile.TemporaryDirectory() as scratch:
            mark = Path(scratch) / MARK
            if not self._files.get(MARK, mark):
                return None
            try:
                own = json.loads(mark.read_bytes())
                found, store_id = own["schema_version"], str(own.get("store_id"))
            except (ValueError, KeyError, TypeError):
                found, store_id = None, ""
        if found != STORE_SCHEMA_VERSION:
            raise ServiceUnavailable(
                f"The store of artifacts {self.where} (ARTIFACTS_URL) has format {found}; this "
                f"version uses format {STORE_SCHEMA_VERSION}. Set another address, or install the "
                "version that wrote it.",
                code="store_schema",
            )
        return store_id

    def _unpack(self, place: str, packed: Path, target: Path) -> None:
        target.mkdir(mode=0o700)
        try:
            with zipfile.ZipFile(packed) as archive:
                members = archive.infolist()
                wrong = next((m.filename for m in members if not _is_safe(m)), None)
                # Entries that share their bytes would unpack to more than was sent.
                if wrong is not None or _size(members) > packed.stat().st_size:
                    raise self._hostile(place, f"packs {wrong!r}")
                for member in members:
                    file = target / member.filename
                    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with archive.open(member) as read, file.open("xb") as written:
                        shutil.copyfileobj(read, written)
                    file.chmod(0o600)
        except (zipfile.BadZipFile, FileExistsError, NotADirectoryError) as error:
            raise self._hostile(place, f"cannot be unpacked ({error})") from error
        except OSError as error:
            raise ServiceUnavailable(
                f"What lies in {self.where} under {self._part}{place} cannot be unpacked into "
                f"{target.parent}: {error.strerror or error}. See that the disk of this machine is "
                "there, writable and not full."
            ) from error

    def _hostile(self, place: str, what: str) -> UserError:
        return UserError(
            f"What lies in {self.where} under {self._part}{place} {what}, which this program does not "
            "write. Remove it there, and run the workflow that made it again under a new "
            "workflow_id.",
            code="artifact_damaged",
        )


def _pack(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed:
        for file in files_in(folder):
            packed.write(file, file.relative_to(folder).as_posix())


def _is_safe(member: zipfile.ZipInfo) -> bool:
    name = member.filename
    mode = member.external_attr >> 16
    is_plain = not member.is_dir() and (not mode or stat.S_ISREG(mode))
    parts = PurePosixPath(name).parts
    stays = not name.startswith("/") and ".." not in parts and not set(name) & set("\\:\0")
    return is_plain and stays and member.compress_type == zipfile.ZIP_STORED


def _size(members: list[zipfile.ZipInfo]) -> int:
    return sum(member.file_size for member in members)

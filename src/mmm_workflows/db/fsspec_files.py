"""Files in whatever store fsspec reaches by its URL: S3 and others by their own packages."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.registry import known_implementations

from mmm_workflows.db.shared_folder import PARTIAL, PARTIAL_KEPT
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.masking import Mask
from mmm_workflows.ports import SharedFile

# They show an object when it is whole, and have no rename.
OBJECT_STORES: Final = frozenset({"s3", "gs", "gcs", "az", "abfs", "adl", "oss", "oci"})
LOCAL: Final = frozenset({"file", "local"})
MEMORY: Final = "memory"
# S3 would otherwise be tried for minutes where nobody answers.
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "s3": {
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}
    }
}
# Which package of ours brings a protocol; of others fsspec itself says what to install.
EXTRAS: Final = {"s3": "s3"}
MASK: Final = Mask()


def open_fsspec_files(url: str) -> FsspecFiles:
    """The files below a URL as ``s3://bucket/folder``; nothing is asked of the store yet.

    Raises:
        SettingsError: fsspec knows no such protocol, or it is one that nobody else sees.
        ServiceUnavailable: The package of the protocol is not installed
            (``service_not_supported``).
    """
    protocol = url.partition("://")[0]
    where = MASK.text(url)
    if protocol == MEMORY:
        raise SettingsError(
            f"ARTIFACTS_URL cannot be used: what lies at {where} is seen by this process alone. "
            "Expected a folder that every machine has mounted, or a URL as s3://BUCKET/FOLDER."
        )
    options = OPTIONS.get(protocol, {})
    try:
        # What other machines wrote is asked for anew each time.
        system, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as error:
        raise ServiceUnavailable(
            f"ARTIFACTS_URL names a store by {protocol}://, and the package that reaches it is not "
            f"installed: {_to_install(protocol)}.",
            code="service_not_supported",
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"ARTIFACTS_URL cannot be used: {where} has a protocol that fsspec does not know. "
            "Expected a folder, or a URL as s3://BUCKET/FOLDER."
        ) from error
    return FsspecFiles(system, root.rstrip("/"), where, protocol=protocol)


class FsspecFiles:
    """Keeps each file under its name below a path of a file system; see ``ports.SharedFiles``.

    Args:
        system: The file system.
        root: The path in it that all names are below.
        where: The place as a reader knows it.
        protocol: What the URL begins with.
    """

    def __init__(self, system: AbstractFileSystem, root: str, where: str, *, protocol: str) -> None:
        self._system = system
        self._root = root
        self._where = where
        self._is_object_store = protocol in OBJECT_STORES
        self._is_mounted = protocol in LOCAL

    @property
    def where(self) -> str:
        """The URL, without the password that it may hold."""
        return self._where

    def put(self, name: str, file: Path) -> None:
        """Keep a copy of a file; where a store shows files that are being written, by a rename."""
        with self._said():
            if self._is_object_store:
                self._system.put_file(str(file), self._path(name))
                return
            partial = self._path(f"{PARTIAL}/{secrets.token_hex(16)}")
            try:
                self._make_parent(partial)
                self._system.put_file(str(file), partial)
                self._make_parent(self._path(name))
                self._system.mv(partial, self._path(name))
            finally:
                if self._system.exists(partial):
                    self._system.rm_file(partial)

    def get(self, name: str, target: Path) -> bool:
        """Copy a file to a new path of this machine; whether there is one of this name."""
        with self._said():
            try:
                self._system.get_file(self._path(name), str(target))
            except FileNotFoundError:
                target.unlink(missing_ok=True)
                return False
        return True

    def entries(self, below: str) -> list[SharedFile]:
        """The files whose names begin with ``below/``, ordered by name."""
        with self._said():
            found = self._system.find(self._path(below), detail=True)
        return sorted(
            SharedFile(path.removeprefix(f"{self._root}/"), told["size"] or 0, _changed_at(told))
            for path, told in found.items()
            # While others write, a folder may be among what should be files alone.
            if told["type"] == "file"
        )

    def remove(self, below: str) -> None:
        """Remove the files whose names begin with ``below/``."""
        with self._said():
            if self._system.exists(self._path(below)):
                with suppress(FileNotFoundError):  # another process removes the same
                    self._system.rm(self._path(below), recursive=True)

    def sweep(self) -> None:
        """Remove what writers left behind that died long ago."""
        before = datetime.now(UTC) - PARTIAL_KEPT
        for entry in [] if self._is_object_store else self.entries(PARTIAL):
            if entry.changed_at < before:
                self.remove(entry.name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _make_parent(self, path: str) -> None:
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            # Never made: where a disk is not mounted, nobody else would see what is written.
            if self._is_mounted and not self._system.isdir(self._root):
                raise FileNotFoundError(self._root)
            yield
        except PermissionError as error:
            raise self._unavailable(
                "refuses access",
                "Look at the credentials in the environment of this process (for S3 "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role); they must allow to "
                "list, read, write and delete.",
                error,
            ) from error
        except FileNotFoundError as error:
            raise self._unavailable(
                "is not there", "Make the bucket or folder, or set another address.", error
            ) from error
        except Exception as error:
            # Each plug-in of fsspec raises what its library does.
            raise self._unavailable(
                "does not answer", "Start it or set another address.", error
            ) from error

    def _unavailable(self, what: str, to_do: str, error: Exception) -> ServiceUnavailable:
        said = MASK.text(str(error)).rstrip(".") or type(error).__name__
        return ServiceUnavailable(
            f"The store of artifacts {self._where} (ARTIFACTS_URL) {what}: {said}. {to_do}"
        )


def _to_install(protocol: str) -> str:
    if protocol in EXTRAS:
        return f"pip install 'mmm-workflows[{EXTRAS[protocol]}]'"
    return str(known_implementations.get(protocol, {}).get("err", "see fsspec's list of packages"))


def _changed_at(told: Mapping[str, Any]) -> datetime:
    """Each store says it under a name of its own."""
    said = next((told[k] for k in ("LastModified", "mtime", "created") if told.get(k)), 0.0)
    return said if isinstance(said, datetime) else datetime.fromtimestamp(float(said), UTC)

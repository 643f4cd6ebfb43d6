"""Removing a folder that others may be removing too, and saying so where it cannot go."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmm_workflows.errors import ServiceUnavailable


def remove_folder(folder: Path) -> None:
    """Remove a folder; one that is gone, as a whole or in part, is as good.

    Raises:
        ServiceUnavailable: Something of it stays.
    """
    try:
        shutil.rmtree(folder, onexc=unless_gone)
    except OSError as error:
        raise ServiceUnavailable(
            f"The folder {folder} cannot be removed: {error.strerror or error}. See that this "
            "process may write there and that the disk answers, then delete again."
        ) from error


def unless_gone(_function: object, _path: str, error: BaseException) -> None:
    """For ``shutil.rmtree``: another process may remove the same."""
    if not isinstance(error, FileNotFoundError):
        raise error

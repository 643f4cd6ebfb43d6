"""The store that machines share, where ARTIFACTS_URL names one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError, ServiceUnavailable

if TYPE_CHECKING:
    from mmm_workflows.db.shared_store import SharedStore
    from mmm_workflows.ports import SharedFiles


FIRST_S: Final = 30.0
EVERY_S: Final = 300.0
# What the callers of fits laid down that were killed; no fit takes that long.
FITS_KEPT: Final = timedelta(days=7)

logger = logging.getLogger(__name__)


class HasCopies(Protocol):
    """A store of this machine with copies of what machines share."""

    async def forget_gone(self) -> None:
        """Remove the copies of what another machine has removed."""
        ...


async def open_store(settings: Settings) -> SharedStore | None:
    """The store of these settings, known to be there and to be ours; None: none is set.

    Raises:
        SettingsError: Its address is none that can be used.
        ServiceUnavailable: It cannot be reached or used, or its package is not installed.
    """
    store = await asyncio.to_thread(shared_store, settings)
    if store is not None:
        from mmm_workflows.tools.dask_meeting import PART

        await asyncio.to_thread(store.open)
        await asyncio.to_thread(store.below(PART).sweep, FITS_KEPT)
    return store


def shared_store(settings: Settings) -> SharedStore | None:
    """The same, before anything was asked of it."""
    if settings.artifacts_url is None:
        return None
    from mmm_workflows.db.shared_store import SharedStore

    return SharedStore(_files(settings.artifacts_url))


async def examined_store(settings: Settings) -> str:
    """Whether the store can be used, for ``doctor``."""
    try:
        store = await open_store(settings)
    except MMMError as error:
        return error.message
    return f"a store at {store.where}" if store is not None else "none"


@asynccontextmanager
async def forgetting(stores: Sequence[HasCopies]) -> AsyncIterator[None]:
    """Remove from time to time the copies of what another machine has removed, until the end."""
    task = asyncio.create_task(_forget(stores), name="copies that are to go")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _forget(stores: Sequence[HasCopies]) -> None:
    # A command that ends at once does not look.
    await asyncio.sleep(FIRST_S)
    while True:
        for store in stores:
            try:
                await store.forget_gone()
            except MMMError as error:
                said = "copies of what was deleted elsewhere stay for now: %s"
                logger.warning(said, error.message)
        await asyncio.sleep(EVERY_S)


def _files(url: str) -> SharedFiles:
    if "://" not in url:
        from mmm_workflows.db.shared_folder import FolderFiles

        return FolderFiles(Path(url).expanduser().absolute())
    if find_spec("fsspec") is None:
        raise ServiceUnavailable(
            "ARTIFACTS_URL names a store by a URL, but fsspec is not installed: pip install "
            "'mmm-workflows[s3]' for S3, 'mmm-workflows[artifacts]' and its own package for "
            "another. A folder that machines share needs neither.",
            code="service_not_supported",
        )
    from mmm_workflows.db.fsspec_files import open_fsspec_files

    return open_fsspec_files(url)

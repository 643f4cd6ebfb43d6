"""Tables that come in: each read once before it is kept, few at a time."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mmm_workflows.bootstrap import Services
from mmm_workflows.db.names import safe_name
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.tables import check_table
from mmm_workflows.records import DEFAULT_PROJECT
from mmm_workflows.workflows.contracts import Upload
from mmm_workflows.workflows.refusals import checked

# Each takes a core, and an MFF long table some twenty times its bytes.
READ_AT_ONCE: Final = 2
# Each waits for a database more than for a core.
COPIED_AT_ONCE: Final = 4
WAIT_S: Final = 10.0


class Uploads:
    """The way in for tables; those who come while enough are being read wait."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._copying = asyncio.Semaphore(COPIED_AT_ONCE)

    async def keep(self, content: BinaryIO, *, name: str, project: str = DEFAULT_PROJECT) -> Upload:
        """Keep a table under the hash of its content; its name is never a path.

        Raises:
            DatasetError: The content is not a table (see ``mmm.tables.check_table``).
        """
        checked(project, "project")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / safe_name(name)
            async with self._reading:
                await asyncio.to_thread(_write, content, file)
                return await self._kept(file, project)

    async def copy_table(
        self, connection: str, table: str, *, project: str = DEFAULT_PROJECT
    ) -> Upload:
        """Keep a table of a database as it is now, as an upload.

        Raises:
            DatasetError: It cannot be copied (see ``tools.sources.Sources.copy``), or is no table
                that is taken (see ``mmm.tables.check_table``).
            ServiceUnavailable: The database cannot be reached, or others are being copied
                (``service_busy``).
        """
        checked(project, "project")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / safe_name(f"{connection}.{table}.csv")
            # A slow database holds up none of those who bring a file.
            async with self._place():
                await self._services.sources.copy(connection, table, file, project=project)
            async with self._reading:
                return await self._kept(file, project)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._copying.acquire()
        except TimeoutError as error:
            raise ServiceUnavailable(
                f"{COPIED_AT_ONCE} tables are being copied, which is as many as are copied at "
                "once. Ask again in a minute.",
                code="service_busy",
            ) from error
        try:
            yield
        finally:
            self._copying.release()

    async def _kept(self, file: Path, project: str) -> Upload:
        columns = await asyncio.to_thread(check_table, file)
        kept = await self._services.uploads.put_file(
            project, "upload", file, workflow_id="", name=file.name
        )
        return Upload(
            path=kept.path, dataset_id=kept.sha256, sha256=kept.sha256,
            size_bytes=kept.size_bytes, columns=columns,
        )  # fmt: skip


def _write(content: BinaryIO, file: Path) -> None:
    with file.open("xb") as target:
        shutil.copyfileobj(content, target)

"""An artifact as a file that a browser saves and never shows."""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mmm_workflows.records import Artifact

TYPES: Final = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".py": "text/x-python; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
UNKNOWN: Final = "application/octet-stream"
ZIP: Final = "application/zip"
# As the description of the API names them.
MEDIA_TYPES: Final = sorted({UNKNOWN, ZIP, *(kind.partition(";")[0] for kind in TYPES.values())})
CHUNK_BYTES: Final = 1 << 18


async def download(artifact: Artifact, path: Path) -> Response:
    """The file of an artifact, or its folder as a ZIP, as an attachment."""
    if not await asyncio.to_thread(path.is_dir):
        kind = TYPES.get(path.suffix, UNKNOWN)
        return _WholeFile(
            path, media_type=kind, filename=path.name, headers={"accept-ranges": "none"}
        )
    packed = await asyncio.to_thread(_packed, path)
    return StreamingResponse(
        _chunks(packed),
        media_type=ZIP,
        headers={"content-disposition": f'attachment; filename="{artifact.kind}.zip"'},
    )


class _WholeFile(FileResponse):
    """A file that is sent whole, as a server may (RFC 9110, 14.2).

    Starlette answers a ``Range`` that it cannot read or meet in plain text.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": asked}, receive, send)


def _packed(folder: Path) -> IO[bytes]:
    # Without a name: whoever leaves in the middle leaves nothing behind.
    target = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the one who sends it
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            packed.write(file, Path(folder.name) / file.relative_to(folder))
    target.seek(0)
    return target


def _chunks(packed: IO[bytes]) -> Iterator[bytes]:
    with packed:
        while chunk := packed.read(CHUNK_BYTES):
            yield chunk

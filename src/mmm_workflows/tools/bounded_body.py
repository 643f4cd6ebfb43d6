"""A body as it comes in: decompressed piece by piece, and never longer than was agreed."""

from __future__ import annotations

import zlib
from typing import Final

import yarl

from mmm_workflows.errors import WebError

# Both gzip and zlib headers are recognised.
EITHER_HEADER: Final = 32 + zlib.MAX_WBITS
COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate"})


class BoundedBody:
    """Collects at most ``max_bytes``, counted as received and as decompressed.

    Args:
        cut: Whether a longer body is cut there; otherwise it is refused.
    """

    def __init__(self, url: yarl.URL, *, max_bytes: int, cut: bool) -> None:
        self.wire_bytes = 0
        self._url = url
        self._max_bytes = max_bytes
        self._cut = cut
        self._content = bytearray()
        self._inflate: zlib._Decompress | None = None

    @property
    def content(self) -> bytes:
        """What has been collected."""
        return bytes(self._content)

    def expect(self, encoding: str | None, length: int | None) -> None:
        """Take note of what the headers announce.

        Raises:
            WebError: Too long (``page_too_large``), or compressed in a way that was not asked
                for (``page_type``).
        """
        name = (encoding or "identity").strip().lower()
        if name in COMPRESSED:
            self._inflate = zlib.decompressobj(EITHER_HEADER)
        elif name != "identity":
            raise WebError(
                f"{self._url.host} compresses the page in a way that was not asked for; gzip was.",
                code="page_type",
            )
        if length is not None and length > self._max_bytes and not self._cut:
            raise self._too_large()

    def feed(self, chunk: bytes) -> bool:
        """Add a piece; False when enough has come.

        Raises:
            WebError: The body is longer than is taken (``page_too_large``).
        """
        self.wire_bytes += len(chunk)
        left = self._max_bytes - len(self._content)
        plain = chunk if self._inflate is None else self._inflated(chunk, left + 1)
        self._content += plain[:left]
        if len(plain) <= left and self.wire_bytes <= self._max_bytes:
            return True
        if self._cut:
            return False
        raise self._too_large()

    def end(self) -> None:
        """Say that no piece follows.

        Raises:
            WebError: The compressed body is not complete (``page_unreachable``).
        """
        if self._inflate is not None and not self._inflate.eof and not self._cut:
            raise WebError(f"{self._url.host} broke the page off.")

    def _inflated(self, chunk: bytes, longest: int) -> bytes:
        assert self._inflate is not None
        plain = self._inflate.decompress(chunk, longest)
        if self._inflate.unused_data:
            raise WebError(
                f"{self._url.host} sent more than one compressed page in one.", code="page_type"
            )
        return plain

    def _too_large(self) -> WebError:
        return WebError(
            f"The page of {self._url.host} is larger than the {self._max_bytes:,} bytes that "
            "are taken.",
            code="page_too_large",
        )

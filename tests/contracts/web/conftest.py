"""A site to read from, and readers that may dial the loopback interface at its port alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mmm_workflows.tools.fetcher import HttpPageReader

from .readers import reader_for
from .site import Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(Site()) as running:
        yield running


@pytest.fixture
def new_reader(site: Site, tmp_path: Path) -> Callable[..., HttpPageReader]:
    return lambda **options: reader_for(site.port, tmp_path / "pages", **options)


@pytest.fixture
def reader(new_reader: Callable[..., HttpPageReader]) -> HttpPageReader:
    return new_reader()

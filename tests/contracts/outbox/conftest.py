"""Settings of each kind of stores, and other processes on them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from processes import rest_of
from services.chroma_state import chroma_url
from services.neo4j_state import neo4j_state

from mmm_workflows.config import Settings

TESTS = Path(__file__).parents[2]
EMBEDDED_AND_SERVED = ["embedded", pytest.param("served", marks=pytest.mark.services)]


def served(settings: Settings, **state: str) -> Settings:
    """The same settings with the servers of a state in place of the files."""
    return settings.model_copy(
        update=Settings(
            _env_file=None,
            mmm_home=settings.mmm_home,
            mmm_cache=settings.mmm_cache,
            neo4j_uri=state["NEO4J_URI"],
            neo4j_user=state["NEO4J_USER"],
            neo4j_password=state["NEO4J_PASSWORD"],
            chroma_url=state["CHROMA_URL"],
        ).model_dump()
    )


@pytest.fixture
def project() -> str:
    """One that no other test has: the real servers are shared."""
    return f"outbox-{uuid4().hex[:12]}"


@pytest.fixture(params=EMBEDDED_AND_SERVED)
def stores(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "embedded":
        return settings
    return served(settings, **neo4j_state(), CHROMA_URL=chroma_url())


def environment(settings: Settings) -> dict[str, str]:
    """The environment that makes another process read these settings."""
    own = {"MMM_HOME": str(settings.mmm_home), "MMM_CACHE": str(settings.mmm_cache)}
    if settings.neo4j_uri and settings.neo4j_password and settings.chroma_url:
        own |= {
            "NEO4J_URI": settings.neo4j_uri,
            "NEO4J_USER": settings.neo4j_user,
            "NEO4J_PASSWORD": settings.neo4j_password.get_secret_value(),
            "CHROMA_URL": settings.chroma_url,
        }
    return {**os.environ, **own}


@contextmanager
def child(
    what: str, settings: Settings, *, project: str = "p", name: str = "r"
) -> Iterator[subprocess.Popen[str]]:
    """Another process; killed at the end of the block where it has not ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "contracts.outbox.child", what, project, name],
        cwd=TESTS, env=environment(settings), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said_until_killed(
    process: subprocess.Popen[str], chance: random.Random, *, lines: int, within_s: float
) -> list[str]:
    """What it said before it was killed, some moment after so many lines."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    assert all(said), "it ended by itself"
    time.sleep(chance.uniform(0, within_s))
    process.kill()
    return [line.strip() for line in (*said, *rest_of(process)[0].splitlines())]

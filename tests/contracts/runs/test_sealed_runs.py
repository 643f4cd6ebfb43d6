"""Whole runs under a CHECKPOINT_KEY: what is hidden, and what another key is told."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import psycopg
import pytest

from mmm_workflows.errors import SettingsError
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows.contracts import ResearchRequest
from mmm_workflows.workflows.runner import Runner, open_runner

from .conftest import SettingsOf

SECRET = "MARKERBRAND"
REVIEWED = ResearchRequest(query=f"Build MMM for {SECRET}", review=True)


def a_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def written(folder: Path) -> bytes:
    """Every byte of the files of checkpoints."""
    files = list(folder.rglob("checkpoints.db*"))
    assert files
    return b"".join(file.read_bytes() for file in files)


def in_checkpoint_tables(url: str) -> bytes:
    """Every column of the tables of checkpoints."""
    found: list[bytes] = []
    with psycopg.connect(url) as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            for row in connection.execute(f"SELECT * FROM {table}"):
                found += [v if isinstance(v, bytes) else str(v).encode() for v in row]
    assert len(found) > 50
    return b"\n".join(found)


@pytest.mark.parametrize("key", [None, a_key()], ids=["plain", "sealed"])
async def test_a_runs_words_are_in_its_checkpoints_only_without_a_key(
    either: str | None, key: str | None, settings_of: SettingsOf, tmp_path: Path
) -> None:
    async with open_runner(settings_of(either, checkpoint_key=key)) as runner:
        await runner.start("research", REVIEWED, workflow_id="r1")
        content = in_checkpoint_tables(either) if either else written(tmp_path)
        await runner.decide("r1", f"revenue by TV and {SECRET}")
        content += in_checkpoint_tables(either) if either else written(tmp_path)
    assert b"r1" in content
    assert (SECRET.encode() in content) == (key is None)


async def test_a_run_under_a_key_needs_that_key_and_says_so(
    either: str | None, settings_of: SettingsOf
) -> None:
    key = a_key()
    async with open_runner(settings_of(either, checkpoint_key=key)) as runner:
        await runner.start("research", REVIEWED, workflow_id="r1")
    for wrong in (None, a_key()):
        async with open_runner(settings_of(either, checkpoint_key=wrong)) as runner:
            with pytest.raises(SettingsError, match="CHECKPOINT_KEY") as caught:
                await runner.resume("r1")
            assert caught.value.code == "checkpoint_key"
            run = await runner.get("r1")
            assert run.error is not None
            assert (run.status, run.error.code) == (RunStatus.FAILED, "checkpoint_key")
    async with open_runner(settings_of(either, checkpoint_key=key)) as runner:
        assert (await runner.resume("r1"))["status"] == "waiting"
        assert (await runner.decide("r1", "revenue by TV and search"))["status"] == "succeeded"


async def test_settings_that_differ_in_a_secret_alone_do_not_share_services(
    settings_of: SettingsOf,
) -> None:
    one, two = settings_of(None, checkpoint_key=a_key()), settings_of(None, checkpoint_key=a_key())
    assert one.model_dump_json() == two.model_dump_json()
    async with open_runner(one) as first, open_runner(two) as second:
        assert isinstance(first, Runner)
        assert first.services is not second.services

"""Every test runs in a home of its own, with none of the machine's settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mmm_workflows.config import Settings

REPOSITORY = Path(__file__).parent.parent
SHARED_CACHE = REPOSITORY / ".cache"

# A busy machine makes an example slow, not wrong. Hypothesis's own profile for CI, which also
# draws the same examples each time, already says so.
if settings.get_current_profile_name() != "ci":
    settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("house")


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No service is set, and every folder but the cache of compiled models is fresh."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("MMM_HOME", str(home))
    monkeypatch.setenv("MMM_CACHE", str(SHARED_CACHE))
    yield home


@pytest.fixture(name="settings")
def make_settings(own_environment: Path) -> Settings:
    """Settings of a fresh home, whatever ``.env`` lies in the working folder."""
    return Settings(_env_file=None, mmm_home=own_environment, mmm_cache=SHARED_CACHE)

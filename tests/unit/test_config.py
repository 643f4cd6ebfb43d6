"""Settings from the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mmm_workflows.bootstrap import NOT_YET, open_services
from mmm_workflows.config import (
    Settings,
    child_environment,
    read_settings,
    silence_telemetry,
)
from mmm_workflows.errors import ServiceUnavailable, SettingsError

REPOSITORY = Path(__file__).parents[2]


def _variables_of(text: str) -> set[str]:
    return set(re.findall(r"^([A-Z0-9_]+)=", text, flags=re.MULTILINE))


def test_every_variable_of_the_readme_and_the_example_is_a_setting() -> None:
    known = {name.upper() for name in Settings.model_fields}
    example = _variables_of((REPOSITORY / ".env.example").read_text())
    assert example == _variables_of((REPOSITORY / "README.md").read_text())
    assert len(example) == 12
    assert example <= known


def test_an_env_file_of_the_working_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MODEL_DIR=/somewhere/models\nUNRELATED=1\n")
    monkeypatch.chdir(tmp_path)
    assert read_settings().models == Path("/somewhere/models")


def test_folders_default_to_the_home(settings: Settings, own_environment: Path) -> None:
    assert settings.uploads == own_environment / "uploads"
    assert settings.models == own_environment / "models"
    assert settings.outputs == own_environment / "outputs"


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@localhost/mmm")
    monkeypatch.setenv("NEO4J_PASSWORD", "hunter2")
    settings = read_settings()
    assert "hunter2" not in str(settings.shown()) + str(settings.services_set()) + repr(settings)


def test_a_bad_value_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"MODEL_DIR=/models\xff\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"\.env"):
        read_settings()


@pytest.mark.parametrize("name", sorted(NOT_YET))
async def test_a_service_without_an_adapter_is_refused_by_name(
    name: str, own_environment: Path
) -> None:
    settings = Settings(_env_file=None, mmm_home=own_environment, **{name.lower(): "redis://x"})
    with pytest.raises(ServiceUnavailable, match=f"{name} is set") as caught:
        async with open_services(settings):
            pass
    assert caught.value.code == "service_not_supported"
    assert not own_environment.exists()


def test_telemetry_is_off_even_when_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    silence_telemetry()
    assert os.environ["LANGSMITH_TRACING"] == "false"
    assert os.environ["ANONYMIZED_TELEMETRY"] == "False"


def test_a_child_process_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "hunter2")
    assert "hunter2" not in str(child_environment())
    assert child_environment()["PATH"] == os.environ["PATH"]

"""Settings from the environment."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmm_workflows.bootstrap import open_services
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


@pytest.mark.parametrize(
    "name", ["OLLAMA_BASE_URL", "NEO4J_URI", "CHROMA_URL", "DASK_SCHEDULER", "REDIS_URL"]
)
def test_a_password_in_an_address_is_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://me:hunt@er2@host.example:1234/path")
    settings = read_settings()
    assert "er2" not in str(settings.shown()) + str(settings.services_set())
    if name != "REDIS_URL":
        assert settings.shown()[name] == "http://***@host.example:1234/path"


def test_a_bad_value_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"MODEL_DIR=/models\xff\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"\.env"):
        read_settings()


async def test_dask_that_is_set_and_not_installed_names_the_extra(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmm_workflows.bootstrap.find_spec", lambda name: None)
    with pytest.raises(ServiceUnavailable, match=r"mmm-workflows\[dask\]") as caught:
        async with open_services(settings.model_copy(update={"dask_scheduler": "tcp://x:1"})):
            pass
    assert caught.value.code == "service_not_supported"


PLAIN, FOR_ASYNCPG = (
    "postgresql://user:pass@db:5432/mmm",
    "postgresql+asyncpg://user:pass@db:5432/mmm",
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"database_url": PLAIN}, (PLAIN, FOR_ASYNCPG)),
        ({"async_database_url": FOR_ASYNCPG}, (PLAIN, FOR_ASYNCPG)),
        ({"database_url": FOR_ASYNCPG}, (PLAIN, FOR_ASYNCPG)),
        (
            {"database_url": "postgres://u@h/d"},
            ("postgresql://u@h/d", "postgresql+asyncpg://u@h/d"),
        ),
        (
            {"database_url": PLAIN + "?sslmode=require"},
            (PLAIN + "?sslmode=require", FOR_ASYNCPG + "?ssl=require"),
        ),
        (
            {"async_database_url": FOR_ASYNCPG + "?ssl=require"},
            (PLAIN + "?sslmode=require", FOR_ASYNCPG + "?ssl=require"),
        ),
        (
            {"database_url": PLAIN + "?keepalives=1", "async_database_url": FOR_ASYNCPG},
            (PLAIN + "?keepalives=1", FOR_ASYNCPG),
        ),
        (
            {"database_url": "postgresql://u:p%2F%40%3A@[::1]:6/d"},
            ("postgresql://u:p%2F%40%3A@[::1]:6/d", "postgresql+asyncpg://u:p%2F%40%3A@[::1]:6/d"),
        ),
    ],
)
def test_one_address_of_a_database_is_derived_from_the_other(
    given: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert Settings(_env_file=None, **given).database_urls == expected


@pytest.mark.parametrize(
    "bad",
    [
        "mysql://user:hunter2@db/mmm",
        "postgresql://user:hunter2@/mmm",
        "postgresql://user:hunter2@db",
        "postgresql://user:hunter2@db:0/mmm",
        "postgresql://user:hunter2@db:hunter2/mmm",
        "postgresql://user:hun/hunter2@db:5432/mmm",
        "postgresql://user:12/hunter2@db:5432/mmm",
        "postgresql://user:hunter2@[db/mmm",
        "hunter2",
        "",
    ],
)
def test_an_address_that_cannot_be_read_is_named_without_its_password(bad: str) -> None:
    for name in ("DATABASE_URL", "ASYNC_DATABASE_URL"):
        settings = Settings(_env_file=None, **{name.lower(): bad})
        with pytest.raises(SettingsError, match=f"^{name} cannot be used") as caught:
            assert settings.database_urls
        assert "hunter2" not in caught.value.message
        assert caught.value.__cause__ is None


def test_an_option_of_one_driver_alone_asks_for_both_addresses() -> None:
    settings = Settings(_env_file=None, database_url=PLAIN + "?application_name=me")
    with pytest.raises(SettingsError, match=r"'application_name'.*Set ASYNC_DATABASE_URL as well"):
        assert settings.database_urls


KEY = bytes(range(200, 232))


@pytest.mark.parametrize(
    "text", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), f" {KEY.hex()}\n"]
)
def test_a_key_is_read_as_hex_or_base64(text: str) -> None:
    assert Settings(_env_file=None, checkpoint_key=text).encryption_key == KEY


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (KEY[:16].hex(), "16 bytes"),
        (KEY.hex() + "00", "33 bytes"),
        (base64.b64encode(KEY[:31]).decode(), "31 bytes"),
        (KEY.hex()[:-1], "neither base64 nor hex"),
        ("a secret that is no key at all!!", "neither base64 nor hex"),
    ],
)
async def test_a_key_of_another_length_is_refused_by_name(
    text: str, found: str, own_environment: Path
) -> None:
    settings = Settings(_env_file=None, mmm_home=own_environment, checkpoint_key=text)
    with pytest.raises(SettingsError, match=f"CHECKPOINT_KEY.*{found}") as caught:
        async with open_services(settings):
            pass
    assert text not in caught.value.message + str(settings.shown())
    assert not own_environment.exists()


def test_telemetry_is_off_even_when_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    silence_telemetry()
    assert os.environ["LANGSMITH_TRACING"] == "false"
    assert os.environ["ANONYMIZED_TELEMETRY"] == "False"


def test_no_part_of_an_address_that_is_secret_is_shown(settings: Settings) -> None:
    secret = {
        "redis_url": "redis://:hunter22@localhost:6379",
        "chroma_url": "http://localhost:8000/?token=hunter22",
        "otel_exporter_otlp_endpoint": "http://name:hunter22@host/v1?api_key=hunter22",
    }
    read = Settings(_env_file=None, **secret)  # type: ignore[arg-type]
    assert "hunter22" not in str(read.shown()) + str(read.services_set())


def test_the_embedding_model_notes_nothing_about_this_machine(tmp_path: Path) -> None:
    # Left to itself onnxruntime keeps a device id and a queue of events for its maker.
    use = (
        "import asyncio\n"
        "from mmm_workflows.config import silence_telemetry\n"
        "silence_telemetry()\n"
        "from mmm_workflows.llm.embeddings import MiniLmEmbedder, installed_weights\n"
        "print(asyncio.run(MiniLmEmbedder(installed_weights()).embed(['a'])).shape)\n"
    )
    folders = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", use], env={**kept, **dict.fromkeys(folders, str(tmp_path))},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "(1, 384)\n", done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_a_child_process_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "hunter2")
    assert "hunter2" not in str(child_environment())
    assert child_environment()["PATH"] == os.environ["PATH"]

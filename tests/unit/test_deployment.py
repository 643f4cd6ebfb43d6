"""The files that deploy the service: read as their tools read them, and held against the SPEC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmm_workflows.config import Settings

REPOSITORY = Path(__file__).parents[2]
SERVICES = {"neo4j", "postgres", "redis", "chromadb", "ollama", "ollama-gpu", "api"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composed = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = composed["services"]
    return found


def _variables(line: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in line.splitlines() if "=" in pair and pair[0] != "#")


def test_every_service_of_the_spec_is_there_with_a_health_check(services: dict[str, Any]) -> None:
    assert set(services) == SERVICES
    assert services["ollama"]["container_name"] == "mmm-ollama"
    assert all(service["healthcheck"]["test"] for service in services.values())


def test_no_port_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service["ports"]]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)
    assert not any("network_mode" in service for service in services.values())


def test_the_api_may_go_without_a_key_and_nothing_else_is_excepted(
    services: dict[str, Any],
) -> None:
    excepted = [n for n, s in services.items() if "ALLOW_NO_KEY" in s.get("environment", {})]
    assert excepted == ["api"]
    assert services["api"]["cap_drop"] == ["ALL"]


def test_the_api_is_set_as_the_example_environment_but_for_the_hosts(
    services: dict[str, Any],
) -> None:
    example = _variables((REPOSITORY / ".env.example").read_text(encoding="utf-8"))
    given = services["api"]["environment"]
    assert set(example) <= set(given)
    hosts = {"OLLAMA": "ollama", "NEO4J": "neo4j", "DATABASE": "postgres", "ASYNC": "postgres"}
    for name, value in example.items():
        host = hosts.get(name.split("_")[0], "redis")
        expected = value.replace("localhost", host)
        assert _defaults(given[name]) == expected, name


def test_the_servers_know_the_users_and_passwords_that_the_api_is_given(
    services: dict[str, Any],
) -> None:
    api, postgres = services["api"]["environment"], services["postgres"]["environment"]
    neo4j = services["neo4j"]["environment"]["NEO4J_AUTH"]
    assert neo4j == f"{api['NEO4J_USER']}/{api['NEO4J_PASSWORD']}"
    user, password, database = (
        postgres[f"POSTGRES_{n}"] for n in ("USER", "PASSWORD", "DB")
    )  # fmt: skip
    at = f"{user}:{password}@postgres:5432/{database}"
    assert api["DATABASE_URL"].endswith(f"//{at}")
    assert api["ASYNC_DATABASE_URL"].endswith(f"//{at}")


def test_every_variable_of_the_api_is_a_setting(services: dict[str, Any]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert set(services["api"]["environment"]) <= known


def _defaults(value: str) -> str:
    """A value with each ``${NAME:-default}`` as it is where NAME is not set."""
    before, is_variable, rest = value.partition("${")
    if not is_variable:
        return value
    inside, _, after = rest.partition("}")
    return before + inside.partition(":-")[2] + _defaults(after)


@pytest.mark.parametrize("profile", ["", "gpu"])
def test_compose_reads_its_file_without_a_complaint(profile: str) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        missing = "no docker-compose: run tests/services/up.sh"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [program, *(["--profile", profile] if profile else []), "config", "-q"],
        capture_output=True, text=True, timeout=300, cwd=REPOSITORY,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "Dockerfile"], capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )
    assert (done.returncode, done.stdout) == (0, "")

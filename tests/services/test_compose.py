"""What docker-compose.yml has the api container run, run by hand on the real servers.

The command is the image's, the environment the file's: its hosts are read as the servers of this
machine, /data as a folder of the test. No container is made.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from api.answers import ended
from api.servers import server

from .chroma_state import chroma_url
from .neo4j_state import neo4j_state
from .ollama_state import ollama_state
from .postgres_state import fresh_database
from .redis_state import redis_url

pytestmark = [pytest.mark.services, pytest.mark.slow]
REPOSITORY = Path(__file__).parents[2]
COMPOSED: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
PROJECT = f"compose-{os.getpid()}"
RUN = f"{PROJECT}-run"


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _variables(values: dict[str, str], places: dict[str, str], data: Path) -> dict[str, str]:
    """The environment as compose makes it, with each host as it is reached from here."""
    chosen = {"OLLAMA_REASONING_MODEL": ollama_state()["OLLAMA_MODEL"]}
    chosen["OLLAMA_CODING_MODEL"] = chosen["OLLAMA_REASONING_MODEL"]
    found = {}
    for name, value in values.items():
        value = re.sub(r"\$\{(\w+):-(.*?)\}", lambda v: chosen.get(v[1], v[2]), value)
        for host, place in places.items():
            value = re.sub(rf"(?<=[/@]){host}(?=/|$)", place, value)
        found[name] = re.sub(r"^/data(?=/)", str(data), value)
    return found


def _image_command() -> list[str]:
    """The command of the image, without its port."""
    line = re.search(r"^CMD (\[.*\])$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert line is not None
    program, *arguments = ast.literal_eval(line[1])
    port = arguments.index("--port")
    return [str(Path(sys.executable).with_name(program)), *arguments[:port], *arguments[port + 2 :]]


def _healthy(service: str, *more: str, port: str = "", own: str = "") -> None:
    """Run a health check as its container would, but for the port."""
    kind, program, *arguments = COMPOSED["services"][service]["healthcheck"]["test"]
    assert kind == "CMD"
    shown = [a.replace(own, port) if own else a for a in arguments]
    program = sys.executable if program == "python" else program
    subprocess.run([program, *more, *shown], check=True, timeout=120, stdout=subprocess.DEVNULL)


def _until(url: str, path: str, is_so: Any) -> dict[str, Any]:
    for _ in range(900):
        answer: dict[str, Any] = httpx.get(url + path, timeout=60).json()
        if is_so(answer):
            return answer
        time.sleep(0.2)
    raise AssertionError(answer)


async def test_the_api_of_the_compose_file_is_ready_and_does_a_run_on_the_real_servers(
    tmp_path: Path,
) -> None:
    async with fresh_database() as database:
        postgres = _place(database)
        places = {
            "postgres:5432/mmm": f"{postgres}/{database.rpartition('/')[2]}",
            "neo4j:7687": _place(neo4j_state()["NEO4J_URI"]),
            "redis:6379": _place(redis_url()),
            "chromadb:8000": _place(chroma_url()),
            "ollama:11434": _place(ollama_state()["OLLAMA_BASE_URL"]),
        }
        given = COMPOSED["services"]["api"]["environment"]
        environment = _variables(given, places, tmp_path / "data")
        assert not any(host in v for v in environment.values() for host in places)
        # The Neo4j of this machine has a password of its own; the tiny model seldom ends by itself.
        environment |= {
            "NEO4J_PASSWORD": neo4j_state()["NEO4J_PASSWORD"],
            "MODEL_REPLY_TOKENS": "160", "MODEL_MAX_CALLS": "1",
        }  # fmt: skip
        command = ["env", *(f"{n}={v}" for n, v in environment.items()), *_image_command()]
        assert "0.0.0.0" in command
        with server(command, tmp_path) as address:
            _use(f"http://{address}", tmp_path / "data")
            _healthy("api", own=":8000/", port=f":{address.rpartition(':')[2]}/")
        _healthy("postgres", "-h", "127.0.0.1", "-p", postgres.rpartition(":")[2])
        _healthy("redis", "-p", places["redis:6379"].rpartition(":")[2])
        _healthy("chromadb", own="8000", port=places["chromadb:8000"].rpartition(":")[2])


def _use(url: str, data: Path) -> None:
    """One run of EDA from an upload, until every store has it; its project is removed."""
    ready = _until(url, "/health/ready", lambda told: told["status"] == "ready")
    assert {d["name"] for d in ready["dependencies"]} >= {"database", "neo4j", "chroma", "ollama"}
    sales = (REPOSITORY / "data" / "sales.csv").read_bytes()
    files = {"file": ("sales.csv", sales)}
    kept = httpx.post(f"{url}/upload", files=files, data={"project": PROJECT}, timeout=60).json()
    assert Path(kept["path"]).is_relative_to(data / "uploads")
    body = {
        "data_sources": [kept["path"]], "target_variable": "Sales", "project": PROJECT,
        "media_channels": ["TV_Spend", "Digital_Spend"], "workflow_id": RUN,
    }  # fmt: skip
    assert httpx.post(f"{url}/eda/start", json=body, timeout=60).status_code == 202
    run = ended(lambda path: httpx.get(url + path, timeout=60), RUN)
    assert run["status"] == "succeeded", run["error"]
    assert Path(run["result"]["mff_data_path"]).is_relative_to(data / "outputs")
    assert _until(url, f"/workflow/{RUN}", lambda told: told["memory"] == "kept")
    gone = httpx.delete(f"{url}/project/{PROJECT}", timeout=60).json()
    assert gone == {"deleted": 1, "memory_delayed": None}

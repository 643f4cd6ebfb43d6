"""The log of a live server: one line per request and socket, none of them with a secret."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from api.servers import CLI, StartServer
from api.sockets import connect
from websockets.exceptions import InvalidStatus

from mmm_workflows.keys import make_key
from mmm_workflows.records import Json

ROOT, ENTRY = make_key("root")
SERVE = (*CLI, "serve")
UVICORN = (CLI[0], "-m", "uvicorn", "mmm_workflows.api.main:app")


def _lines(home: Path) -> list[Json]:
    # What uvicorn says before it has read the application is its own.
    said = (home / "log").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in said if line.startswith("{")]


@pytest.mark.parametrize("command", [SERVE, UVICORN], ids=["serve", "uvicorn"])
async def test_each_request_and_socket_is_one_line_without_its_secrets(
    start_server: StartServer, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with start_server(["env", f"API_KEYS={ENTRY}", *command], tmp_path) as served:
        url = f"http://{served}"
        given = {"headers": {"Authorization": f"Bearer {ROOT}"}}
        answer = httpx.get(f"{url}/workflow/none?token={ROOT}&limit=1", **given)
        refused = httpx.get(f"{url}/workflows?api_key={ROOT}-wrong")
        async with connect(f"ws://{served}/ws/none?key={ROOT}", subprotocols=[f"key.{ROOT}"]) as ws:  # type: ignore[list-item]
            await ws.recv()
            await ws.wait_closed()
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://{served}/ws/none?key={ROOT}"):
                pass
        started = httpx.post(f"{url}/research/start", json={"query": "Build MMM"}, **given)
        assert started.status_code == 202
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert ROOT not in said and "token=" not in said and "api_key=" not in said
    requests = [line for line in _lines(tmp_path) if line["event"] == "request"]
    of = {line["request_id"]: line for line in requests}
    assert len(of) == len(requests)
    line = of[answer.headers["x-request-id"]]
    assert (line["method"], line["route"], line["status"]) == (
        "GET", "/workflow/{workflow_id}", 404,
    )  # fmt: skip
    assert line["caller"] == "root" and line["ms"] > 0 and line["level"] == "info"
    line = of[refused.headers["x-request-id"]]
    assert (line["status"], line["route"], line["caller"]) == (401, "other", None)
    sockets = [line for line in _lines(tmp_path) if line["event"] == "socket"]
    assert [(s["caller"], s["code"]) for s in sockets] == [("root", 4404), (None, 4403)]


def test_the_level_and_the_form_are_settings(start_server: StartServer, tmp_path: Path) -> None:
    for name, settings in (("quiet", ["LOG_LEVEL=warning"]), ("text", ["LOG_FORMAT=text"])):
        home = tmp_path / name
        home.mkdir()
        with start_server(["env", *settings, *SERVE], home) as served:
            assert httpx.get(f"http://{served}/workflows").status_code == 200
    assert (tmp_path / "quiet" / "log").read_text() == ""
    text = (tmp_path / "text" / "log").read_text()
    assert "request" in text and "/workflows" in text and "{" not in text

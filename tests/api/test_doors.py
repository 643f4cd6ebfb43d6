"""Who is let in: hosts, pages of other sites, keys and their projects, and how often."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from api.answers import problem
from api.servers import CLI, StartServer
from api.sockets import connect
from api.test_models import UP, note_model
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from workflows.test_whatif import make_model

from mmm_workflows.api import body_limit
from mmm_workflows.api.headers import HEADERS, REQUEST_ID
from mmm_workflows.api.main import create_app
from mmm_workflows.config import Settings
from mmm_workflows.keys import make_key

QUERY = {"query": "Build MMM for beverage brand"}
ROOT, ROOT_ENTRY = make_key("root")
BRAND, BRAND_ENTRY = make_key("brand", ["brand-a"])


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keyed(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two keys, one of them for one project, and few starts a minute."""
    home = tmp_path_factory.mktemp("keyed")
    data = tmp_path_factory.mktemp("data")
    settings = [
        f"API_KEYS={ROOT_ENTRY},{BRAND_ENTRY}", "STARTS_PER_MINUTE=12", f"DATA_DIRS={data}",
        "CORS_ORIGINS=https://page.example",
    ]  # fmt: skip
    with start_server(["env", *settings, *CLI, "serve"], home) as address:
        yield address


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost:1\\@evil.example", "localhost:x", "localhost.evil:1", "[::2]:1", ""]
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_refused(served: str, host: str) -> None:
    answer = httpx.get(f"http://{served}/workflows", headers={"Host": host})
    problem(answer, 403, "host_refused")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_the_names_of_this_machine_are_its_own(served: str, host: str) -> None:
    assert httpx.get(f"http://{served}/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_page_of_another_site_starts_nothing(served: str, origin: str) -> None:
    answer = httpx.post(f"http://{served}/research/start", json=QUERY, headers={"Origin": origin})
    problem(answer, 403, "origin_refused")
    upload = httpx.post(
        f"http://{served}/upload", files={"file": ("a.csv", b"a,b\n1,2\n")},
        headers={"Origin": origin},
    )  # fmt: skip
    problem(upload, 403, "origin_refused")


async def test_a_page_of_another_site_watches_nothing(served: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{served}/ws/any", origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403


def test_its_own_page_may_start(served: str) -> None:
    answer = httpx.post(
        f"http://{served}/research/start", json=QUERY, headers={"Origin": f"http://{served}"}
    )
    assert answer.status_code == 202, answer.text


def test_every_answer_says_what_a_browser_may_do_with_it(served: str) -> None:
    for path in ("/health", "/docs", "/no-such", "/workflow/none"):
        headers = httpx.get(f"http://{served}{path}").headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    url = f"http://{served}"
    for answer in (
        httpx.get(f"{url}/health", headers={"Host": "evil.example"}),
        httpx.post(f"{url}/research/start", content=b"{", headers={"content-type": "application/json"}),
        httpx.post(f"{url}/research/start", json={"query": "x" * (2 << 20)}),
        httpx.get(f"{url}/docs/assets/swagger-ui.css"),
        httpx.get(f"{url}/docs/start.js"),
        httpx.get(f"{url}/metrics"),
        httpx.delete(f"{url}/workflows"),
        httpx.get(f"{url}/workflows/"),
    ):  # fmt: skip
        assert set(HEADERS) <= set(answer.headers), answer
        assert "location" not in answer.headers


async def test_who_sends_a_request_too_slowly_gives_up_its_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "PATIENCE_S", 0.2)
    monkeypatch.setattr(body_limit, "SLOWEST_BYTES_PER_S", 1 << 30)
    app = create_app(settings)

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"query": '
        await asyncio.sleep(60)

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        await app.state.opening.house()
        headers = {"content-type": "application/json"}
        answer = await client.post("/research/start", content=slowly(), headers=headers)
    problem(answer, 408, "request_invalid")


async def test_also_an_answer_of_a_failure_of_ours_has_them_and_its_id(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        answer = await client.get("/broken")
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert set(HEADERS) <= set(answer.headers)
    assert len(answer.headers[REQUEST_ID]) == 36


def test_the_page_of_the_api_asks_no_other_host(served: str) -> None:
    page = httpx.get(f"http://{served}/docs").text
    start = httpx.get(f"http://{served}/docs/start.js").text
    assert "//" not in page.replace("<!doctype html>", "") and "http" not in start
    assert "<script>" not in page
    named = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r'url: "([^"]*)"', start)
    assert len(named) == 5
    for address in named:
        assert address.startswith("/")
        assert httpx.get(f"http://{served}{address}").status_code == 200, address
    # What the bundle itself might ask for is held by the browser.
    policy = httpx.get(f"http://{served}/docs").headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert not re.search(r"https?:|\*|script-src|connect-src|unsafe-eval", policy)
    assert httpx.get(f"http://{served}/docs/assets/../../etc/passwd").status_code == 404


def test_without_a_key_nothing_but_the_service_itself_is_told(keyed: str) -> None:
    for path in ("/workflows", "/workflow/x", "/workflow/x/events"):
        answer = httpx.get(f"http://{keyed}{path}")
        problem(answer, 401, "key_required")
        assert answer.headers["www-authenticate"] == "Bearer"
    problem(httpx.post(f"http://{keyed}/research/start", json=QUERY), 401, "key_required")
    wrong = httpx.get(f"http://{keyed}/workflows", headers=_bearer("mmm_wrong"))
    problem(wrong, 401, "key_required")
    for path in ("/health", "/docs", "/openapi.json"):
        assert httpx.get(f"http://{keyed}{path}").status_code == 200, path


def test_a_key_opens_its_own_projects_and_is_told_nothing_of_others(keyed: str) -> None:
    url = f"http://{keyed}"
    body = {**QUERY, "workflow_id": "secret", "project": "brand-b"}
    problem(httpx.post(f"{url}/research/start", json=body, headers=_bearer(BRAND)), 403, "project_forbidden")  # fmt: skip
    assert httpx.post(f"{url}/research/start", json=body, headers=_bearer(ROOT)).status_code == 202
    for method, path in (
        ("GET", "/workflow/secret"), ("GET", "/workflow/secret/events"),
        ("GET", "/workflow/secret/artifacts"), ("GET", "/workflow/secret/artifacts/x"),
        ("GET", "/workflow/secret/decisions"), ("GET", "/workflow/secret/lineage"),
        ("POST", "/workflow/secret/resume"), ("POST", "/workflow/secret/cancel"),
        ("DELETE", "/workflow/secret"),
    ):  # fmt: skip
        told = httpx.request(method, f"{url}{path}", headers=_bearer(BRAND))
        unknown = httpx.request(
            method, f"{url}{path.replace('secret', 'none')}", headers=_bearer(BRAND)
        )
        problem(told, 404, "run_not_found")
        assert told.text.replace("secret", "none") == unknown.text
    listed = httpx.get(f"{url}/workflows", headers=_bearer(BRAND)).json()["runs"]
    assert all(run["project"] == "brand-a" for run in listed)
    asked = httpx.get(f"{url}/workflows?project=brand-b", headers=_bearer(BRAND))
    problem(asked, 403, "project_forbidden")
    assert "secret" in httpx.get(f"{url}/workflows", headers=_bearer(ROOT)).text


def test_a_file_of_another_project_is_not_read(keyed: str) -> None:
    url = f"http://{keyed}"
    table = b"date,sales,tv\n2024-01-01,1,1\n"
    kept = httpx.post(
        f"{url}/upload", files={"file": ("s.csv", table)}, data={"project": "brand-b"},
        headers=_bearer(ROOT),
    )  # fmt: skip
    assert kept.status_code == 201, kept.text
    body = {"data_sources": [kept.json()["path"]], "project": "brand-a"}
    stolen = httpx.post(f"{url}/eda/start", json=body, headers=_bearer(BRAND))
    problem(stolen, 403, "path_forbidden")
    refused = httpx.post(
        f"{url}/upload", files={"file": ("s.csv", table)}, data={"project": "brand-b"},
        headers={"X-API-Key": BRAND},
    )  # fmt: skip
    problem(refused, 403, "project_forbidden")


def test_data_models_memory_and_projects_of_others_are_not_there(keyed: str) -> None:
    url, brand = f"http://{keyed}", _bearer(BRAND)
    table = b"date,sales,tv\n2024-01-01,1,2\n"
    kept = httpx.post(
        f"{url}/upload", files={"file": ("hidden.csv", table)}, data={"project": "brand-c"},
        headers=_bearer(ROOT),
    ).json()  # fmt: skip
    assert "hidden.csv" in httpx.get(f"{url}/datasets", headers=_bearer(ROOT)).text
    assert "hidden.csv" not in httpx.get(f"{url}/datasets", headers=brand).text
    body = {"data_sources": [kept["dataset_id"]], "project": "brand-a"}
    stolen = httpx.post(f"{url}/eda/start", json=body, headers=brand)
    problem(stolen, 422, "dataset_not_found")
    for method, path in (
        ("GET", "/datasets?project=brand-c"),
        ("GET", "/memory/search?question=x&project=brand-c"),
        ("GET", "/memory/search?question=x"),
        ("DELETE", "/project/brand-c"),
    ):
        told = httpx.request(method, f"{url}{path}", headers=brand)
        problem(told, 403, "project_forbidden")
    for path in ("/datasets", "/memory/search?question=x", "/workflows"):
        problem(httpx.get(f"{url}{path}"), 401, "key_required")


async def test_a_model_of_another_project_is_not_there(settings: Settings, tmp_path: Path) -> None:
    app = create_app(
        settings.model_copy(update={"api_keys": SecretStr(f"{ROOT_ENTRY},{BRAND_ENTRY}")})
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        house = await app.state.opening.house()
        model_id = await note_model(house.runner, make_model(tmp_path), "fit", "brand-b")
        for name in ("fit", model_id):
            for what, asked in (("scenario", UP), ("optimize", {})):
                path = f"/models/{name}/{what}"
                seen = await client.post(path, json=asked, headers=_bearer(ROOT))
                assert seen.status_code == 200, seen.text
                hidden = await client.post(path, json=asked, headers=_bearer(BRAND))
                problem(hidden, 404, "model_not_found")
                unknown = await client.post(
                    f"/models/none/{what}", json=asked, headers=_bearer(BRAND)
                )
                assert hidden.text.replace(f"'{name}'", "'none'") == unknown.text


async def test_a_socket_takes_the_key_as_a_header_or_as_a_protocol(keyed: str) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(f"ws://{keyed}/ws/none"):
            pass
    async with connect(f"ws://{keyed}/ws/none", additional_headers=_bearer(ROOT)) as opened:
        assert "run_not_found" in await opened.recv()
    protocols = ["mmm", f"key.{ROOT}"]
    async with connect(f"ws://{keyed}/ws/none", subprotocols=protocols) as opened:  # type: ignore[arg-type]
        assert opened.subprotocol == "mmm"
        assert "run_not_found" in await opened.recv()


def test_only_named_origins_may_read_answers(keyed: str) -> None:
    def allowed(origin: str) -> str | None:
        headers = {"Origin": origin, **_bearer(ROOT)}
        answer = httpx.get(f"http://{keyed}/workflows", headers=headers)
        return answer.headers.get("access-control-allow-origin")

    assert allowed("https://page.example") == "https://page.example"
    assert allowed("https://evil.example") is None
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"http://{keyed}/research/start", headers=asked)
    assert preflight.status_code == 200
    assert set(HEADERS) <= set(preflight.headers)


def test_a_folder_of_the_settings_may_be_read_and_what_a_link_leads_to_may_not(
    start_server: StartServer, tmp_path: Path
) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside.csv"
    data.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    outside.write_text("date,sales,tv\n2024-01-01,1,1\n")
    (data / "inside.csv").write_text(outside.read_text())
    (data / "link.csv").symlink_to(outside)
    with start_server(["env", f"DATA_DIRS={data}", *CLI, "serve"], home) as address:
        url = f"http://{address}/eda/start"
        assert httpx.post(url, json={"data_sources": [f"{data}/inside.csv"]}).status_code == 202
        for path in (f"{data}/link.csv", f"{data}/../outside.csv", str(outside)):
            problem(httpx.post(url, json={"data_sources": [path]}), 403, "path_forbidden")


def test_who_starts_too_often_is_told_when_to_come_back(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server(["env", "STARTS_PER_MINUTE=2", *CLI, "serve"], tmp_path) as address:
        url = f"http://{address}"
        codes = [httpx.post(f"{url}/research/start", json=QUERY).status_code for _ in range(3)]
        assert codes == [202, 202, 429]
        refused = httpx.post(f"{url}/research/start", json=QUERY)
        problem(refused, 429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert httpx.get(f"{url}/workflows").status_code == 200


@pytest.mark.parametrize(
    ("proxies", "third"), [((), 429), (("FORWARDED_ALLOW_IPS=127.0.0.1",), 422)]
)
def test_who_says_to_come_from_elsewhere_is_believed_by_a_setting_alone(
    start_server: StartServer, tmp_path: Path, proxies: tuple[str, ...], third: int
) -> None:
    settings = ["STARTS_PER_MINUTE=2", *proxies]
    with start_server(["env", *settings, *CLI, "serve"], tmp_path) as address:
        url = f"http://{address}/research/start"
        told = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(3)]
        codes = [httpx.post(url, json={}, headers=headers).status_code for headers in told]
    assert codes == [422, 422, third]


def test_the_service_refuses_to_listen_beyond_this_machine_without_a_key() -> None:
    done = subprocess.run(
        [*CLI, "serve", "--host", "0.0.0.0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "API_KEYS" in done.stderr and "Traceback" not in done.stderr


def test_uvicorn_on_every_address_answers_nobody_without_a_key(
    start_server: StartServer, tmp_path: Path
) -> None:
    own = _address_of_this_machine()
    command = [
        "env", f"ALLOWED_HOSTS={own}", CLI[0], "-m", "uvicorn", "mmm_workflows.api.main:app",
        "--host", "0.0.0.0",
    ]  # fmt: skip
    with start_server(command, tmp_path) as address:
        port = address.rpartition(":")[2]
        problem(httpx.get(f"http://{own}:{port}/workflows"), 403, "key_required")
        assert httpx.get(f"http://{address}/workflows").status_code == 200


def _address_of_this_machine() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])

"""Before the first question: is the server there, does it have the model, what does it say else."""

import subprocess
import sys

import pytest
from pydantic import BaseModel
from scripted_model.behaviours import Behaviour, Fails, Garbage, Hangs, Says
from scripted_model.server import ScriptedOllama

from mmm_workflows.errors import MMMError, ServiceUnavailable, SettingsError
from mmm_workflows.llm.budget import Budget
from mmm_workflows.llm.ollama import for_grammar, open_ollama, shown_url


async def test_a_wrong_name_is_answered_with_the_models_that_are_there(
    server: ScriptedOllama,
) -> None:
    with pytest.raises(ServiceUnavailable, match=r"it has qwen3:30b, tiny:latest\.") as caught:
        await open_ollama(server.base_url, "qwen3:999b", timeout_s=30)
    assert caught.value.code == "language_model_unknown"
    assert "ollama pull qwen3:999b" in caught.value.message


async def test_a_server_without_models_and_one_with_many_are_told_apart() -> None:
    with ScriptedOllama() as empty:
        with pytest.raises(ServiceUnavailable, match="it has none"):
            await open_ollama(empty.base_url, "qwen3:30b", timeout_s=30)
        empty.models.extend(f"m{i:02}:1b" for i in range(20))
        with pytest.raises(ServiceUnavailable, match=r"m00:1b, .*m11:1b and 8 more"):
            await open_ollama(empty.base_url, "qwen3:30b", timeout_s=30)


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", "Tiny", "qwen3:30B"])
async def test_a_name_is_read_as_ollama_reads_it(server: ScriptedOllama, name: str) -> None:
    chat = await open_ollama(server.base_url + "/", name, timeout_s=30)
    assert chat.name == f"ollama:{name}"


async def test_a_closed_port_is_a_server_that_cannot_be_reached() -> None:
    with ScriptedOllama("a") as gone:
        pass
    with pytest.raises(ServiceUnavailable, match=r"cannot be reached.*ollama serve") as caught:
        await open_ollama(gone.base_url, "a", timeout_s=30)
    assert caught.value.code == "language_model_unavailable"


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Fails(500), "status 500"),
        (Fails(404), "status 404"),
        (Garbage(), "does not answer as Ollama does"),
        (Garbage(b"[]"), "does not answer as Ollama does"),
        (Garbage(b'{"models": null}'), "does not answer as Ollama does"),
        (Hangs(), "cannot be reached"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_no_ollama_server_is_refused(
    server: ScriptedOllama, behaviour: Behaviour, said: str
) -> None:
    server.tags = behaviour
    with pytest.raises(ServiceUnavailable, match=said) as caught:
        timeout_s = 0.3 if isinstance(behaviour, Hangs) else 30
        await open_ollama(server.base_url, "tiny", timeout_s=timeout_s)
    assert caught.value.code == "language_model_unavailable"


@pytest.mark.parametrize(
    "url", ["", "localhost:11434", "ftp://a", "http://", "http://[::1", "http://h:99999", "/x"]
)
async def test_what_is_no_address_is_refused_as_a_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="OLLAMA_BASE_URL"):
        await open_ollama(url, "tiny", timeout_s=30)


@pytest.mark.parametrize(
    "url", ["htp://me:hunt@er2@host:1", "http://me:hunter2@", "http://me:hunter2@host:x"]
)
async def test_a_password_in_what_is_no_address_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await open_ollama(url, "tiny", timeout_s=30)
    assert "er2" not in caught.value.message


async def test_a_password_in_the_address_is_used_and_never_shown(server: ScriptedOllama) -> None:
    class One(BaseModel):
        a: int

    url = server.base_url.replace("http://", "http://ada:hunter2@")
    assert shown_url(url) == server.base_url
    with pytest.raises(ServiceUnavailable) as caught:
        await open_ollama(url, "none", timeout_s=30)
    shown = str(caught.value)
    server.script("tiny", Says('{"a": 1}'), Fails(400))
    chat = await open_ollama(url, "tiny", timeout_s=30)
    budget = Budget(max_calls=2, max_tokens=100_000)
    await chat.fill(One, system="s", user="u", budget=budget)
    assert (server.chats[0].authorization or "").startswith("Basic ")
    with pytest.raises(MMMError) as caught_later:
        await chat.fill(One, system="s", user="u", budget=budget)
    assert "hunter2" not in shown + str(caught_later.value)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await open_ollama(server.base_url, "tiny", timeout_s=30)).name == "ollama:tiny"


def test_a_grammar_keeps_fields_that_are_called_like_keywords() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^a$"},
            "format": {"type": "array", "maxItems": 500, "minItems": 1},
        },
        "$defs": {"maxLength": {"type": "string", "maxLength": 9}},
        "anyOf": [{"pattern": "x"}, {"enum": ["pattern"]}],
        "required": ["pattern", "format"],
    }
    assert for_grammar(schema) == {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "format": {"type": "array", "minItems": 1},
        },
        "$defs": {"maxLength": {"type": "string"}},
        "anyOf": [{}, {"enum": ["pattern"]}],
        "required": ["pattern", "format"],
    }


@pytest.mark.parametrize("module", ["chat", "replies", "budget", "speech"])
def test_what_workflows_import_loads_no_library_of_models(module: str) -> None:
    code = (
        f"import sys, mmm_workflows.llm.{module}; "
        "print({'langchain', 'langchain_core', 'langchain_ollama', 'httpx', 'pandas'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

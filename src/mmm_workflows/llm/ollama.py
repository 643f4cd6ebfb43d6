"""Models of an Ollama server, found to be there before the first question."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from langchain_ollama import ChatOllama
from pydantic import BaseModel, ValidationError

from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.llm.chat import BACKOFF_S, ChatModel
from mmm_workflows.llm.langchain_speaker import IDLE_S, LangChainSpeaker
from mmm_workflows.llm.speech import JsonSchema

CONNECT_S: Final = 5.0
# Asked for by name with every call: left alone, Ollama takes 2,048 or 4,096 and cuts longer
# prompts at their beginning without a word. The same for all calls, or the model is loaded anew.
CONTEXT_TOKENS: Final = 16_384
SEED: Final = 1
MAX_NAMES_SHOWN: Final = 12
MAX_REPETITIONS: Final = 64

# What Ollama's grammar cannot hold, or holds by unrolling it; the reply is validated anyway.
_NOT_IN_GRAMMARS: Final = frozenset({"pattern", "format", "minLength", "maxLength"})
# Up to the last sign, for a password may hold one itself.
_CREDENTIALS: Final = re.compile(r"(?<=//)[^/\s]*@")
_NAMED_SCHEMAS: Final = frozenset({"properties", "$defs"})


class _Model(BaseModel):
    name: str


class _Tags(BaseModel):
    models: list[_Model]


async def open_ollama(
    base_url: str,
    model: str,
    *,
    timeout_s: float,
    idle_s: float = IDLE_S,
    context_tokens: int = CONTEXT_TOKENS,
    backoff_s: float = BACKOFF_S,
) -> ChatModel:
    """The model of the server at ``base_url``, once the server has said that it has it.

    Raises:
        SettingsError: ``base_url`` is no http address (``settings_invalid``).
        ServiceUnavailable: The server cannot be reached (``language_model_unavailable``) or does
            not have the model (``language_model_unknown``); the text names those that it has.
    """
    _refuse_what_is_no_address(base_url)
    there = await _models_of(base_url, timeout_s=min(timeout_s, 2 * CONNECT_S))
    if with_tag(model) not in {with_tag(name) for name in there}:
        raise ServiceUnavailable(
            f"The Ollama server at {shown_url(base_url)} does not have the model {model!r}; it has "
            f"{_listed(there)}. Run `ollama pull {model}` there, or set one that it has.",
            code="language_model_unknown",
        )
    # Two clients are inside.
    chat = await asyncio.to_thread(_chat_ollama, base_url, model, timeout_s)

    def arguments(schema: JsonSchema, max_reply_tokens: int) -> dict[str, Any]:
        options = {
            "temperature": 0.0,
            "seed": SEED,
            "num_ctx": context_tokens,
            "num_predict": max_reply_tokens,
        }
        return {"format": for_grammar(schema), "options": options}

    name = f"ollama:{model}"
    speaker = LangChainSpeaker(name, chat, arguments=arguments, timeout_s=timeout_s, idle_s=idle_s)
    return ChatModel(name, speaker, context_tokens=context_tokens, backoff_s=backoff_s)


def shown_url(url: str) -> str:
    """The address without a user's name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def for_grammar(schema: JsonSchema) -> dict[str, Any]:
    """The schema less what Ollama cannot turn into a grammar, so that it does not refuse it all."""
    return {key: _part(key, value) for key, value in schema.items() if _is_kept(key, value)}


def _is_kept(key: str, value: object) -> bool:
    if key in ("minItems", "maxItems"):
        return isinstance(value, int) and value <= MAX_REPETITIONS
    return key not in _NOT_IN_GRAMMARS


def _part(key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if key in _NAMED_SCHEMAS:
        return {name: for_grammar(part) for name, part in value.items()}
    if isinstance(value, Mapping):
        return for_grammar(value)
    if isinstance(value, list):
        return [for_grammar(part) if isinstance(part, Mapping) else part for part in value]
    return value


def _chat_ollama(base_url: str, model: str, timeout_s: float) -> ChatOllama:
    return ChatOllama(
        model=model,
        base_url=base_url,
        # Thinking costs minutes on small machines; a model that thinks all the same is understood.
        reasoning=False,
        client_kwargs={
            **client_arguments(base_url, timeout_s),
            # Nothing is left open between two calls, so nothing is to be closed.
            "limits": httpx.Limits(max_keepalive_connections=0),
        },
    )


def client_arguments(base_url: str, timeout_s: float) -> dict[str, Any]:
    """What an httpx client of an Ollama server is made with."""
    return {
        "timeout": httpx.Timeout(timeout_s, connect=CONNECT_S),
        # A prompt is not for the one to whom somebody else forwards it.
        "follow_redirects": False,
        # A proxy of the environment is no way to this machine itself.
        "trust_env": not _is_this_machine(urlsplit(base_url).hostname or ""),
    }


async def _models_of(base_url: str, *, timeout_s: float) -> list[str]:
    where = f"The Ollama server at {shown_url(base_url)}"
    try:
        # In a thread, as below: a client reads certificates from disk.
        arguments = client_arguments(base_url, timeout_s)
        async with await asyncio.to_thread(httpx.AsyncClient, **arguments) as client:
            answer = await client.get(f"{base_url.rstrip('/')}/api/tags")
        answer.raise_for_status()
        return [model.name for model in _Tags.model_validate_json(answer.content).models]
    except httpx.HTTPStatusError as error:
        problem = f"answered with status {error.response.status_code} when asked for its models"
    except httpx.HTTPError as error:
        problem = f"cannot be reached ({str(error) or type(error).__name__})"
    except ValidationError:
        problem = "does not answer as Ollama does when asked for its models"
    raise ServiceUnavailable(
        f"{where} {problem}. Start it with `ollama serve`, correct OLLAMA_BASE_URL, or unset it to "
        "use rules in place of a language model.",
        code="language_model_unavailable",
    )


def _refuse_what_is_no_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        shown = _CREDENTIALS.sub("***@", base_url)
        raise SettingsError(
            f"OLLAMA_BASE_URL is {json.dumps(shown)}, which is no address. Expected one like "
            "http://localhost:11434."
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def with_tag(model: str) -> str:
    """The full name: without a tag Ollama means ``latest``; it does not heed capitals."""
    last = model.rpartition("/")[2]
    return (model if ":" in last else f"{model}:latest").casefold()


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    rest = len(names) - MAX_NAMES_SHOWN
    shown = ", ".join(sorted(names)[:MAX_NAMES_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown

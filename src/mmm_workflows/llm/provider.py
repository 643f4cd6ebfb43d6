"""Models of any other provider, by the name that LangChain gives them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from mmm_workflows.errors import SettingsError
from mmm_workflows.llm.chat import BACKOFF_S, ChatModel
from mmm_workflows.llm.langchain_speaker import IDLE_S, LangChainSpeaker
from mmm_workflows.llm.speech import JsonSchema

CONTEXT_TOKENS: Final = 100_000
# The packages that this one offers as extras; others are installed by hand.
EXTRAS: Final = ("openai", "anthropic")


async def open_provider(
    model: str,
    *,
    timeout_s: float,
    idle_s: float = IDLE_S,
    base_url: str | None = None,
    context_tokens: int = CONTEXT_TOKENS,
    backoff_s: float = BACKOFF_S,
) -> ChatModel:
    """The model that ``model`` names, as ``openai:gpt-5.5``; its first call shows whether it works.

    The provider's package reads its own key from the environment. Only what every provider takes
    is sent: the schema stands in the prompt, and the reply is checked as any other. LangChain's
    structured output is not used: with several providers it binds a tool, and its parser accepts
    JSON that is broken. No temperature is sent, for some models refuse one.

    Raises:
        SettingsError: The name has no provider, or its package or key is missing.
    """
    provider, _, rest = model.partition(":")
    if not (provider and rest):
        raise SettingsError(
            f"MODEL is {model!r}; expected a provider and a model, like 'openai:gpt-5.5'."
        )
    if provider == "ollama":
        raise SettingsError(
            f"MODEL is {model!r}; a model of Ollama is chosen by OLLAMA_BASE_URL and "
            "OLLAMA_REASONING_MODEL."
        )
    chat = await asyncio.to_thread(_chat, model, timeout_s, base_url)
    speaker = LangChainSpeaker(
        model, chat, arguments=_arguments, timeout_s=timeout_s, idle_s=idle_s
    )
    return ChatModel(model, speaker, context_tokens=context_tokens, backoff_s=backoff_s)


def _arguments(schema: JsonSchema, max_reply_tokens: int) -> dict[str, Any]:
    return {"max_tokens": max_reply_tokens}


def _chat(model: str, timeout_s: float, base_url: str | None) -> BaseChatModel:
    # One policy of retries: ours. Usage comes with a stream only when it is asked for.
    options: dict[str, Any] = {"timeout": timeout_s, "max_retries": 0, "stream_usage": True}
    if base_url is not None:
        options["base_url"] = base_url
    try:
        chat: BaseChatModel = init_chat_model(model, **options)
    except ImportError as error:
        provider = model.partition(":")[0]
        raise SettingsError(
            f"MODEL is {model!r}, and the package for {provider!r} is not installed. "
            f"{_how_to_install(provider, error)}"
        ) from error
    except _refusals() as error:
        raise SettingsError(
            f"MODEL is {model!r} and cannot be used: {_first_line(error)}"
        ) from error
    return chat


def _how_to_install(provider: str, error: ImportError) -> str:
    if provider in EXTRAS:
        return f"Install it with `pip install 'mmm-workflows[{provider}]'`."
    return _first_line(error)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _refusals() -> tuple[type[Exception], ...]:
    """What is raised for an unknown provider, a bad option or a missing key."""
    openai = sys.modules.get("openai")
    return (ValueError,) if openai is None else (ValueError, openai.OpenAIError)

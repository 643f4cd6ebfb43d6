"""Where the real Ollama server is that ollama_up.sh started."""

from __future__ import annotations

from .state import state_of


def ollama_state() -> dict[str, str]:
    """Its address and model."""
    return state_of("ollama", "OLLAMA_BASE_URL", "OLLAMA_MODEL", label="Ollama server")

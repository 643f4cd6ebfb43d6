"""Where the real Chroma server is that chroma_up.sh started."""

from __future__ import annotations

from .state import state_of


def chroma_url() -> str:
    """Its address."""
    return state_of("chroma", "CHROMA_URL", label="Chroma server")["CHROMA_URL"]

"""Where the real Neo4j server is that neo4j_up.sh started."""

from __future__ import annotations

from .state import state_of


def neo4j_state() -> dict[str, str]:
    """Its address, user and password."""
    return state_of("neo4j", "NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD", label="Neo4j server")

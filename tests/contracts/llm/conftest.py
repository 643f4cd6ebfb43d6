from collections.abc import Iterator

import pytest
from scripted_model.server import ScriptedOllama


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    with ScriptedOllama("qwen3:30b", "tiny:latest") as running:
        yield running

"""A password that holds a bare slash, in a setting that is shown."""

from __future__ import annotations

import pytest

from mmm_workflows.config import Settings


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://u:p/w0rd@h:1", "http://***@h:1"),
        ("http://u:p/w0/rd@h:1/path", "http://***@h:1/path"),
        ("http://to/ken@h:1", "http://***@h:1"),
        ("http://h:1/path", "http://h:1/path"),
        ("http://u:p/w0rd@h:1 http://h/x", "http://***@h:1 http://h/x"),
    ],
)
def test_a_bare_slash_does_not_show_a_password(address: str, shown: str) -> None:
    settings = Settings(_env_file=None, ollama_base_url=address)
    assert settings.shown()["OLLAMA_BASE_URL"] == shown
    assert settings.services_set()["OLLAMA_BASE_URL"] == shown


def test_the_log_hides_each_password_of_a_setting_with_a_slash_or_without() -> None:
    two = "a:*=postgresql://u:hunter-one@h/d,b:*=postgresql://u:hunter-two@h/d"
    settings = Settings(_env_file=None, ollama_base_url="http://u:p/w0rd@h", data_connections=two)
    assert {"p/w0rd", "hunter-one", "hunter-two"} <= set(settings.secrets())

"""The log as it is written: one line each, of ours and of libraries, with whose run it was."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from mmm_workflows import logs
from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError
from mmm_workflows.records import Event, Json
from mmm_workflows.workflows.contracts import EdaRequest, ResearchRequest
from mmm_workflows.workflows.runner import open_runner

OURS = logging.getLogger("mmm_workflows.test")
type Written = Callable[[], str]

LOGGERS = ("", logs.OURS, *logs.UVICORN)


@pytest.fixture(name="written")
def standard_error(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What the log holds so far; the loggers are afterwards as they were."""
    before = {}
    for name in LOGGERS:
        logger = logging.getLogger(name)
        before[name] = (logger.level, list(logger.handlers), logger.propagate)
    yield lambda: capsys.readouterr().err
    for name, (level, handlers, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def _lines(written: Written) -> list[Json]:
    return [json.loads(line) for line in written().splitlines()]


def test_a_line_is_one_json_object_whatever_it_holds(written: Written) -> None:
    logs.configure("info", "auto")
    OURS.info("a\nb \x1b[31m \ud800 %s", "c", extra={"n": float("nan"), "o": object()})
    (line,) = _lines(written)
    assert line["event"] == "a\nb \x1b[31m \ud800 c"
    assert (line["level"], line["logger"], line["n"]) == ("info", "mmm_workflows.test", "nan")
    assert line["timestamp"].endswith("Z")


def test_secrets_are_hidden_in_messages_fields_and_tracebacks(written: Written) -> None:
    logs.configure("info", "json", secrets=["hunter22"])
    try:
        raise ValueError("postgresql://mmm:Pa55word@db/mmm with hunter22")
    except ValueError:
        OURS.exception("Bearer %s failed", "abcdefgh", extra={"password": "xyz", "x": "hunter22"})
    said = written()
    for secret in ("Pa55word", "hunter22", "abcdefgh", "xyz"):
        assert secret not in said
    line = json.loads(said)
    assert "ValueError" in line["exception"] and line["password"] == "***"


def test_in_text_a_stranger_cannot_move_the_cursor_or_forge_a_line(written: Written) -> None:
    logs.configure("info", "text")
    OURS.warning("GET /\x1b[2J\r\n2026-01-01 [info] forged \x9b", extra={"caller": "\x07\n"})
    said = written()
    assert said.count("\n") == 1
    assert not set(said) & {"\x1b", "\r", "\x9b", "\x07"}
    try:
        raise ValueError("inside\x1b")
    except ValueError:
        OURS.exception("failed")
    said = written()
    assert "Traceback" in said and "inside\\x1b" in said


def test_libraries_are_heard_through_the_same_log_from_warnings_on(written: Written) -> None:
    logs.configure("info", "json")
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("token=%s", "abcdefgh")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "me", "/ws?k=v")
    logging.getLogger("uvicorn.access").info("GET /?k=v")
    OURS.debug("not asked for")
    assert [line["event"] for line in _lines(written)] == ["token=***", "started"]


def test_a_second_call_replaces_the_first(written: Written) -> None:
    logs.configure("info", "json")
    logs.configure("error", "json")
    OURS.warning("left out")
    OURS.error("once")
    assert [line["event"] for line in _lines(written)] == ["once"]


async def test_every_line_inside_a_run_says_which_run_of_which_project(
    written: Written, settings: Settings
) -> None:
    logs.configure("info", "json")

    def tell(event: Event) -> None:
        logging.getLogger("some.library").warning("seen %s", event.seq)

    async with open_runner(settings) as runner:
        await runner.start(
            "research", ResearchRequest(query="Build MMM"), workflow_id="r1", project="brand",
            on_event=tell,
        )  # fmt: skip
        with pytest.raises(MMMError):
            await runner.start(
                "eda", EdaRequest(data_sources=("no.csv",)), workflow_id="r2", on_event=tell
            )
    OURS.info("after")
    *inside, after = _lines(written)
    whose = {(line.get("workflow_id"), line.get("project")) for line in inside}
    assert whose == {("r1", "brand"), ("r2", "default")}
    assert "workflow_id" not in after


def test_the_secrets_of_the_settings_are_told_with_the_passwords_of_addresses() -> None:
    settings = Settings(
        _env_file=None, neo4j_password="graph-pass", database_url="postgresql://u:p%40ss-w@h/d",
        chroma_url="http://me:chroma-pass@h:1",
    )  # fmt: skip
    assert {"graph-pass", "p%40ss-w", "p@ss-w", "chroma-pass"} <= set(settings.secrets())

"""The log: one line per happening, of ours and of every library, JSON or for a reader's eyes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final, Literal

import structlog
from structlog.types import Processor

from mmm_workflows.masking import Mask

type Level = Literal["debug", "info", "warning", "error"]
type Format = Literal["auto", "json", "text"]
type _Line = MutableMapping[str, Any]

HANDLER: Final = "mmm-workflows"
OURS: Final = "mmm_workflows"
UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
# uvicorn's own lines about sockets hold the query; ours say the rest (see api.ledger).
TOLD_BY_US: Final = ('"WebSocket %s"', "connection open", "connection closed")
AGAIN: Final = ("message", "color_message")

_CONTROL: Final = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160))}
_CONTROL_BUT_LINES: Final = {c: said for c, said in _CONTROL.items() if chr(c) not in "\n\t"}


def configure(level: Level, format: Format, *, secrets: Sequence[str] = ()) -> None:
    """Send every logger's lines to the standard error, masked; a second call replaces the first.

    Args:
        level: Of our lines and uvicorn's; libraries are heard from warnings on, or at debug.
        format: ``auto`` is text in a terminal and JSON elsewhere.
        secrets: Values that no line may show.
    """
    is_terminal = sys.stderr.isatty()
    as_text = format == "text" or (format == "auto" and is_terminal)
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(HANDLER)
    handler.addFilter(_is_not_told_by_us)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_described(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _masking(Mask(secrets)),
                *(_for_eyes(colors=is_terminal) if as_text else _for_machines()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if h.name != HANDLER] + [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(number if level == "debug" else max(number, logging.WARNING))
    logging.getLogger(OURS).setLevel(number)
    for name in UVICORN:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"
        logger.setLevel(number)


def _described() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _once,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _once(_logger: object, _method: str, line: _Line) -> _Line:
    """Without the other forms of the message that uvicorn and other handlers add."""
    return {name: value for name, value in line.items() if name not in AGAIN}


def _masking(mask: Mask) -> Callable[[Any, str, _Line], _Line]:
    def masked(_logger: object, _method: str, line: _Line) -> _Line:
        shown = mask.value(line)
        assert isinstance(shown, dict)
        return shown

    return masked


def _for_machines() -> list[Processor]:
    return [structlog.processors.JSONRenderer(sort_keys=True)]


def _for_eyes(*, colors: bool) -> list[Processor]:
    plain = structlog.dev.plain_traceback
    return [
        _without_control_characters,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, pad_event_to=0),
    ]


def _without_control_characters(_logger: object, _method: str, line: _Line) -> _Line:
    """A stranger's text must not move a terminal's cursor, or pass for a line of ours."""
    return {
        name: (
            value.translate(_CONTROL_BUT_LINES if name == "exception" else _CONTROL)
            if isinstance(value, str)
            else value
        )
        for name, value in line.items()
    }


def _is_not_told_by_us(record: logging.LogRecord) -> bool:
    return not (
        record.name == "uvicorn.error" and any(part in str(record.msg) for part in TOLD_BY_US)
    )

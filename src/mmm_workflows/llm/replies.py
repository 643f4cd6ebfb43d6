"""From a reply to a value: one JSON document of the shape that was asked for, or its faults."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ValidationError

from mmm_workflows.llm.speech import Spoken, Stop

MAX_FAULTS: Final = 8
MAX_FAULT_CHARS: Final = 240
MAX_PATH_CHARS: Final = 120

_THOUGHT: Final = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
# Some templates open the thought themselves, so that only its end is heard; some never end it.
_UP_TO_THE_END_OF_A_THOUGHT: Final = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_UNENDED_THOUGHT: Final = re.compile(r"<think(?:ing)?>.*", re.DOTALL | re.IGNORECASE)
_FENCED: Final = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\r?\n(.*)\n?[ \t]*```", re.DOTALL)

_STOPS: Final = {
    Stop.LENGTH: "The reply was cut because it reached the limit of its length. Answer shorter.",
    Stop.OVERLONG: "The reply did not end and was cut. Answer shorter.",
    Stop.CUT: "The reply broke off before its end.",
    Stop.NOTHING: "No reply came.",
    Stop.REFUSED: "The reply was a refusal.",
}


class BadReply(Exception):
    """A reply that is no value of the shape; ``faults`` are sentences for the model."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = bounded(faults)


def read_reply[T: BaseModel](shape: type[T], spoken: Spoken) -> T:
    """The value that the reply is.

    Thinking and one fence around the whole are taken off; what is left must be one JSON document.
    It is never searched for something that looks like JSON: what a model says by the way is not
    what it answers.

    Raises:
        BadReply: The reply ended early, is not one JSON document, or does not fit the shape.
    """
    if spoken.stop is not Stop.DONE:
        raise BadReply(_STOPS[spoken.stop])
    text = _answer_in(spoken.text)
    _refuse_what_json_is_not(text)
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        raise BadReply(*(_fault(entry) for entry in error.errors(include_url=False))) from error


def bounded(faults: tuple[str, ...]) -> tuple[str, ...]:
    """The first faults, each cut to a length that a small model can still read."""
    shown = [fault[:MAX_FAULT_CHARS] for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        shown.append(f"There are {len(faults) - MAX_FAULTS} more faults.")
    return tuple(shown)


def without_thinking(text: str) -> str:
    """The text less every thought, also one that only ends or never ends."""
    text = _THOUGHT.sub("", text)
    text = _UP_TO_THE_END_OF_A_THOUGHT.sub("", text)
    return _UNENDED_THOUGHT.sub("", text).strip()


def _answer_in(text: str) -> str:
    # A value may speak of <think>; a reply that is JSON as it stands is left as it stands.
    whole = _without_fence(text.strip())
    return whole if _is_json(whole) else _without_fence(without_thinking(text))


def _without_fence(text: str) -> str:
    fenced = _FENCED.fullmatch(text)
    return fenced[1].strip() if fenced else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_what_json_is_not(text: str) -> None:
    """Be stricter than pydantic: a name given twice, NaN and infinity are no JSON.

    Raises:
        BadReply: The text is empty or not one JSON document.
    """
    if not text:
        raise BadReply("The reply has no content.")
    try:
        json.loads(
            text,
            object_pairs_hook=_once_each,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        raise BadReply(
            f"The reply is not one JSON document and nothing else: {error.msg} at character "
            f"{error.pos} of {len(text)}."
        ) from error
    except RecursionError as error:
        raise BadReply("The JSON document is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise BadReply(f"The JSON document cannot be read: {error}.") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadReply(f"The name {twice!r} is given twice in one object.")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise BadReply(f"{name} is not a number of JSON. Give a number or leave the field out.")


def _finite(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise BadReply(f"The number {digits} is too large.")
    return value


def _fault(entry: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails lives in pydantic_core
    path = ".".join(str(part) for part in entry["loc"]) or "the document"
    return f"{path[:MAX_PATH_CHARS]}: {entry['msg']}."

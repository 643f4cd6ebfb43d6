"""JSON as it is meant: what no store can hold or no answer can say again is refused at the door."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

MAX_DEPTH: Final = 64
# Far above every plan; what is wrong in each of a million places takes half a minute to say.
MAX_VALUES: Final = 20_000
# What every database of ours keeps as a whole number.
MOST: Final = 2**63
UNREADABLE: Final = 422
# A NUL cannot stand in a text of PostgreSQL; half a surrogate pair is no text at all.
NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")


class StrictRoute(APIRoute):
    """A route whose JSON body is read by ``read_json``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request that reads strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401 - as in Starlette
        return read_json(await self.body())


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a JSON text.

    Raises:
        HTTPException: It is nested too deep, or holds too many values, NaN, a number out of range,
            a NUL or half a surrogate pair.
        JSONDecodeError: It is no JSON.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise _unreadable(f"it is nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise _unreadable("it is no UTF-8 text, or a number in it is too long") from error
    _check(value)
    return value


def _check(value: object) -> None:
    # A loop: what is nested deep must not exhaust the stack of the one who looks.
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        if not level:
            return
        count += len(level)
        if count > MAX_VALUES:
            raise _unreadable(f"it holds more than {MAX_VALUES} values")
        below: list[object] = []
        for found in level:
            if isinstance(found, dict):
                below += [*found.keys(), *found.values()]
            elif isinstance(found, list):
                below += found
            else:
                _check_scalar(found)
        level = below
    raise _unreadable(f"it is nested more than {MAX_DEPTH} levels deep")


def _check_scalar(value: object) -> None:
    if isinstance(value, str) and NO_TEXT.search(value):
        raise _unreadable("a text in it holds a NUL or half a surrogate pair")
    if isinstance(value, int) and abs(value) >= MOST:
        raise _unreadable(f"a whole number in it is not between -{MOST} and {MOST}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _unreadable("a number in it is too large")


def _refuse_constant(name: str) -> None:
    raise _unreadable(f"{name} is no number of JSON")


def _unreadable(why: str) -> HTTPException:
    return HTTPException(UNREADABLE, f"The request cannot be read: {why}.")

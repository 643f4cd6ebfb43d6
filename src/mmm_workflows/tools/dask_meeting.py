"""How a caller and a Dask worker find out that they share a folder or a store, and one version."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmm_workflows.errors import MMMError
from mmm_workflows.ports import Exchange
from mmm_workflows.tools.compute import code_version
from mmm_workflows.tools.fit_child import FitPlace

TOKEN: Final = ".shared-"
# Where tokens and the data of fits lie in an exchange, as long as they are needed.
PART: Final = "dask"
OR_A_STORE: Final = "or ARTIFACTS_URL must name a store that all reach"

type FindPlace = Callable[[], FitPlace]


@dataclass(frozen=True)
class Token:
    """What only a worker can see that shares something with the caller.

    Attributes:
        file: A file in MODEL_DIR, which every worker must have under the same path; None where
            an exchange is used.
        place: Its place in the exchange.
        store: What the caller calls the exchange.
    """

    code: str
    file: Path | None = None
    place: str = ""
    store: str = ""


def refusal_of(token: Token, find_place: FindPlace) -> str | None:
    """Asked on a worker: why it cannot do the fits of a caller; None when it can."""
    unseen = _unseen(token, find_place)
    if unseen is None and code_version() != token.code:
        return (
            "it has another version of MMM Workflows or of PyMC, and would give other numbers. "
            "Install the same versions on it."
        )
    return unseen


def _unseen(token: Token, find_place: FindPlace) -> str | None:
    if token.file is not None:
        if token.file.is_file():
            return None
        return (
            f"it does not see {token.file.parent} as its caller does. MODEL_DIR must be a folder "
            f"that every worker has under the same path, {OR_A_STORE}."
        )
    try:
        exchange = find_place().exchange
        if exchange is None:
            found = "it has no ARTIFACTS_URL"
        elif exchange.part(PART).has(token.place):
            return None
        else:
            found = f"its ARTIFACTS_URL ({exchange.where}) is another store"
    except MMMError as error:
        return error.message
    return f"{found}. Set ARTIFACTS_URL to the caller's, {token.store}, where it is started."


@asynccontextmanager
async def shared_token(models_dir: Path, exchange: Exchange | None) -> AsyncIterator[Token]:
    """A new file that only a worker on the same folder or store can see."""
    code, name = await asyncio.to_thread(code_version), secrets.token_hex(8)
    jobs = exchange and exchange.part(PART)
    if jobs is None:
        token = Token(code, file=models_dir / f"{TOKEN}{name}")
    else:
        token = Token(code, place=name, store=jobs.where)
    await asyncio.to_thread(_lay_down, token, jobs)
    try:
        yield token
    finally:
        await asyncio.to_thread(_take_away, token, jobs)


def _lay_down(token: Token, jobs: Exchange | None) -> None:
    if token.file is not None:
        token.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        token.file.touch(mode=0o600)
    elif jobs is not None:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "token"
            file.touch()
            jobs.put(token.place, file)


def _take_away(token: Token, jobs: Exchange | None) -> None:
    if token.file is not None:
        token.file.unlink(missing_ok=True)
    elif jobs is not None:
        jobs.remove(token.place)

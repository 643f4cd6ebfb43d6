"""How the web and the sandbox are plugged together, each opened at its first use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mmm_workflows.config import Settings, child_environment

if TYPE_CHECKING:
    from mmm_workflows.ports import PageReader
    from mmm_workflows.tools.code_executor import CodeExecutor
    from mmm_workflows.tools.web import OpenWeb, Web, WebMode


# When a sandbox that was too slow to be believed is tried again.
AGAIN_S: Final = 300.0


def executor_opener(folder: Path) -> Callable[[], Awaitable[CodeExecutor]]:
    """Opens the executor of generated code at its first use; the canary is sent out once.

    After a canary that ran out of time it is sent out again, at a use some minutes later.
    """
    kept: CodeExecutor | None = None
    until = float("inf")
    turn = asyncio.Lock()

    async def opened() -> CodeExecutor:
        from mmm_workflows.tools.code_executor import CodeExecutor
        from mmm_workflows.tools.sandbox.probe import probe_sandbox

        nonlocal kept, until
        clock = asyncio.get_running_loop().time
        # One sends it out again; the others use what there is.
        if kept is not None and (clock() < until or turn.locked()):
            return kept
        async with turn:
            if kept is None or clock() >= until:
                report = await probe_sandbox(folder)
                kept = CodeExecutor(folder=folder, mode=report.mode)
                until = clock() + AGAIN_S if report.was_slow else float("inf")
            return kept

    return opened


def web_opener(settings: Settings) -> OpenWeb:
    """Opens the web for one run: live, or from a folder of recorded searches and pages."""

    @asynccontextmanager
    async def opened(mode: WebMode, replay: Path | None, record: Path) -> AsyncIterator[Web]:
        from mmm_workflows.tools.replay import ReplayReader, ReplaySearch
        from mmm_workflows.tools.web import Web

        if mode == "replay":
            folder = replay or record
            yield Web(mode=mode, search=ReplaySearch(folder), reader=ReplayReader(folder))
            return
        async with AsyncExitStack() as stack:
            yield await _live_web(settings, record, stack)

    return opened


async def _live_web(settings: Settings, record: Path, stack: AsyncExitStack) -> Web:
    from mmm_workflows.tools.addresses import AddressGuard
    from mmm_workflows.tools.fetcher import HttpPageReader
    from mmm_workflows.tools.replay import RecordingReader, RecordingSearch
    from mmm_workflows.tools.web import ReaderWithBrowser, Web
    from mmm_workflows.tools.web_search import DdgsSearch

    agent = f"mmm-workflows ({settings.web_contact or 'no contact given'})"
    guard = AddressGuard()
    plain = HttpPageReader(guard, settings.cache / "pages", user_agent=agent)
    reader: PageReader = plain
    if settings.chromium is not None:
        from mmm_workflows.tools.browser_reader import BrowserPageReader

        browser = BrowserPageReader(
            guard,
            plain.may_read,
            chromium=settings.chromium,
            user_agent=agent,
            environment=child_environment(),
        )
        reader = ReaderWithBrowser(plain, await stack.enter_async_context(browser))
    search = DdgsSearch(backend=settings.search_backend)
    return Web(
        mode="on",
        search=RecordingSearch(search, record),
        reader=RecordingReader(reader, record),
    )

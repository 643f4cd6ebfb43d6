"""Reads pages that show their text only to a browser: crawl4ai drives Chromium behind our proxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Final, Self

import yarl
from pydantic import SecretStr

from mmm_workflows.errors import ServiceUnavailable, WebError
from mmm_workflows.mmm.pages import Page, text_sha256
from mmm_workflows.tools.addresses import AddressGuard, checked_url
from mmm_workflows.tools.browser_messages import Job, Shown
from mmm_workflows.tools.egress_proxy import EgressProxy, ProxyLimits
from mmm_workflows.tools.page_text import visible_text

DRIVER: Final = "mmm_workflows.tools.browser_driver"
HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
FORBIDDEN: Final = "page_forbidden"
END_S: Final = 2.0
LOG: Final = "stderr.log"

type MayRead = Callable[[yarl.URL], Awaitable[object]]


class BrowserPageReader:
    """Reads one page at a time, each with a browser and a proxy of its own.

    Use it as an async context manager, or call ``aclose``: the process that drives the browser is
    kept between pages, since loading crawl4ai takes seconds.

    Args:
        guard: Says which addresses may be dialled, for the page and all that it loads.
        may_read: Asked for the page's address before a browser is started; it raises when the
            site does not want to be read by programs.
        chromium: The browser, ``/usr/bin/chromium``.
        user_agent: What the browser calls itself.
        environment: Of the process that drives the browser, without secrets.
        timeout_s: For one page, start of the browser included.
        settle_s: How long a page's scripts may go on fetching after it has loaded.

    Raises:
        ServiceUnavailable: The browser or the package that drives it is not installed
            (``browser_unavailable``).
    """

    def __init__(
        self,
        guard: AddressGuard,
        may_read: MayRead,
        *,
        chromium: Path,
        user_agent: str,
        environment: Mapping[str, str],
        timeout_s: float = 45.0,
        settle_s: float = 3.0,
    ) -> None:
        _refuse_if_absent(chromium)
        self._guard = guard
        self._may_read = may_read
        self._chromium = chromium
        self._user_agent = user_agent
        self._environment = environment
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        self._driver: _Driver | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the process that drives the browser, and everything that it started."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.end()

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """The visible text of a page after its scripts have run; see ``ports.PageReader``.

        At most ``max_bytes`` are carried for the page and everything that it loads, and its HTML
        is no longer than that; ``size_bytes`` counts what was carried.
        """
        asked = checked_url(url)
        host, port = asked.raw_host, asked.port
        assert host is not None
        assert port is not None
        await self._guard.resolve(host, port)
        await self._may_read(asked)
        limits = ProxyLimits(
            connection_bytes=max_bytes, total_bytes=max_bytes, total_s=self._timeout_s
        )
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    async with EgressProxy(self._guard, limits=limits) as proxy:
                        shown, html = await self._shown(str(asked), proxy, max_bytes)
            except TimeoutError:
                raise WebError(
                    f"The page {url} was not shown within {self._timeout_s:g} s.",
                    code="page_timeout",
                ) from None
        _refuse_unless_shown(url, shown, proxy)
        return await asyncio.to_thread(_page, url, shown, html, proxy.bytes_carried)

    async def _shown(self, url: str, proxy: EgressProxy, max_bytes: int) -> tuple[Shown, str]:
        username, password = proxy.credential
        with TemporaryDirectory(prefix="mmm-browser-", ignore_cleanup_errors=True) as profile:
            job = Job(
                url=url,
                chromium=self._chromium,
                profile=Path(profile),
                proxy=proxy.address,
                username=username,
                password=SecretStr(password),
                user_agent=self._user_agent,
                max_bytes=max_bytes,
                timeout_s=self._timeout_s,
                settle_s=self._settle_s,
            )
            async with self._at_work() as driver:
                return await _unless_spent(driver.shown(job), proxy, url)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[_Driver]:
        """The process that drives the browser; it ends at once when its answer is not awaited."""
        if self._driver is None:
            self._driver = await _Driver.started(self._environment)
        is_done = False
        try:
            yield self._driver
            is_done = True
        finally:
            if not is_done:
                await asyncio.shield(self.aclose())


async def _unless_spent[T](shown: Coroutine[None, None, T], proxy: EgressProxy, url: str) -> T:
    """What the browser shows, unless too much is carried first: it would wait for the rest."""
    showing = asyncio.create_task(shown)
    spent = asyncio.create_task(proxy.wait_until_spent())
    try:
        await asyncio.wait((showing, spent), return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            raise _too_large(url)
        return showing.result()
    finally:
        for task in (showing, spent):
            task.cancel()
        await asyncio.gather(showing, spent, return_exceptions=True)


class _Driver:
    """The child process, in a process group of its own with all that it starts."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self._process = process
        self._home = home

    @classmethod
    async def started(cls, environment: Mapping[str, str]) -> Self:
        home = Path(mkdtemp(prefix="mmm-browser-"))
        with (home / LOG).open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", DRIVER, str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={
                    **environment,
                    "HOME": str(home),
                    "CRAWL4_AI_BASE_DIRECTORY": str(home),
                    "CRAWL4AI_NO_CLOUD_NOTICE": "1",
                },
                cwd=home,
                start_new_session=True,
            )  # fmt: skip
        return cls(process, home)

    async def shown(self, job: Job) -> tuple[Shown, str]:
        """What the browser shows; ``WebError`` when the process ended over it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(job.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
            if not line:
                raise EOFError
            shown = Shown.model_validate_json(line)
            html = await self._process.stdout.readexactly(min(shown.html_bytes, job.max_bytes))
        except (EOFError, OSError):
            raise WebError(
                f"The process that drives the browser ended over {job.url}.{self._last_words()} "
                "Other pages can still be read."
            ) from None
        return shown, html.decode("utf-8", "replace")

    def _last_words(self) -> str:
        lines = (self._home / LOG).read_text("utf-8", "replace").strip().splitlines()[-1:]
        return f" Its last words: {lines[0][:300]}" if lines else ""

    async def end(self) -> None:
        """Kill the group: a browser has nothing that is worth a farewell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await _until_gone(self._process.pid)
        await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)


async def _until_gone(group: int) -> None:
    """Wait until the last process of a killed group has closed its files."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        async with asyncio.timeout(END_S):
            while True:
                os.killpg(group, 0)
                await asyncio.sleep(0.02)


def _refuse_if_absent(chromium: Path) -> None:
    if find_spec("crawl4ai") is None:
        raise ServiceUnavailable(
            "Pages that need a browser cannot be read: crawl4ai is not installed. Install it with "
            "`pip install 'mmm-workflows[crawl]'`.",
            code="browser_unavailable",
        )
    if not os.access(chromium, os.X_OK):
        raise ServiceUnavailable(
            f"Pages that need a browser cannot be read: there is no {chromium}. Install Chromium "
            "(`apt-get install chromium`), or set its path.",
            code="browser_unavailable",
        )


def _refuse_unless_shown(url: str, shown: Shown, proxy: EgressProxy) -> None:
    """Turn what went wrong into the error of the port; return when the page is shown."""
    if shown.failure == "browser":
        raise WebError(
            f"The browser does not start: {shown.said}. It is only started with its sandbox, which "
            "needs user namespaces.",
            code="browser_unavailable",
        )
    if shown.failure == "size" or proxy.is_spent:
        raise _too_large(url)
    refused = _main_refusal(shown, proxy)
    if refused is not None:
        raise WebError(
            f"The page {url} leads to {refused}, which is not on the public web.", code=FORBIDDEN
        )
    if shown.failure == "page" or not shown.final_url.startswith(("http://", "https://")):
        raise WebError(f"The browser cannot show the page {url}: {shown.said or 'no page'}.")
    if not 200 <= shown.status < 300:
        raise WebError(
            f"The server of {url} answered with status {shown.status}.", code="page_status"
        )
    if shown.content_type.partition(";")[0].strip().lower() not in HTML_TYPES:
        raise WebError(
            f"The page {url} is {shown.content_type or 'of no type'}, not HTML.", code="page_type"
        )


def _too_large(url: str) -> WebError:
    return WebError(
        f"The page {url}, with all that it loads, is larger than is taken.", code="page_too_large"
    )


def _main_refusal(shown: Shown, proxy: EgressProxy) -> str | None:
    """The host that the page itself, and not one of its parts, was refused at."""
    refused = [r for r in proxy.refusals if r.reason == FORBIDDEN]
    if not refused:
        return None
    last = refused[-1]
    if shown.failure == "page" or not shown.final_url.startswith(("http://", "https://")):
        return last.host
    final = yarl.URL(shown.final_url)
    is_there = any((r.host, r.port) == (final.raw_host, final.port) for r in refused)
    return final.raw_host if is_there else None


def _page(url: str, shown: Shown, html: str, size_bytes: int) -> Page:
    final_url = str(checked_url(shown.final_url))
    title, text = visible_text(html, url=final_url)
    return Page(
        url=url,
        final_url=final_url,
        title=title,
        text=text,
        sha256=text_sha256(text),
        fetched_at=datetime.now(UTC),
        content_type=shown.content_type,
        size_bytes=size_bytes,
        how="browser",
    )

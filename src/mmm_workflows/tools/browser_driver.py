"""Child-process entry: pages to read on standard input, what the browser shows on standard output.

It has an environment of its own, since crawl4ai takes its settings from there, and loads it once
for many pages. Each page has a browser of its own. Its process group holds everything that it
starts, and is ended when the parent is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any, BinaryIO, Final

from crawl4ai import BrowserConfig, CrawlerRunConfig, ProxyConfig
from crawl4ai.async_crawler_strategy import AsyncPlaywrightCrawlerStrategy
from playwright.async_api import Error as PlaywrightError  # type: ignore[import-not-found, unused-ignore]
from playwright.async_api import Page as Tab
from playwright.async_api import Response
from playwright.async_api import TimeoutError as PlaywrightTimeout

from mmm_workflows.tools.browser_messages import Job, Shown
from mmm_workflows.tools.browser_process import BrowserFailed, running_chromium

LONGEST_SAID: Final = 500
LONGEST_URL: Final = 5000
VISIBLE_MS: Final = 1000
LOOK_EVERY_S: Final = 0.5


class _Watch:
    """The last answer that was shown in the main frame, after all redirects."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ms = settle_s * 1000
        self.status = 0
        self.content_type = ""

    async def on_tab(self, tab: Tab, **_: Any) -> Tab:  # noqa: ANN401
        """Watch a new tab."""

        def note(response: Response) -> None:
            if response.request.is_navigation_request() and response.frame == tab.main_frame:
                self.status = response.status
                self.content_type = response.headers.get("content-type", "")

        tab.on("response", note)
        return tab

    async def on_loaded(self, tab: Tab, **_: Any) -> Tab:  # noqa: ANN401
        """Wait until the page's scripts have fetched what they show, or long enough."""
        with contextlib.suppress(PlaywrightTimeout):
            await tab.wait_for_load_state("networkidle", timeout=self._settle_ms)
        return tab


async def shown(job: Job) -> tuple[Shown, bytes]:
    """What a new browser shows of a page: the facts, and its HTML after the scripts have run."""
    try:
        with running_chromium(job.chromium, job.profile, job.proxy) as address:
            return await _crawled(job, address)
    except (BrowserFailed, OSError) as error:
        return Shown(failure="browser", said=str(error)[:LONGEST_SAID]), b""


async def _crawled(job: Job, address: str) -> tuple[Shown, bytes]:
    watch = _Watch(job.settle_s)
    crawler = AsyncPlaywrightCrawlerStrategy(
        browser_config=BrowserConfig(
            cdp_url=address,
            cdp_cleanup_on_close=True,
            cdp_close_delay=0,
            # The context of its own is the one that gets the proxy's credential.
            create_isolated_context=True,
            ignore_https_errors=False,
            user_agent=job.user_agent,
            verbose=False,
        )
    )
    crawler.set_hook("on_page_context_created", watch.on_tab)
    crawler.set_hook("before_retrieve_html", watch.on_loaded)
    config = CrawlerRunConfig(
        proxy_config=ProxyConfig(
            server=job.proxy, username=job.username, password=job.password.get_secret_value()
        ),
        body_visibility_timeout=VISIBLE_MS,
        page_timeout=round(job.timeout_s * 1000),
        verbose=False,
    )
    try:
        async with crawler:
            found = await crawler.crawl(job.url, config)
    except (PlaywrightError, RuntimeError) as error:
        said = str(error)[:LONGEST_SAID]
        return Shown(failure="page", said=said, status=watch.status), b""
    html = found.html.encode("utf-8", "replace")
    if len(html) > job.max_bytes:
        return Shown(failure="size", status=watch.status), b""
    facts = Shown(
        final_url=(found.redirected_url or "")[:LONGEST_URL],
        status=watch.status,
        content_type=watch.content_type[:LONGEST_SAID],
        html_bytes=len(html),
    )
    return facts, html


def _end_with(parent_pid: int) -> None:
    """End the whole group when the parent is gone, also when that was killed over a page."""
    while os.getppid() == parent_pid:
        time.sleep(LOOK_EVERY_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(parent_pid: int) -> None:
    """Answer one line with one line and the HTML, until standard input ends."""
    threading.Thread(target=_end_with, args=(parent_pid,), daemon=True).start()
    # Libraries print; the parent must read nothing but answers.
    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        facts, html = asyncio.run(shown(Job.model_validate_json(line)))
        answers.write(facts.model_dump_json().encode() + b"\n" + html)
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))

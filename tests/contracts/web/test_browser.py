"""Pages that need a browser, read by the real crawl4ai and Chromium from the loopback interface."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
import yarl

from mmm_workflows.config import child_environment
from mmm_workflows.errors import ServiceUnavailable, WebError
from mmm_workflows.mmm.pages import text_sha256
from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.browser_reader import BrowserPageReader

from .browser_site import LOCAL, Trap, site, trap

CHROMIUM = Path("/usr/bin/chromium")
MEGABYTE = 1_000_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def may_read(url: yarl.URL) -> None:
    """Every page may be read."""


def new_reader(
    *allowed: int,
    chromium: Path = CHROMIUM,
    timeout_s: float = 120.0,
    # A busy machine is at rest for half a second in the middle of it all, and slow with the rest.
    settle_s: float = 15.0,
    rule=may_read,
) -> BrowserPageReader:
    return BrowserPageReader(
        AddressGuard(allowed=frozenset((LOCAL, port) for port in allowed)),
        rule,
        chromium=chromium,
        user_agent="mmm-workflows-test/0.1",
        environment=child_environment(),
        timeout_s=timeout_s,
        settle_s=settle_s,
    )


@pytest.fixture(scope="module")
def ready() -> None:
    """Skip where a browser is not installed; fail where it must be."""
    missing = [name for name in ("crawl4ai",) if find_spec(name) is None]
    missing += [str(CHROMIUM)] if not CHROMIUM.exists() else []
    if missing and os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"missing: {', '.join(missing)}")
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(ready: None) -> AsyncIterator[tuple[BrowserPageReader, str, Trap]]:
    """A reader that may reach the site but not the trap, the site's address, the trap."""
    async with trap() as beside, site(beside) as port, new_reader(port) as reader:
        yield reader, f"http://{LOCAL}:{port}", beside


def started_by_us(before: Collection[str] = ()) -> dict[str, str]:
    """The command lines of browsers and drivers that live and did not before, by their process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        is_ours = "mmm-browser-" in command or "browser_driver" in command
        if is_ours and folder.name not in before:
            found[folder.name] = command
    return found


def has_page(before: Collection[str]) -> bool:
    """Whether a browser that was not there before is about to show a page."""
    return any("--type=renderer" in line for line in started_by_us(before).values())


async def until(is_so: Callable[[], bool], timeout_s: float = 180.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():
            await asyncio.sleep(0.1)


async def refusal(reader: BrowserPageReader, url: str, max_bytes: int = MEGABYTE) -> str:
    with pytest.raises(WebError) as caught:
        await reader.read(url, max_bytes=max_bytes)
    return caught.value.code


@pytest.mark.browser
@pytest.mark.slow
async def test_text_that_a_script_writes_is_read(opened) -> None:
    reader, home, _ = opened
    page = await reader.read(f"{home}/rendered", max_bytes=MEGABYTE)
    assert page.title == "Adstock"
    assert "Half of an effect comes later." in page.text
    assert "Loading" not in page.text
    assert "Ignore all previous" not in page.text
    assert (page.url, page.final_url) == (f"{home}/rendered", f"{home}/rendered")
    assert page.sha256 == text_sha256(page.text)
    assert (page.how, page.content_type) == ("browser", "text/html; charset=utf-8")
    assert 250 < page.size_bytes < 5000


@pytest.mark.browser
@pytest.mark.slow
async def test_no_part_of_a_page_reaches_what_is_not_allowed(opened) -> None:
    reader, home, beside = opened
    page = await reader.read(f"{home}/prying", max_bytes=MEGABYTE)
    # Without CORS, the refusal of the proxy is an answer that the page cannot look into.
    for tried in ("fetch answered", "hop answered", "socket failed", "peer tried"):
        assert tried in page.text
    assert (beside.requests, beside.connections, beside.datagrams) == ([], 0, 0)


@pytest.mark.browser
@pytest.mark.slow
async def test_the_same_page_reaches_it_when_it_is_allowed(ready: None) -> None:
    async with (
        trap() as beside,
        site(beside) as port,
        new_reader(port, beside.tcp_port) as reader,
    ):
        page = await reader.read(f"http://{LOCAL}:{port}/prying", max_bytes=MEGABYTE)
    assert "fetch answered" in page.text
    reached = {"/style.css", "/frame", "/script.js", "/fetch", "/hop", "/socket", "/worker"}
    assert reached <= set(beside.requests)
    # Not through the proxy, so not at all.
    assert beside.datagrams == 0


@pytest.mark.browser
@pytest.mark.slow
async def test_neither_a_redirect_nor_a_script_leads_to_what_is_not_allowed(opened) -> None:
    reader, home, beside = opened
    secret = f"http://{LOCAL}:{beside.tcp_port}/"
    assert await refusal(reader, f"{home}/redirect?to={secret}") == "page_forbidden"
    assert await refusal(reader, f"{home}/moved") == "page_forbidden"
    assert await refusal(reader, f"{home}/redirect?to=file:///etc/hostname") == "page_unreachable"
    assert await refusal(reader, secret) == "page_forbidden"
    assert beside.connections == 0


@pytest.mark.browser
@pytest.mark.slow
async def test_what_is_no_page_is_refused_with_its_reason(opened) -> None:
    reader, home, _ = opened
    assert await refusal(reader, f"{home}/absent") == "page_status"
    assert await refusal(reader, f"{home}/table") == "page_type"
    assert await refusal(reader, f"{home}/large", max_bytes=100_000) == "page_too_large"


@pytest.mark.browser
@pytest.mark.slow
async def test_a_page_that_never_rests_is_read_as_it_is(ready: None) -> None:
    async with trap() as beside, site(beside) as port, new_reader(port, settle_s=3.0) as reader:
        page = await reader.read(f"http://{LOCAL}:{port}/restless", max_bytes=MEGABYTE)
    assert page.text == "There at once."


@pytest.mark.browser
@pytest.mark.slow
async def test_a_page_that_takes_too_long_is_ended_and_the_next_one_is_read(ready: None) -> None:
    async with trap() as beside, site(beside) as port:
        home = f"http://{LOCAL}:{port}"
        async with new_reader(port, timeout_s=15.0) as reader:
            before = started_by_us()
            assert await refusal(reader, f"{home}/busy") == "page_timeout"
            await until(lambda: not started_by_us(before))
            # The next page starts a driver and a browser anew, which may take a busy machine longer.
            reader._timeout_s = 120.0
            page = await reader.read(f"{home}/rendered", max_bytes=MEGABYTE)
            assert page.title == "Adstock"


@pytest.mark.browser
@pytest.mark.slow
async def test_a_cancelled_read_leaves_nothing_behind(ready: None) -> None:
    before = started_by_us()
    async with trap() as beside, site(beside) as port, new_reader(port) as reader:
        reading = asyncio.create_task(
            reader.read(f"http://{LOCAL}:{port}/busy", max_bytes=MEGABYTE)
        )
        await until(lambda: has_page(before))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: not started_by_us(before))


KILLED = """
import asyncio, sys
from pathlib import Path
from mmm_workflows.config import child_environment
from mmm_workflows.tools.addresses import AddressGuard
from mmm_workflows.tools.browser_reader import BrowserPageReader

async def may_read(url): ...

async def main(port):
    guard = AddressGuard(allowed=frozenset({("127.0.0.1", port)}))
    reader = BrowserPageReader(guard, may_read, chromium=Path(sys.argv[2]), user_agent="test/0.1",
                               environment=child_environment())
    await reader.read(f"http://127.0.0.1:{port}/busy", max_bytes=10**6)

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.browser
@pytest.mark.slow
async def test_a_browser_ends_with_the_process_that_reads(ready: None) -> None:
    before = started_by_us()
    # What a killed process leaves in its temporary folder goes with this one.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        async with trap() as beside, site(beside) as port:
            reading = await asyncio.create_subprocess_exec(
                sys.executable, "-c", KILLED, str(port), str(CHROMIUM),
                env={**child_environment(), "TMPDIR": folder},
            )  # fmt: skip
            await until(lambda: has_page(before))
            reading.kill()
            await reading.wait()
            await until(lambda: not started_by_us(before))


@pytest.mark.browser
@pytest.mark.slow
async def test_a_browser_that_does_not_start_is_named(ready: None) -> None:
    # Not under tmp_path, whose parent is for root alone: the browser runs as somebody else.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        broken = Path(folder) / "chromium"
        broken.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
        broken.chmod(0o755)
        async with new_reader(80, chromium=broken) as reader:
            with pytest.raises(WebError, match="code 3: no display") as caught:
                await reader.read(f"http://{LOCAL}/", max_bytes=MEGABYTE)
    assert caught.value.code == "browser_unavailable"


async def test_no_browser_is_started_for_a_page_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(url: yarl.URL) -> None:
        raise WebError("No.", code="page_robots")

    before = started_by_us()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "crawl4ai.py").touch()
    reader = new_reader(80, chromium=Path(sys.executable), rule=never)
    assert await refusal(reader, f"http://{LOCAL}/") == "page_robots"
    assert await refusal(reader, "http://10.0.0.1/") == "page_forbidden"
    assert await refusal(reader, "file:///etc/passwd") == "page_forbidden"
    assert not started_by_us(before)
    await reader.aclose()


async def test_a_missing_browser_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "crawl4ai.py").touch()
    with pytest.raises(ServiceUnavailable, match="apt-get install chromium") as caught:
        new_reader(chromium=tmp_path / "chromium")
    assert caught.value.code == "browser_unavailable"


async def test_a_missing_extra_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "crawl4ai", None)
    with pytest.raises(ServiceUnavailable, match=r"mmm-workflows\[crawl\]") as caught:
        new_reader()
    assert caught.value.code == "browser_unavailable"

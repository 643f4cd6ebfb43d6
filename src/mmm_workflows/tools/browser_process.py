"""A Chromium for one page: a profile of its own, its sandbox on, the proxy its only way out."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

PORT_FILE: Final = "DevToolsActivePort"
START_S: Final = 15.0
GRACE_S: Final = 1.0
UNPRIVILEGED: Final = "nobody"
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
FLAGS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    # Text is read, not pictures.
    "--blink-settings=imagesEnabled=false",
    # Nothing of its own accord, to nobody.
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-pings",
    # No way out beside the proxy: loopback goes through it too, nothing is resolved here, and
    # no protocol over UDP is spoken.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--dns-prefetch-disable",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--remote-debugging-port=0",
)


class BrowserFailed(Exception):
    """The browser did not start."""


@contextmanager
def running_chromium(program: Path, folder: Path, proxy: str) -> Iterator[str]:
    """The WebSocket address at which a new browser is driven; it ends with the block.

    Chromium's sandbox does not work for root, so root starts it as ``nobody``; it is never
    started without its sandbox.

    Args:
        program: The browser.
        folder: An empty folder for its profile; who calls removes it.
        proxy: ``http://host:port``. Requests outside of a context that knows its credential are
            turned away by it.

    Raises:
        BrowserFailed: It ended, or did not listen in time.
    """
    account = _account(folder)
    # A file and not a pipe, which nobody would empty.
    with TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, *FLAGS, f"--proxy-server={proxy}", f"--user-data-dir={folder}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={"HOME": str(folder), "TMPDIR": str(folder), "PATH": PATH, "LANG": "C.UTF-8"},
            cwd=folder,
            user=account,
            group=None if account is None else pwd.getpwuid(account).pw_gid,
            extra_groups=None if account is None else [],
        )
        try:
            yield _address(process, folder / PORT_FILE, errors)
        finally:
            _end(process)


def _account(folder: Path) -> int | None:
    """Whom to run the browser as; the folder is handed to that user."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_uid


def _address(process: subprocess.Popen[bytes], port_file: Path, errors: IO[bytes]) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            errors.seek(0)
            said = errors.read()[-500:].decode(errors="replace").strip().splitlines()
            raise BrowserFailed(f"it exited with code {process.returncode}: {' / '.join(said)}")
        lines = port_file.read_text().split() if port_file.is_file() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{int(lines[0])}{lines[1]}"
        time.sleep(0.02)
    raise BrowserFailed(f"it did not listen within {START_S:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

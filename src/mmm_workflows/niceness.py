"""How heavy work lets go first what a person waits for."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# A fit takes every core for a minute.
NICENESS: Final = 10
AUTOGROUP: Final = Path("/proc/self/autogroup")
TRIES: Final = 10


def give_way() -> None:
    """Put this process behind the others of this machine.

    Linux weighs sessions against each other first, and processes within one (sched(7), autogroup):
    a process that leads a session of its own would be as urgent as the whole service, however nice
    it is, so its session is made nice too. The session of somebody's terminal is left alone.
    """
    os.nice(max(0, NICENESS - os.nice(0)))
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or one that does not group
            _make_session_nice()


def _make_session_nice() -> None:
    for _ in range(TRIES):
        # Of all that may not do as they like, Linux lets one within 0.1 s (EAGAIN).
        with suppress(BlockingIOError):
            AUTOGROUP.write_text(str(NICENESS))
            return
        time.sleep(0.12)

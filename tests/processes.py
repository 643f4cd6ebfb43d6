"""What another process says."""

from __future__ import annotations

import subprocess


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process says until its end, on its output and on its errors.

    ``communicate`` alone passes over the lines that ``readline`` has read ahead.
    """
    assert process.stdout is not None
    said = process.stdout.read()
    _, errors = process.communicate()
    return said, errors

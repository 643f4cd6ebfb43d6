"""Heavy work stands behind what a person waits for, also where sessions are weighed first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mmm_workflows.niceness import AUTOGROUP, NICENESS

SAYS = """
import os
from mmm_workflows.niceness import AUTOGROUP, give_way
give_way()
give_way()
print(os.nice(0), AUTOGROUP.read_text() if AUTOGROUP.exists() else "")
"""
# In a control group with CPU weights of its own, Linux has the file and says nothing in it.
SESSION = AUTOGROUP.read_text().split() if AUTOGROUP.exists() else []


def said(*, leads: bool) -> list[str]:
    """The niceness of a process that gives way, and the words of its session."""
    run = subprocess.run(
        [sys.executable, "-c", SAYS], capture_output=True, text=True, check=True,
        start_new_session=leads,
    )  # fmt: skip
    return run.stdout.split()


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_that_gives_way_twice_is_as_nice_as_once(leads: bool) -> None:
    assert said(leads=leads)[0] == str(max(NICENESS, os.nice(0)))


@pytest.mark.skipif(not SESSION, reason="sessions are not weighed here")
def test_a_process_that_leads_its_session_makes_the_session_nice_and_no_other_does() -> None:
    assert said(leads=True)[-1] == str(NICENESS)
    assert said(leads=False)[-1] == SESSION[-1]

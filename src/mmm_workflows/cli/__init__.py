"""The command line: the workflows, their runs, and the health of the installation."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name; exit 0, 1 (failed) or 2 (bad input, a question)."""
    from mmm_workflows.cli.app import app

    app()

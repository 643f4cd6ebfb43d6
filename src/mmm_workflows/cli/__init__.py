"""The command line: the workflows, their runs, and the health of the installation."""

from __future__ import annotations

import sys
from typing import cast


def main() -> None:
    """Run the command that the arguments name; exit 0, 1 (failed) or 2 (bad input, a question).

    With ``--json`` also a wrong option is said as JSON: the caller is a program.
    """
    from mmm_workflows.cli.app import app

    if "--json" not in sys.argv:
        app()
        return
    import typer

    from mmm_workflows.cli.session import BAD_INPUT, print_json

    # typer carries click within it and exports of its wrong uses only this one's child.
    wrong_use = cast(type[Exception], typer.BadParameter.__bases__[0])
    try:
        code = app(standalone_mode=False)
    except wrong_use as error:
        print_json({"kind": "error", "code": "request_invalid", "message": str(error)})
        code = BAD_INPUT
    sys.exit(code or 0)

"""How generated code is held, and where it stands by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# nobody and nogroup of every Linux system.
NOBODY: Final = 65534


class SandboxMode(StrEnum):
    """What stands between generated code and this machine."""

    BUBBLEWRAP = "bubblewrap"
    """Namespaces without network and host files, and the guard inside them."""
    GUARD = "guard"
    """The guard alone: rlimits, no_new_privs, Landlock and seccomp on the child itself."""
    NONE = "none"
    """Nothing can hold it, so it is shown and never run."""

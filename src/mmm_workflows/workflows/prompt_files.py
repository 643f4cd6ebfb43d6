"""Prompts as files: each declares its variables, and untrusted ones enter as quoted material."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

from mmm_workflows.mmm.material import quoted

FOLDER: Final = "prompts"
QUOTED: Final = "quoted"


@dataclass(frozen=True)
class Prompt:
    """What a model is told: who it is, and what it shall do."""

    name: str
    system: str
    user: str


@dataclass(frozen=True)
class PromptFile:
    """A prompt with open places.

    Attributes:
        variables: Each declared name, and whether its value is untrusted and gets quoted.
    """

    name: str
    variables: Mapping[str, bool]
    system: Template
    user: Template

    def render(self, values: Mapping[str, str]) -> Prompt:
        """The prompt with its places filled; a value is never read as a template itself.

        Raises:
            KeyError: The values are not those that the file declares.
        """
        if set(values) != set(self.variables):
            raise KeyError(f"prompt {self.name} takes {sorted(self.variables)}: {sorted(values)}")
        filled = {
            name: quoted(value, label=name) if self.variables[name] else value
            for name, value in values.items()
        }
        return Prompt(self.name, self.system.substitute(filled), self.user.substitute(filled))


def load_prompt(name: str) -> PromptFile:
    """The prompt of this name.

    The file begins with one line per variable, ``name`` or ``name: quoted``; then, each after a
    line of dashes, the system's part and the user's.

    Raises:
        ValueError: It uses a variable that it does not declare, or declares one it does not use.
    """
    text = (files("mmm_workflows.workflows") / FOLDER / f"{name}.md").read_text(encoding="utf-8")
    head, system, user = (part.strip() for part in text.split("\n---\n"))
    declared = dict(_declaration(line) for line in head.splitlines())
    found = PromptFile(name, declared, Template(system), Template(user))
    used = {*found.system.get_identifiers(), *found.user.get_identifiers()}
    if used != set(declared):
        raise ValueError(f"prompt {name} declares {sorted(declared)} and uses {sorted(used)}")
    return found


def _declaration(line: str) -> tuple[str, bool]:
    name, _, kind = (part.strip() for part in line.partition(":"))
    if kind not in ("", QUOTED):
        raise ValueError(f"a variable is declared as {line!r}: the kind is left out or {QUOTED!r}")
    return name, kind == QUOTED

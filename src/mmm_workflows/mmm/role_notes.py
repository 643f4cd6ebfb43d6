"""What is written down while columns are given roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mmm_workflows.mmm.dataset import Role
from mmm_workflows.records import Decision, Finding, Severity

UNIT_ASSUMED: Final = "target_unit_assumed"


@dataclass
class Notes:
    """Decisions and findings in the order they were made."""

    decisions: list[Decision] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def decide(self, question: str, choice: str, reason: str, options: Sequence[str]) -> None:
        """Note a choice of the rules."""
        self.decisions.append(
            Decision(question=question, options=tuple(options), choice=choice, reason=reason)
        )

    def find(self, code: str, severity: Severity, message: str, variable: str) -> None:
        """Note what the reader should know of a column."""
        self.findings.append(
            Finding(code=code, severity=severity, message=message, variable=variable)
        )

    def say_not_modelled(self, name: str, role: Role) -> None:
        """Note that a column is kept for its reader and left out of the model."""
        if role is Role.EXPOSURE:
            self.find(
                "exposure_not_modelled",
                Severity.INFO,
                f"The column {name!r} counts exposures of a channel: it is kept and not modelled, "
                "because it lies between the spend and the target.",
                name,
            )
            return
        self.find(
            "column_unused",
            Severity.WARNING,
            f"The column {name!r} is kept and not used. Name it in media_channels or "
            "control_variables to use it.",
            name,
        )

    def say_unit_assumed(self, name: str) -> None:
        """Note that sales were read as money, though they may be pieces."""
        self.find(
            UNIT_ASSUMED,
            Severity.WARNING,
            f"The target {name!r} is read as money; sales may be units as well. Say target_unit "
            "(--target-unit units) if it counts pieces: ROAS would be wrong otherwise.",
            name,
        )

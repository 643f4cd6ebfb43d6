"""What is written down while a model is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmm_workflows.records import Decision, Finding, Severity, Who


@dataclass
class Notes:
    """Decisions and findings in the order in which they came up."""

    decisions: list[Decision] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def decide(
        self,
        question: str,
        choice: str,
        reason: str,
        *options: str,
        evidence: str = "",
        who: Who = Who.RULES,
    ) -> None:
        """Write down a choice, the options there were, and why."""
        self.decisions.append(
            Decision(
                question=question,
                options=options,
                choice=choice,
                reason=reason,
                evidence=evidence,
                who=who,
            )
        )

    def find(
        self, code: str, severity: Severity, message: str, variable: str | None = None
    ) -> None:
        """Write down what the reader should know."""
        self.findings.append(
            Finding(code=code, severity=severity, message=message, variable=variable)
        )

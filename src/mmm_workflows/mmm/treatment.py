"""How an earlier version of the data was treated, as far as the request leaves it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmm_workflows.mmm.dataset import Described, Role, Sidecar, Variable
from mmm_workflows.records import Decision


class EarlierTreatment(Described):
    """What was decided for the earlier version, by the names that the columns have now.

    Attributes:
        said: Where it comes from, as a reason says it: ``as in run e of 2026-11-25``.
        evidence: The figures by which the data was known again.
        columns: The present name of a column and what it was.
    """

    said: str
    evidence: str
    date_column: str | None
    date_format: str | None
    geography_column: str | None
    columns: dict[str, Variable]
    unit_is_open: bool

    def named(self, role: Role) -> tuple[str, ...]:
        """The columns that had this role."""
        return tuple(name for name, variable in self.columns.items() if variable.role is role)

    def had(self, name: str, role: Role) -> bool:
        """Whether a column had this role."""
        return name in self.columns and self.columns[name].role is role

    @property
    def renamed(self) -> dict[str, str]:
        """The earlier name of each column that has another one now."""
        return {v.name: name for name, v in self.columns.items() if v.name != name}

    @property
    def currency(self) -> str | None:
        """The currency that all columns of money shared; None where there was none."""
        found = {v.unit for v in self.columns.values() if v.is_money}
        return found.pop() if len(found) == 1 and found != {"money"} else None

    def decide(
        self, question: str, choice: str, options: Sequence[str], otherwise: str | None = None
    ) -> Decision:
        """That a choice is taken over, and by which argument it can be made otherwise."""
        way_out = "" if otherwise is None else f"; {otherwise} says otherwise"
        return Decision(
            question=question,
            options=tuple(options),
            choice=choice,
            reason=f"{self.said}{way_out}",
            evidence=self.evidence,
        )


def treatment_of(
    sidecar: Sidecar,
    *,
    said: str,
    evidence: str,
    renamed: Mapping[str, str],
    geography_column: str | None,
) -> EarlierTreatment:
    """The treatment that a sidecar records, by the names of the present columns.

    Args:
        sidecar: That of the earlier version.
        said: Where it comes from, as a reason says it.
        evidence: The figures by which the data was known again.
        renamed: The earlier name of a column and its present one, where they differ.
        geography_column: The present name of the column of geographies, where there is one.
    """
    read = sidecar.treatment
    return EarlierTreatment(
        said=said,
        evidence=evidence,
        date_column=read.date_column if read else None,
        date_format=read.date_format if read else None,
        geography_column=geography_column,
        columns={renamed.get(v.name, v.name): v for v in sidecar.variables},
        unit_is_open=read.unit_is_open if read else False,
    )

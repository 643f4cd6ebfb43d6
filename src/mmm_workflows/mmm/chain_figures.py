"""The figure that a JSON pointer into a stored result leads to, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from pydantic import JsonValue

from mmm_workflows.errors import UserError
from mmm_workflows.mmm.chain import Link, LinkKind
from mmm_workflows.mmm.chain_files import claim_link
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.figures import figure, interval, percent
from mmm_workflows.mmm.results import Amount, Estimate
from mmm_workflows.records import Finding, Json

SHOWN: Final = 6
# What names the thing that a figure is of, the nearest first.
SUBJECTS: Final = ("called", "channel", "variable", "name", "target")


@dataclass(frozen=True)
class Place:
    """Where a pointer leads.

    Attributes:
        part: The name of the workflow whose result holds it, in a pipeline's result.
        result: That result.
        trail: What was passed on the way from it, and what is there, each with its key.
    """

    pointer: str
    part: str | None
    result: Json
    trail: tuple[tuple[str, Any], ...]


def find_place(result: Json, pointer: str) -> Place:
    """Follow a JSON pointer (RFC 6901) into a result; into a part's own where it is a pipeline's.

    Raises:
        UserError: It leads nowhere; what is there instead is named (``lineage_unknown``).
    """
    if not pointer.startswith("/"):
        raise _unknown(f"{pointer!r} is no JSON pointer: it begins with '/', as /channels/0/roas.")
    keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer[1:].split("/")]
    part = None
    inner = result.get(keys[0])
    if is_result(inner) and len(keys) > 1:
        part, result, keys = keys[0], inner, keys[1:]
    trail: list[tuple[str, Any]] = [("", result)]
    for key in keys:
        trail.append((key, _step(trail[-1][1], key, pointer)))
    return Place(pointer, part, result, tuple(trail))


def describe(place: Place) -> Link:
    """The figure with its unit and interval, or the finding or claim that it stands in.

    Raises:
        UserError: There is no figure; why, or which ones are near, is told (``lineage_unknown``).
    """
    for at in range(len(place.trail) - 1, -1, -1):
        found = place.trail[at][1]
        if not isinstance(found, dict):
            continue
        if _has(found, Estimate):
            return _estimate(place, at, Estimate.model_validate(found))
        if found.keys() == Amount.model_fields.keys():
            return _amount(place, at, Amount.model_validate(found))
        if {"code", "severity", "message"} <= found.keys():
            return _finding(place, Finding.model_validate(found))
        if {"claim_id", "quote"} <= found.keys():
            return claim_link(Claim.model_validate(found))
    return _bare(place)


def subject_of(place: Place) -> str | None:
    """The channel or variable that a figure is of; None where it is of the whole."""
    for _, found in reversed(place.trail[1:]):
        if isinstance(found, dict):
            for key in SUBJECTS:
                if isinstance(found.get(key), str):
                    return str(found[key])
    return None


def _estimate(place: Place, at: int, estimate: Estimate) -> Link:
    asked = place.trail[-1][0] if at < len(place.trail) - 1 else "mean"
    said = (
        f"{interval(estimate)} {estimate.unit}, mean and {percent(estimate.hdi_prob)} interval "
        "of the posterior"
    )
    value = place.trail[-1][1]
    if at < len(place.trail) - 1 and asked != "mean" and isinstance(value, int | float):
        said = f"{asked} {figure(value)}, of {said}"
    return _number(place, at, said, estimate.model_dump(mode="json"))


def _amount(place: Place, at: int, amount: Amount) -> Link:
    said = f"{figure(amount.value)} {amount.unit}, an observed sum: exact, without an interval"
    return _number(place, at, said, amount.model_dump(mode="json"))


def _bare(place: Place) -> Link:
    value = place.trail[-1][1]
    if value is None:
        raise _unknown(f"{place.pointer} holds no number: {_reason(place)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unknown(
            f"{place.pointer} holds no number but {type(value).__name__}. Name one, such as "
            f"{', '.join(_near(place)[:SHOWN]) or 'none: this result has no figures'}."
        )
    said = f"{figure(value)}; no unit and no interval are stored with it"
    return _number(place, len(place.trail) - 1, said, {"value": value})


def _number(place: Place, at: int, said: str, facts: dict[str, JsonValue]) -> Link:
    what = " ".join(key for key, _ in place.trail[1 : at + 1] if key and not key.isdigit())
    subject = subject_of(place)
    of = f" of {subject}" if subject else ""
    return Link(
        kind=LinkKind.NUMBER,
        name=place.pointer,
        says=f"{what.replace('_', ' ')}{of}: {said}",
        facts={**facts, "asked": place.trail[-1][1], "subject": subject},
    )


def _finding(place: Place, finding: Finding) -> Link:
    return Link(
        kind=LinkKind.FINDING,
        name=finding.code,
        says=finding.message,
        facts={
            "severity": finding.severity.value,
            "variable": finding.variable,
            "cells": list(finding.cells),
        },
    )


def _step(within: Any, key: str, pointer: str) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(within, dict) and key in within:
        return within[key]
    if isinstance(within, list) and key.isdecimal() and int(key) < len(within):
        return within[int(key)]
    there = "nothing"
    if isinstance(within, dict):
        there = ", ".join(within)
    elif isinstance(within, list):
        there = f"0 to {len(within) - 1}" if within else "an empty list"
    raise _unknown(f"{pointer} leads nowhere: where {key!r} should be there is {there}.")


def _has(found: Json, kind: type[Estimate]) -> bool:
    return found.keys() == kind.model_fields.keys()


def _reason(place: Place) -> str:
    around = place.trail[-2][1]
    reasons = around.get("reasons") if isinstance(around, dict) else None
    told = reasons.get(place.trail[-1][0]) if isinstance(reasons, dict) else None
    return told or "the result leaves it empty."


def _near(place: Place) -> list[str]:
    """The pointers of the figures below a place, else beside it."""
    keys = place.pointer.split("/")
    for above, (_, value) in enumerate(reversed(place.trail)):
        start = "/".join(keys[: len(keys) - above])
        if found := list(_figures(value, start)):
            return found
    return []


def _figures(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _figures(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _figures(inner, f"{path}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def _unknown(message: str) -> UserError:
    return UserError(message, code="lineage_unknown")


def is_result(value: object) -> TypeGuard[Json]:
    """Whether a value is the whole result of a run, as a pipeline holds those of its parts."""
    return isinstance(value, dict) and {"workflow_id", "status"} <= value.keys()

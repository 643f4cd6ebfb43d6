"""The evidence report: assembled by code from claims; a sentence without a claim has no way in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Final

from mmm_workflows.mmm.claim_scale import Plain, converted
from mmm_workflows.mmm.claim_statements import KPI_NAMES
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.markdown import escaped, link
from mmm_workflows.mmm.pages import WebOutcome
from mmm_workflows.mmm.plan import PlannedPrior
from mmm_workflows.mmm.readings import ALL_MEDIA, Kpi, Unit
from mmm_workflows.mmm.results import Value
from mmm_workflows.mmm.transport import LeftOut

NOTHING: Final = "No evidence found; the plan rests on defaults."
# Two figures disagree when the nearer ends of their ranges are farther apart than this factor.
CONFLICT_RATIO: Final = 1.5
_COLUMNS: Final = ("Claim", "Figure", "Where", "When", "Method", "Source is", "Source")


class Evidence(Value):
    """What a look at the web came to: claims, the priors proposed from them, and what gave nothing."""

    claims: tuple[Claim, ...] = ()
    priors: tuple[PlannedPrior, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    outcomes: tuple[WebOutcome, ...] = ()


type Numbers = dict[tuple[str, str], int]


def write_evidence(claims: Sequence[Claim], channels: Sequence[str] = ()) -> str:
    """The report as Markdown, byte for byte the same for the same claims in any order.

    Args:
        claims: What was found; each is a sentence with its quote and the number of its source.
        channels: Kinds of channels that are to be named even when nothing was found on them.
    """
    ordered = _ordered(claims)
    numbers = _numbered(ordered)
    lines = ["# Evidence", ""]
    if not ordered:
        lines += [NOTHING, ""]
    for channel in _channels(ordered, channels):
        lines += _section(channel, [c for c in ordered if c.channel == channel], numbers)
    conflicts = find_conflicts(ordered)
    if conflicts:
        lines += ["## Claims that disagree", ""]
        for group in conflicts:
            lines += _table(group, numbers)
    if ordered:
        lines += ["## Sources", "", *_sources(ordered, numbers), ""]
    return "\n".join(lines).rstrip() + "\n"


def find_conflicts(claims: Sequence[Claim]) -> tuple[tuple[Claim, ...], ...]:
    """Groups of claims on one channel and quantity of which at least two disagree.

    Figures are compared as ROAS, elasticity or weekly carry-over; two disagree when their ranges do
    not meet and the nearer ends differ by more than the factor 1.5, or when their signs differ.
    Claims whose figures cannot be turned into one of these are compared within the same KPI and
    unit.
    """
    groups: dict[tuple[str, ...], list[tuple[Claim, float, float]]] = defaultdict(list)
    for claim in _ordered(claims):
        if claim.value is None:
            continue
        made = converted(claim)
        if isinstance(made, Plain):
            groups[claim.channel, made.quantity].append((claim, made.low, made.high))
        else:
            high = claim.value if claim.value_to is None else claim.value_to
            key = (claim.channel, claim.kpi, claim.unit, claim.per, str(claim.is_net),
                   str(claim.is_profit))  # fmt: skip
            groups[key].append((claim, claim.value, high))
    found = [
        tuple(claim for claim, _, _ in members)
        for _, members in sorted(groups.items())
        if any(_disagree(a[1:], b[1:]) for a, b in combinations(members, 2))
    ]
    return tuple(found)


def _disagree(one: tuple[float, float], other: tuple[float, float]) -> bool:
    lower, upper = sorted((one, other))
    if lower[1] >= upper[0]:
        return False
    if lower[1] <= 0 <= upper[0]:
        return True
    return max(abs(upper[0]), abs(lower[1])) > CONFLICT_RATIO * min(abs(upper[0]), abs(lower[1]))


def _ordered(claims: Sequence[Claim]) -> list[Claim]:
    once = {c.claim_id: c for c in sorted(claims, key=lambda c: (c.claim_id, c.fetched_at))}
    kpis = list(Kpi)
    return sorted(
        once.values(), key=lambda c: (c.channel, kpis.index(c.kpi), c.tier.rank, c.claim_id)
    )


def _channels(claims: Sequence[Claim], channels: Sequence[str]) -> list[str]:
    named = dict.fromkeys([*channels, *(c.channel for c in claims)])
    return sorted(named, key=lambda name: (name == ALL_MEDIA, name))


def _numbered(claims: Sequence[Claim]) -> Numbers:
    pages = dict.fromkeys((c.url, c.page_sha256) for c in claims)
    return {page: i for i, page in enumerate(pages, start=1)}


def _section(channel: str, claims: Sequence[Claim], numbers: Numbers) -> list[str]:
    lines = [f"## {escaped(channel)}", ""]
    if not claims:
        return [*lines, NOTHING, ""]
    for kpi in Kpi:
        said = [c for c in claims if c.kpi is kpi]
        if said:
            name = KPI_NAMES[kpi]
            lines += [f"### {name[0].upper()}{name[1:]}", ""]
            lines += [_sentence(c, numbers) for c in said]
            lines.append("")
    return lines


def _sentence(claim: Claim, numbers: Numbers) -> str:
    stated = escaped(claim.statement.rstrip("."))
    return (
        f"- {stated} (claim {claim.claim_id}), in its words: “{escaped(claim.quote)}” "
        f"{_cited(claim, numbers)}"
    )


def _cited(claim: Claim, numbers: Numbers) -> str:
    return f"[{numbers[claim.url, claim.page_sha256]}]"


def _table(claims: Sequence[Claim], numbers: Numbers) -> list[str]:
    first = claims[0]
    rows = [_row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    rows += [
        _row([c.claim_id, f"{KPI_NAMES[c.kpi]} {escaped(_figure(c))}",
              c.geography or "unknown", c.period or "unknown", str(c.method), str(c.tier),
              _cited(c, numbers)])
        for c in claims
    ]  # fmt: skip
    return [f"### {escaped(first.channel)}: {KPI_NAMES[first.kpi]}", "", *rows, ""]


def _figure(claim: Claim) -> str:
    is_time = claim.unit in (Unit.DAYS, Unit.WEEKS, Unit.MONTHS)
    return f"{claim.written} {claim.unit}" if is_time else claim.written


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sources(claims: Sequence[Claim], numbers: Numbers) -> list[str]:
    first = {(c.url, c.page_sha256): c for c in reversed(claims)}
    return [
        f"{number}. {link(first[page].title, first[page].url)}; {first[page].tier}; fetched "
        f"{first[page].fetched_at:%Y-%m-%d}; SHA-256 of its text `{first[page].page_sha256}`"
        for page, number in numbers.items()
    ]

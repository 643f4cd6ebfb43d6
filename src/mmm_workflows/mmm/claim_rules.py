"""Claims from a page by rules, for when no language model reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.claims import (
    MAX_QUOTE_CHARACTERS,
    CheckedPage,
    Claim,
    ProposedClaim,
    check_page,
    make_claim,
)
from mmm_workflows.mmm.pages import Page
from mmm_workflows.mmm.quoting import one_line
from mmm_workflows.mmm.readings import readings_of
from mmm_workflows.mmm.source_tiers import KNOWN_HOSTS, SourceTier

MAX_CLAIMS_PER_PAGE: Final = 20


@dataclass(frozen=True)
class PageReading:
    """The claims of a page, and why sentences that looked like one are none."""

    claims: tuple[Claim, ...]
    refused: tuple[str, ...] = ()


def read_claims(page: Page, *, hosts: Mapping[str, SourceTier] = KNOWN_HOSTS) -> PageReading:
    """The claims that the sentences of a page make, in the order of the page.

    A page that speaks to a program gives none.
    """
    try:
        checked = check_page(page, hosts=hosts)
    except MMMError as error:
        return PageReading((), (error.message,))
    claims: dict[str, Claim] = {}
    refused: list[str] = []
    for proposed in _proposals(checked):
        try:
            claim = make_claim(checked, proposed)
        except MMMError as error:
            refused.append(error.message)
            continue
        claims.setdefault(claim.claim_id, claim)
        if len(claims) == MAX_CLAIMS_PER_PAGE:
            break
    return PageReading(tuple(claims.values()), tuple(refused))


def _proposals(checked: CheckedPage) -> Iterator[ProposedClaim]:
    for start, end in checked.sentences:
        sentence = one_line(checked.page.text[start:end])
        if len(sentence) > MAX_QUOTE_CHARACTERS:
            continue
        for reading in readings_of(sentence, checked.decimals):
            yield ProposedClaim(
                quote=sentence,
                kpi=reading.kpi,
                channel=reading.channel,
                value=reading.value,
                value_to=reading.value_to,
                unit=reading.unit,
            )

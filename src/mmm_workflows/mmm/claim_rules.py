"""Claims from a page by rules, for when no language model reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.claims import MAX_QUOTE_CHARACTERS, Claim, ProposedClaim, make_claim
from mmm_workflows.mmm.hostile import addresses_a_program
from mmm_workflows.mmm.pages import Page
from mmm_workflows.mmm.quoted_numbers import decimal_mark
from mmm_workflows.mmm.quoting import one_line, sentences
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
    said = addresses_a_program(f"{page.title}\n{page.text}")
    if said is not None:
        return PageReading((), (f"The page speaks to a program ({said!r}); none of it is used.",))
    claims: dict[str, Claim] = {}
    refused: list[str] = []
    mark = decimal_mark(page.text)
    for start, end in sentences(page.text):
        sentence = one_line(page.text[start:end])
        if len(sentence) > MAX_QUOTE_CHARACTERS:
            continue
        for reading in readings_of(sentence, mark):
            proposed = ProposedClaim(
                quote=sentence,
                kpi=reading.kpi,
                channel=reading.channel,
                value=reading.value,
                value_to=reading.value_to,
                unit=reading.unit,
            )
            try:
                claim = make_claim(page, proposed, hosts=hosts)
            except MMMError as error:
                refused.append(error.message)
                continue
            claims.setdefault(claim.claim_id, claim)
    return PageReading(tuple(claims.values())[:MAX_CLAIMS_PER_PAGE], tuple(refused))
